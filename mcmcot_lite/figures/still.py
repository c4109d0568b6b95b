"""Still figures, by matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs
from mcmcot_lite.figures.theme import COLOURS, GREY

__all__ = ["clouds", "image_grid", "prior_circles", "scatter", "style"]


def _pyplot() -> Any:
    return cast(Any, import_module("matplotlib.pyplot"))


def style() -> None:
    """Sets matplotlib's defaults to the book's theme."""
    lines = COLOURS[:7]  # a thin yellow line on white is hard to see
    cycle = cast(Any, import_module("cycler")).cycler(color=lines)
    cast(Any, import_module("matplotlib")).rcParams.update(
        {
            "figure.dpi": 110,
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 10.5,
            "axes.titlesize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "axes.prop_cycle": cycle,
            "image.cmap": "gray",
        }
    )


def image_grid(
    x: Tensor,
    columns: int = 10,
    titles: Sequence[str] | None = None,
    width: float = 6.4,
    heads: Sequence[str] | None = None,
) -> Any:
    """Images in a grid, row by row; a title for each row and a head for each column if given.

    Args:
        x: images (n, 1 or 3, h, w), shown clipped to [0, 1].
        columns: images a row.
        titles: text at the left of each row.
        width: of the figure, in inches.
        heads: text above each column.

    Returns:
        The matplotlib figure.
    """
    checks.tensor("x", x, ndim=4)
    grey_or_rgb, got = x.shape[1] in (1, 3), f"shape {tuple(x.shape)}"
    remedy = "Show one channel at a time, for example x[:, :1]."
    checks.require(grey_or_rgb, "x", "must have 1 or 3 channels on axis 1", got, remedy)
    columns = checks.integer("columns", columns, 1, maximum=1000)
    rows = -(-len(x) // columns)
    titles = inputs.strings("titles", titles) if titles is not None else []
    rule = f"must hold one title for each of the {rows} rows"
    remedy = "Pass '' for a row without a title."
    checks.require(len(titles) in (0, rows), "titles", rule, len(titles), remedy)
    heads = inputs.strings("heads", heads) if heads is not None else []
    rule = f"must hold one head for each of the {columns} columns"
    remedy = "Pass '' for a column without a head."
    checks.require(len(heads) in (0, columns), "heads", rule, len(heads), remedy)
    pixels = x.detach().cpu().float().clamp(0, 1).permute(0, 2, 3, 1).squeeze(-1).numpy()
    label = 0.9 if titles else 0.0
    why = "inches; titles take 0.9 of them" if titles else "inches"
    width = checks.number("width", width, above=label, below=100.0, why=why, remedy="Try 6.4.")
    side = (width - label) / columns
    figure, axes = _pyplot().subplots(rows, columns, figsize=(width, side * rows), squeeze=False)
    for k, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set_visible(False)
        if k < len(pixels):
            ax.imshow(pixels[k], vmin=0, vmax=1)
        if titles and k % columns == 0:
            ax.set_ylabel(titles[k // columns], rotation=0, ha="right", va="center")
        if heads and k < columns:
            ax.set_title(heads[k], fontsize=8)
    return figure


def prior_circles(ax: Any, radii: Sequence[float] = (1, 2, 3)) -> None:
    """Circles around the origin: where a two-dimensional N(0, I) has 39, 86 and 99 % inside."""
    if not isinstance(cast(object, radii), Iterable) or isinstance(radii, str):
        rule, remedy = "must be a sequence of numbers", "For example (1, 2, 3)."
        raise checks.fail("radii", rule, checks.shown(radii), remedy, TypeError)
    found = [checks.number("radii", r, above=0.0) for r in radii]
    inputs.axes(ax)
    for r in found:
        ax.add_patch(
            _pyplot().Circle((0, 0), r, fill=False, ls="--", lw=0.8, color="0.35", zorder=3)
        )


def scatter(
    ax: Any, z: Tensor, labels: Tensor | None = None, limit: float = 4.0, title: str = ""
) -> None:
    """Two-dimensional latents (n, 2) on square axes with the prior's circles.

    Args:
        ax: matplotlib axes.
        z: latents.
        labels: class of each point, (n,), integers or bools, for colour; at most ten classes.
        limit: both axes run from -limit to limit.
        title: of the axes.
    """
    checks.tensor("z", z, shape=(None, 2), remedy="Choose two coordinates, for example z[:, :2].")
    kinds, which = inputs.classes(labels, len(z))
    limit, title = inputs.reach(limit), inputs.line("title", title)
    inputs.axes(ax)
    points = z.detach().cpu().double().numpy()
    for kind, colour in zip(kinds, COLOURS[: len(kinds)], strict=True):
        chosen = points[(which == kind).numpy()]
        ax.scatter(chosen[:, 0], chosen[:, 1], s=5, alpha=0.6, color=colour, lw=0)
    prior_circles(ax)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), title=title, aspect="equal")


def clouds(
    panels: Mapping[str, Tensor],
    labels: Tensor | None = None,
    *,
    plain: Sequence[str] = (),
    limit: float = 4.2,
    side: float = 2.4,
) -> Any:
    """Several latent clouds side by side, each a :func:`scatter` of the first two coordinates.

    Args:
        panels: title -> latents (n, d), d >= 2.
        labels: class of each point, (n,), for colour.
        plain: titles of panels without classes, such as draws of a prior; they are grey.
        limit: all axes run from -limit to limit.
        side: width of a panel, in inches.

    Returns:
        The matplotlib figure.
    """
    named = isinstance(cast(object, panels), Mapping) and len(panels) > 0
    rule, remedy = "must be a dict of titles and latents", 'For example {"VAE": z}.'
    checks.require(named, "panels", rule, checks.shown(panels), remedy, TypeError)
    bare = inputs.strings("plain", plain)
    for title, z in panels.items():
        flat = checks.tensor("panels", z, ndim=2)
        rule, got = "must hold latents of two numbers or more", f"shape {tuple(flat.shape)}"
        checks.require(flat.shape[1] >= 2, "panels", rule, got, "Take z of shape (n, 2).")
        inputs.line("panels", title)
        inputs.classes(None if title in bare else labels, len(z))
    unknown = [title for title in bare if title not in panels]
    rule, remedy = "must name panels", "Check the spelling."
    checks.require(not unknown, "plain", rule, ", ".join(unknown), remedy)
    limit = inputs.reach(limit)
    side = checks.number("side", side, above=0.5, below=20.0, why="inches", remedy="Try 2.4.")
    size = (side * len(panels), side * 1.08)
    figure, axes = _pyplot().subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    for ax, (title, z) in zip(axes.flat, panels.items(), strict=True):
        scatter(ax, z[:, :2], None if title in bare else labels, limit, title)
        ax.locator_params(nbins=5, integer=True)
        if title in bare:
            ax.collections[-1].set_color(GREY)
    return figure
