"""What the figures ask of their arguments: classes, names, frames, alternative text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures.theme import COLOURS

__all__ = [
    "axes",
    "classes",
    "frames",
    "integers",
    "line",
    "pixels",
    "points",
    "reach",
    "strings",
    "text",
]


def text(name: str, value: object) -> str:
    """A string that says something."""
    remedy = "Say in words what the figure shows."
    if not isinstance(value, str):
        raise checks.fail(name, "must be a string", checks.shown(value), remedy, TypeError)
    checks.require(bool(value.strip()), name, "must not be empty", repr(value), remedy)
    return value


def line(name: str, value: object) -> str:
    """A string, which may be empty."""
    if not isinstance(value, str):
        raise checks.fail(
            name, "must be a string", checks.shown(value), "Pass '' or text.", TypeError
        )
    return value


def axes(ax: Any) -> Any:
    """Matplotlib axes to draw into."""
    if not all(callable(getattr(ax, need, None)) for need in ("add_patch", "scatter", "set")):
        remedy = "For example _, ax = plt.subplots()."
        raise checks.fail("ax", "must be matplotlib axes", checks.shown(ax), remedy, TypeError)
    return ax


def pixels(height: object) -> int:
    """Height of a moving figure."""
    why = "plotly draws no figure lower than this"
    return checks.integer("height", height, 10, why=why, maximum=10_000)


def points(name: str, value: Tensor, digits: int = 4) -> list[list[float]]:
    """Points of the plane, (n, 2), as rounded numbers."""
    remedy = "Choose two coordinates, for example z[:, :2]."
    checks.tensor(name, value, shape=(None, 2), remedy=remedy)
    rows = cast("list[list[float]]", value.detach().double().cpu().tolist())
    return [[round(v, digits) for v in row] for row in rows]


def reach(limit: object) -> float:
    """Half the length of both axes."""
    why, remedy = "the axes run from -limit to limit", "Try 4.0."
    limit = checks.number("limit", limit, above=0.0, why=why, remedy=remedy)
    rule = "must be less than 1e30: float32 holds no more"
    checks.require(limit < 1e30, "limit", rule, limit, remedy)
    return limit


def strings(name: str, value: object) -> list[str]:
    """A list of strings; one string is refused, since it would be taken letter by letter."""
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    items = list(cast("Sequence[object]", value)) if listed else []
    if not listed or not all(isinstance(item, str) for item in items):
        remedy = "Pass a list such as ['zeros', 'ones']."
        rule = "must be a sequence of strings"
        raise checks.fail(name, rule, checks.shown(cast("object", value)), remedy, TypeError)
    return cast("list[str]", items)


def frames(name: str, value: object, item: str) -> dict[Any, Any]:
    """A mapping from frame names to ``item``, with at least one frame."""
    remedy = f"Pass {{'name': {item}}}."
    if not isinstance(value, Mapping):
        rule = "must be a mapping from frame names"
        raise checks.fail(name, rule, checks.shown(value), remedy, TypeError)
    found = dict(cast("Mapping[Any, Any]", value))
    checks.require(bool(found), name, "must hold at least one frame", "none", remedy)
    named = all(isinstance(key, str) for key in found)
    got = checks.shown(list(found))
    checks.require(named, name, "must have strings as keys", got, remedy, TypeError)
    return found


def integers(name: str, value: object, shape: tuple[int, ...]) -> Tensor:
    """An integer or bool tensor of a given shape, on the CPU."""
    if not isinstance(value, Tensor):
        remedy = "Convert it with torch.as_tensor(...)."
        raise checks.fail(name, "must be a torch.Tensor", checks.shown(value), remedy, TypeError)
    whole = not (value.is_floating_point() or value.is_complex())
    rule = "must have an integer or bool dtype"
    checks.require(whole, name, rule, value.dtype, "Convert it with .long().", TypeError)
    rule, got = f"must have shape {shape}", f"shape {tuple(value.shape)}"
    checks.require(tuple(value.shape) == shape, name, rule, got, "Pass one entry for each point.")
    return value.cpu()


def classes(labels: object, n: int) -> tuple[list[int], Tensor]:
    """The classes present, in order, and the class of each of n points (one class if no labels)."""
    if labels is None:
        return [0], torch.zeros(n, dtype=torch.long)
    which = integers("labels", labels, (n,))
    kinds = cast("list[int]", which.unique().tolist())
    rule = f"must hold at most {len(COLOURS)} classes: the theme has no more colours"
    got, remedy = f"{len(kinds)} classes", "Merge classes, or draw fewer of them."
    checks.require(len(kinds) <= len(COLOURS), "labels", rule, got, remedy)
    return kinds, which
