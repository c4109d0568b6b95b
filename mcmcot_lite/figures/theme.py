"""Colours that every figure of the book shares: ten, so that ten digits can be told apart."""

__all__ = ["BLUE", "COLOURS", "GREEN", "GREY", "ORANGE", "PINK", "RED", "SKY"]

BLUE, RED, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY = "#E69F00", "#56B4E9", "#7f7f7f"
BLACK, YELLOW, VIOLET = "#000000", "#F0E442", "#6600CC"
COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, GREY, BLACK, YELLOW, VIOLET)
