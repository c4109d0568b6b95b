"""Functions of the latent plane: a density as a surface, Laguerre cells as a map, by plotly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs
from mcmcot_lite.figures.frames import finish, graph_objects, rounded, slider
from mcmcot_lite.figures.theme import BLUE, RED

__all__ = ["cells", "surface"]

# Light enough for black dots and text on top, twelve of them, so that neighbours differ.
PASTEL = (
    "#c6dbef",
    "#fdd0a2",
    "#c7e9c0",
    "#dadaeb",
    "#fee391",
    "#fbb4b9",
    "#d9d9d9",
    "#ccebc5",
    "#e6cfb8",
    "#b3e2dd",
    "#f4cae4",
    "#e2e6a9",
)


def surface(
    axis: Tensor,
    values: Tensor,
    *,
    alt: str,
    paths: Mapping[str, Tensor] | None = None,
    prefix: str = "",
    height: int = 560,
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
    height = inputs.pixels(height)
    go = graph_objects()
    ground = go.Surface(
        x=rounded(axis),
        y=rounded(axis),
        z=[rounded(row, 4) for row in values],
        colorscale="Blues",
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
    fig.update_layout(
        showlegend=False,
        scene={
            "xaxis": {"title": "z₁"},
            "yaxis": {"title": "z₂"},
            "zaxis": {"title": "density"},
            "aspectmode": "manual",
            "aspectratio": {"x": 1, "y": 1, "z": 0.6},
            "camera": {"eye": {"x": 1.5, "y": -1.7, "z": 1.2}},
        },
    )
    return finish(fig, alt, height)


def cells(
    frames_of: Mapping[str, tuple[Tensor, Tensor]],
    axis: Tensor,
    sources: Tensor,
    targets: Tensor,
    *,
    alt: str,
    prefix: str = "",
    height: int = 560,
) -> Any:
    """Laguerre cells over the plane of the sources, one picture a frame.

    Args:
        frames_of: frame name -> (cell of each grid point (m, m), cell of each source (n,)),
            integers from 0.
        axis: grid coordinates, (m,).
        sources: (n, 2), drawn as dots: each lies in the cell of its best target.
        targets: (k, 2), drawn as numbered diamonds.
        alt: alternative text.
        prefix: text before the frame's name.
        height: in pixels.
    """
    checks.tensor("axis", axis, ndim=1)
    checks.tensor("sources", sources, shape=(None, 2))
    checks.tensor("targets", targets, shape=(None, 2))
    m, n, k = len(axis), len(sources), len(targets)
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for name, pair in inputs.frames("frames_of", frames_of, "(grid, own)").items():
        here = f"frames_of[{name!r}]"
        if not isinstance(pair, tuple | list) or len(cast("list[Any]", pair)) != 2:
            rule = "must be a pair: cells of the grid points, cells of the sources"
            raise checks.fail(
                here, rule, checks.shown(cast("object", pair)), "Pass (grid, own).", TypeError
            )
        grid, own = cast("list[Any]", pair)
        pairs[name] = (
            inputs.integers(f"{here}[0]", grid, (m, m), below=k),
            inputs.integers(f"{here}[1]", own, (n,), below=k),
        )
    inputs.text("alt", alt)
    height = inputs.pixels(height)
    go = graph_objects()
    scale = [[(j + e) / k, PASTEL[j % len(PASTEL)]] for j in range(k) for e in (0, 1)]

    def data(grid: Tensor, own: Tensor) -> list[Any]:
        count = torch.bincount(own, minlength=k)
        names = [f"{j + 1}: {int(c)}" for j, c in enumerate(count)]
        sx, sy = (rounded(c) for c in sources.T)
        tx, ty = (rounded(c) for c in targets.T)
        ink = [RED if int(c) != 1 else BLUE for c in count]
        return [
            go.Heatmap(
                x=rounded(axis),
                y=rounded(axis),
                z=grid.tolist(),
                zmin=-0.5,
                zmax=k - 0.5,
                colorscale=scale,
                showscale=False,
                hoverinfo="skip",
            ),
            go.Scatter(
                x=sx,
                y=sy,
                mode="markers",
                name="source",
                marker={"size": 7, "color": "#444444"},
                hoverinfo="skip",
            ),
            go.Scatter(
                x=tx,
                y=ty,
                mode="markers+text",
                name="target: count",
                text=names,
                textposition="top center",
                textfont={"color": "black"},
                marker={"size": 10, "symbol": "diamond", "color": ink},
                hoverinfo="skip",
            ),
        ]

    frames = [go.Frame(name=name, data=data(*pair)) for name, pair in pairs.items()]
    fig = go.Figure(data=frames[0].data, frames=frames)
    fig.update_layout(**slider(list(pairs), prefix, redraw=True))
    span = {"range": [float(axis[0]), float(axis[-1])], "constrain": "domain"}
    fig.update_layout(xaxis=span, yaxis=dict(span, scaleanchor="x"))
    return finish(fig, alt, height)
