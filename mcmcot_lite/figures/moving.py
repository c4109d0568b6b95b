"""Clouds of latents to play and to turn, by plotly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs
from mcmcot_lite.figures.frames import finish, graph_objects, rounded, slider
from mcmcot_lite.figures.theme import COLOURS, GREY

__all__ = ["play", "turn"]


def play(
    clouds: Mapping[str, Tensor],
    *,
    alt: str,
    labels: Tensor | None = None,
    names: Sequence[str] = (),
    prefix: str = "",
    limit: float = 4.0,
    height: int = 540,
) -> Any:
    """Two-dimensional clouds, one a frame, with a slider and the prior's circles.

    Args:
        clouds: frame name -> points (n, 2), the same n in every frame.
        alt: what a reader who cannot see the figure should know.
        labels: class of each point, (n,), integers or bools, for colour; at most ten classes.
        names: one for each class in ``labels``, in increasing order, for the legend.
        prefix: text before the frame's name.
        limit: both axes run from -limit to limit; points outside are drawn at the edge.
        height: in pixels.
    """
    return _animated(clouds, 2, alt, labels, names, prefix, limit, height)


def turn(
    clouds: Mapping[str, Tensor],
    *,
    alt: str,
    labels: Tensor | None = None,
    names: Sequence[str] = (),
    prefix: str = "",
    limit: float = 4.0,
    height: int = 480,
) -> Any:
    """As :func:`play`, for three-dimensional clouds (n, 3) that the reader can turn."""
    return _animated(clouds, 3, alt, labels, names, prefix, limit, height)


def _animated(
    clouds: Mapping[str, Tensor],
    d: int,
    alt: str,
    labels: Tensor | None,
    names: Sequence[str],
    prefix: str,
    limit: float,
    height: int,
) -> Any:
    clouds = inputs.frames("clouds", clouds, "points")
    for key, points in clouds.items():
        checks.tensor(f"clouds[{key!r}]", points, shape=(None, d))
    first, n = next((key, len(points)) for key, points in clouds.items())
    for key, points in clouds.items():
        rule = f"must have as many points as clouds[{first!r}], {n}"
        remedy = "Draw the same points in every frame."
        checks.require(len(points) == n, f"clouds[{key!r}]", rule, len(points), remedy)
    kinds, which = inputs.classes(labels, n)
    titles = inputs.strings("names", names)
    if titles and labels is not None:
        rule = f"must hold one name for each of the {len(kinds)} classes in labels"
        remedy = "Name the classes in increasing order, or leave names out."
        checks.require(len(titles) == len(kinds), "names", rule, len(titles), remedy)
    titles = titles or ["" if labels is None else str(k) for k in kinds]
    inputs.text("alt", alt)
    prefix = inputs.line("prefix", prefix)
    limit, height = inputs.reach(limit), inputs.pixels(height)
    go, digits = graph_objects(), max(0, 3 - math.ceil(math.log10(limit)))

    def traces(points: Tensor) -> list[Any]:
        inside = points.detach().cpu().clamp(-limit, limit)
        out: list[Any] = []
        for i, kind in enumerate(kinds):
            p = inside[which == kind]
            axes = dict(zip("xyz"[:d], (rounded(c, digits) for c in p.T), strict=True))
            look = {"size": 4 if d == 2 else 2.2, "color": COLOURS[i], "opacity": 0.7}
            make = go.Scatter if d == 2 else go.Scatter3d
            out.append(
                make(
                    **axes,
                    mode="markers",
                    marker=look,
                    name=titles[i],
                    showlegend=labels is not None,
                    hoverinfo="skip",
                )
            )
        return out

    frames = [go.Frame(name=k, data=traces(p)) for k, p in clouds.items()]
    fig = go.Figure(data=frames[0].data, frames=frames if len(frames) > 1 else [])
    if len(frames) > 1:
        fig.update_layout(**slider(list(clouds), prefix, redraw=d == 3))
    span = {"range": [-limit, limit]}
    if d == 2:
        circle = {"type": "circle", "line": {"color": GREY, "width": 1, "dash": "dot"}}
        fig.update_layout(
            shapes=[dict(circle, x0=-r, y0=-r, x1=r, y1=r) for r in (1, 2, 3)],
            xaxis=dict(span, title="z₁", constrain="domain"),
            yaxis=dict(span, title="z₂", scaleanchor="x", constrain="domain"),
        )
    else:
        few = {"nticks": 5, "tickfont": {"size": 11}}
        camera = {
            "eye": {"x": 1.5, "y": 1.5, "z": 0.87},
            "center": {"x": 0.08, "y": -0.08, "z": -0.12},
        }
        fig.update_layout(
            scene={
                "xaxis": dict(span, title="z₁", **few),
                "yaxis": dict(span, title="z₂", **few),
                "zaxis": dict(span, title="z₃", **few),
                "aspectmode": "cube",
                "camera": camera,
            }
        )
    return finish(fig, alt, height)
