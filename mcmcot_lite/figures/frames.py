"""Parts of every moving figure: slider, play button, alternative text, short numbers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from torch import Tensor

__all__ = ["finish", "graph_objects", "rounded", "slider"]


def graph_objects() -> Any:
    """plotly.graph_objects, loaded when a figure is made."""
    return cast(Any, import_module("plotly.graph_objects"))


def rounded(values: Tensor, digits: int = 3) -> list[float]:
    """The entries as short decimals: they make most of a page's weight."""
    return [
        round(v, digits)
        for v in cast("list[float]", values.detach().double().cpu().flatten().tolist())
    ]


def slider(names: Sequence[str], prefix: str, redraw: bool) -> dict[str, Any]:
    """A slider over named frames and a play button: layout entries."""
    now = {
        "mode": "immediate",
        "frame": {"duration": 0, "redraw": redraw},
        "transition": {"duration": 0},
    }
    run = {
        "frame": {"duration": 350, "redraw": redraw},
        "fromcurrent": True,
        "transition": {"duration": 0},
    }
    steps = [{"method": "animate", "label": k, "args": [[k], now]} for k in names]
    buttons = [
        {"method": "animate", "label": "Play", "args": [None, run]},
        {"method": "animate", "label": "Pause", "args": [[None], now]},
    ]
    return {
        "sliders": [
            {
                "steps": steps,
                "currentvalue": {"prefix": prefix},
                "x": 0.04,
                "len": 0.92,
                "pad": {"t": 34, "b": 6},
            }
        ],
        "updatemenus": [
            {
                "type": "buttons",
                "direction": "right",
                "x": 1.0,
                "y": 1.0,
                "xanchor": "right",
                "yanchor": "bottom",
                "pad": {"b": 36},  # above the legend's row
                "showactive": False,
                "buttons": buttons,
            }
        ],
    }


def finish(fig: Any, alt: str, height: int) -> Any:
    """What all moving figures share: alternative text, height, margins, legend."""
    top = 84 if fig.layout.updatemenus else 12  # room for the buttons, right above the plot
    fig.update_layout(
        height=height,
        meta={"alt": alt},
        margin={"l": 8, "r": 8, "t": top, "b": 8},
        font={"size": 13},
        legend={
            "itemsizing": "constant",
            "orientation": "h",
            "y": 1.01,
            "yanchor": "bottom",
            "x": 0.0,
        },
    )
    return fig
