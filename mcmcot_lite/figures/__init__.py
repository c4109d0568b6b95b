"""The figures of the book: one theme, still ones by matplotlib, moving ones by plotly.

Plotly figures carry their alternative text in ``layout.meta["alt"]``, keep their frames inside, and
so play without a kernel. Coordinates are rounded: a page stays light. Colours are those of Okabe
and Ito with a grey and a violet, told apart by readers with any common colour blindness.
"""

from mcmcot_lite.figures.choosing import Chooser, choose
from mcmcot_lite.figures.lab_cells import explore_cells
from mcmcot_lite.figures.lab_chains import explore_chains
from mcmcot_lite.figures.lab_plane import explore_plane
from mcmcot_lite.figures.labs import Explorer
from mcmcot_lite.figures.maps import cells, surface
from mcmcot_lite.figures.moving import play, turn
from mcmcot_lite.figures.still import clouds, image_grid, prior_circles, scatter, style
from mcmcot_lite.figures.theme import BLUE, COLOURS, GREEN, GREY, ORANGE, PINK, RED, SKY

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GREY",
    "ORANGE",
    "PINK",
    "RED",
    "SKY",
    "Chooser",
    "Explorer",
    "cells",
    "choose",
    "clouds",
    "explore_cells",
    "explore_chains",
    "explore_plane",
    "image_grid",
    "play",
    "prior_circles",
    "scatter",
    "style",
    "surface",
    "turn",
]
