"""Functions of the latent plane: a density as a surface, Laguerre cells as a map, by plotly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs
from mcmcot_lite.figures.frames import finish, graph_objects, rounded, slider
from mcmcot_lite.figures.polygons import Polygon, laguerre_polygons
from mcmcot_lite.figures.theme import BLUE, PASTEL, RED
from mcmcot_lite.transport import laguerre_cells

__all__ = ["cells", "surface"]

DARK = "#333333"


def surface(
    axis: Tensor,
    values: Tensor,
    *,
    alt: str,
    paths: Mapping[str, Tensor] | None = None,
    prefix: str = "",
    height: int = 440,
) -> Any:
    """A function on a square grid as a surface to turn, with points that move over it.

    Args:
        axis: grid coordinates, (m,), the same on both axes.
        values: (m, m), ``values[i, j]`` at z1 = axis[j], z2 = axis[i].
        alt: alternative text.
        paths: frame name -> points (n, 3): coordinates and height of the markers.
        prefix: text before the frame's name.
        height: in pixels.
    """
    checks.tensor("axis", axis, ndim=1)
    checks.tensor("values", values, shape=(len(axis), len(axis)))
    points_of = {} if paths is None else inputs.frames("paths", paths, "points (n, 3)")
    remedy = "Give each point z1, z2 and its height: shape (n, 3)."
    for name, p in points_of.items():
        checks.tensor(f"paths[{name!r}]", p, shape=(None, 3), remedy=remedy)
    inputs.text("alt", alt)
    prefix, height = inputs.line("prefix", prefix), inputs.pixels(height)
    go = graph_objects()
    ground = go.Surface(
        x=rounded(axis),
        y=rounded(axis),
        z=[rounded(row, 4) for row in values],
        colorscale=[[0, "#86b6d9"], [1, "#08519c"]],
        showscale=False,
        opacity=0.85,
        hoverinfo="skip",
    )
    look = {"size": 3.5, "color": RED}

    def dots(p: Tensor) -> Any:
        x, y, z = (rounded(c) for c in p.T)
        return go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=look, hoverinfo="skip")

    frames = [go.Frame(name=k, data=[dots(p)], traces=[1]) for k, p in points_of.items()]
    data = [ground, *frames[0].data] if frames else [ground]
    fig = go.Figure(data=data, frames=frames if len(frames) > 1 else [])
    if len(frames) > 1:
        fig.update_layout(**slider([f.name for f in frames], prefix, redraw=True))
    thin = {"nticks": 5, "tickfont": {"size": 11}}
    camera = {  # fills a column of 690 pixels; on a phone's 320 nothing is cut
        "eye": {"x": 1.13, "y": -1.55, "z": 0.93},
        "center": {"x": -0.1, "y": -0.07, "z": -0.1},
    }
    fig.update_layout(
        showlegend=False,
        scene={
            "xaxis": dict(thin, title="z₁"),
            "yaxis": dict(thin, title="z₂"),
            "zaxis": dict(thin, title={"text": "density", "font": {"size": 12}}),
            "aspectmode": "manual",
            "aspectratio": {"x": 1, "y": 1, "z": 0.6},
            "camera": camera,
        },
    )
    return _finish(fig, alt, height)


def cells(
    bonuses: Mapping[str, Tensor],
    sources: Tensor,
    targets: Tensor,
    *,
    alt: str,
    limit: float = 2.0,
    prefix: str = "",
    height: int = 560,
) -> Any:
    """Laguerre cells of the plane and the target that each source chooses, one picture a frame.

    A line leads from each source to its target: a diamond in the colour of its cell, with the
    number of its sources, rimmed blue if that is one and vermilion if not. Hover for the indices.

    Args:
        bonuses: frame name -> h, (k,), the bonus of each target as in Eq. (14).
        sources: (n, 2), drawn as dots: each lies in the cell of its best target.
        targets: (k, 2).
        alt: alternative text.
        limit: both axes run from -limit to limit; points outside are not drawn.
        prefix: text before the frame's name.
        height: in pixels.
    """
    checks.tensor("sources", sources, shape=(None, 2))
    checks.tensor("targets", targets, shape=(None, 2))
    bonuses = inputs.frames("bonuses", bonuses, "h")
    for name, h in bonuses.items():
        checks.tensor(f"bonuses[{name!r}]", h, shape=(len(targets),), like_name="targets")
    inputs.text("alt", alt)
    prefix = inputs.line("prefix", prefix)
    limit, height = inputs.reach(limit), inputs.pixels(height)
    go = graph_objects()
    x, y = sources.detach().double().cpu(), targets.detach().double().cpu()
    digits = max(0, 4 - math.ceil(math.log10(limit)))
    sx, sy, tx, ty = (rounded(c, digits) for c in (*x.T, *y.T))
    fills = [PASTEL[j % len(PASTEL)] for j in range(len(y))]

    def path(corners: Polygon, **look: Any) -> Any:
        across, up = ([round(c[e], digits) for c in corners] or [None] for e in (0, 1))
        return go.Scatter(x=across, y=up, mode="lines", hoverinfo="skip", **look)

    def data(h: Tensor) -> list[Any]:
        own = cast("list[int]", laguerre_cells(x, y, h).tolist())
        count = [own.count(j) for j in range(len(y))]
        white, dark = {"color": "white", "width": 1}, {"color": DARK, "width": 1}
        rim = {"color": [BLUE if c == 1 else RED for c in count], "width": 2.5}
        areas = [
            path([*ring, *ring[:1]], fill="toself", fillcolor=fill, line=white)
            for ring, fill in zip(laguerre_polygons(y, h, limit), fills, strict=True)
        ]
        ways = [path([(sx[i], sy[i]), (tx[j], ty[j])], line=dark) for i, j in enumerate(own)]
        dots = go.Scatter(
            x=sx,
            y=sy,
            mode="markers",
            marker={"size": 8, "color": DARK},
            hoverinfo="text",
            hovertext=[f"source {i + 1} takes target {j + 1}" for i, j in enumerate(own)],
        )
        diamonds = go.Scatter(
            x=tx,
            y=ty,
            mode="markers+text",
            marker={"size": 16, "symbol": "diamond", "color": fills, "line": rim},
            text=[str(c) for c in count],
            textfont={"size": 10, "color": "black"},
            hoverinfo="text",
            hovertext=[f"target {j + 1}, sources: {c}" for j, c in enumerate(count)],
        )
        return [*areas, *ways, diamonds, dots]

    frames = [go.Frame(name=name, data=data(h.detach().cpu())) for name, h in bonuses.items()]
    fig = go.Figure(data=frames[0].data, frames=frames if len(frames) > 1 else [])
    if len(frames) > 1:
        fig.update_layout(**slider(list(bonuses), prefix, redraw=True))
    span = {"range": [-limit, limit], "constrain": "domain", "nticks": 6}
    xaxis, yaxis = dict(span, title="z₁"), dict(span, title="z₂", scaleanchor="x")
    fig.update_layout(xaxis=xaxis, yaxis=yaxis, showlegend=False)
    return _finish(fig, alt, height)


def _finish(fig: Any, alt: str, height: int) -> Any:
    """As :func:`finish`; without a legend the buttons come down to the plot."""
    finish(fig, alt, height)
    if fig.layout.updatemenus:
        fig.update_layout(margin={"t": 52}, updatemenus=[{"pad": {"b": 6}}])
    return fig
