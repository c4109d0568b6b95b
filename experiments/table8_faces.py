"""Table 8 on small faces: CelebA at 32 x 32, which two cores can learn from within the hour.

Departs: faces of half the paper's side and a tenth of their number, six of the levels. As the
licence of CelebA asks, no picture is stored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments import table8
from experiments.sizes import Size
from experiments.table8 import SETTLED

TITLE = "Table 8 on faces of 32 x 32"
LEVELS = [("square", 15), ("square", 30), ("square", 45), ("salt", 50), ("salt", 70), ("salt", 90)]
NAMES = ("VAE", "ABP", SETTLED)


def budget(size: Size) -> Size:
    """Cut for the cpu size: 18 runs a seed."""
    if size.width >= 1:
        return replace(table8.budget(size), width=0.5)
    if size.n < 1000:
        return size
    return replace(size, n=1000, d=16, width=0.125, iterations=30, K=10, batch=100)


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """Of the settings."""
    return table8.changes(case, size)


def cases(size: Size) -> list[dict[str, Any]]:
    """Each method on each mask."""
    return [
        {"dataset": "faces_32", "mask": kind, "level": level, "method": name}
        for kind, level in LEVELS
        for name in NAMES
    ]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Learns from what the masks show; the errors on what they hide."""
    return table8.run(case, size, seed)
