"""Clouds of latents to play and to turn, by plotly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite import checks
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
        labels: class of each point, (n,), for colour.
        names: name of each class, for the legend.
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
    height: int = 560,
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
    go = graph_objects()
    if not clouds:
        raise checks.fail(
            "clouds", "must hold at least one frame", "none", "Pass {'name': points}."
        )
    for key, points in clouds.items():
        checks.tensor(f"clouds[{key!r}]", points, shape=(None, d))
    n = len(next(iter(clouds.values())))
    kinds = [0] if labels is None else cast("list[int]", labels.unique().tolist())
    which = torch.zeros(n) if labels is None else labels.cpu()
    titles = list(names) or ["" if labels is None else str(k) for k in kinds]

    def traces(points: Tensor) -> list[Any]:
        inside = points.detach().cpu().clamp(-limit, limit)
        out: list[Any] = []
        for i, kind in enumerate(kinds):
            p = inside[which == kind]
            axes = dict(zip("xyz"[:d], (rounded(c, 2) for c in p.T), strict=True))
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
        fig.update_layout(
            scene={
                "xaxis": dict(span, title="z₁"),
                "yaxis": dict(span, title="z₂"),
                "zaxis": dict(span, title="z₃"),
                "aspectmode": "cube",
                "camera": {"eye": {"x": 1.5, "y": 1.5, "z": 0.9}},
            }
        )
    return finish(fig, alt, height)
