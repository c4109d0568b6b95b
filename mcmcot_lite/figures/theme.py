"""Colours that every figure of the book shares: ten, so that ten digits can be told apart."""

__all__ = ["BLUE", "COLOURS", "GREEN", "GREY", "ORANGE", "PASTEL", "PINK", "RED", "SKY"]

BLUE, RED, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY = "#E69F00", "#56B4E9", "#7f7f7f"
BLACK, YELLOW, VIOLET = "#000000", "#F0E442", "#6600CC"
COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, GREY, BLACK, YELLOW, VIOLET)

# Light enough for dark dots and text on top; no two nearer than 26 in the Lab space of colours.
PASTEL = (
    "#f19ab4",
    "#8ffbe7",
    "#85b6f5",
    "#bcb57c",
    "#c0f0fe",
    "#e7c1fc",
    "#41c4d3",
    "#93bca8",
    "#f2e7d1",
    "#caf4b9",
    "#b9b0be",
    "#eba289",
)
