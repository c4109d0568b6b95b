"""Laguerre cells of the plane as polygons: a square cut by half planes, exact up to rounding."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor

__all__ = ["Polygon", "laguerre_polygons"]

Polygon = list[tuple[float, float]]  # corners in order; empty for an empty cell


def laguerre_polygons(targets: Tensor, h: Tensor, limit: float) -> list[Polygon]:
    """The cell {x : <x, z_j> + h_j >= <x, z_k> + h_k for all k} of each target, within a square.

    Args:
        targets: (k, 2).
        h: their bonuses, (k,).
        limit: the square is [-limit, limit]^2.
    """
    z = cast("list[list[float]]", targets.detach().double().tolist())
    bonus = cast("list[float]", h.detach().double().tolist())
    square: Polygon = [(-limit, -limit), (limit, -limit), (limit, limit), (-limit, limit)]
    found: list[Polygon] = []
    for (a, b), c in zip(z, bonus, strict=True):
        cell = square
        for (u, v), w in zip(z, bonus, strict=True):
            cell = _cut(cell, a - u, b - v, c - w)
        found.append(cell)
    return found


def _cut(polygon: Polygon, a: float, b: float, c: float) -> Polygon:
    """The part of a convex polygon where a x + b y + c >= 0 (Sutherland and Hodgman's clipping)."""
    kept: Polygon = []
    for (x, y), (u, v) in pairwise([*polygon, *polygon[:1]]):
        here, there = a * x + b * y + c, a * u + b * v + c
        if here >= 0:
            kept.append((x, y))
        if (here >= 0) != (there >= 0):  # the side crosses the border
            t = here / (here - there)
            kept.append((x + t * (u - x), y + t * (v - y)))
    return kept
