"""How much memory a correction usually takes, by solver; the bound for all is ``memory_needed``."""

from __future__ import annotations

import math

from mcmcot_lite.transport.auction import ROWS
from mcmcot_lite.transport.exact import DENSE
from mcmcot_lite.transport.pricing import GROUPS
from mcmcot_lite.transport.scan import TILE
from mcmcot_lite.transport.scores import SMALL

__all__ = ["correction_bytes"]


def correction_bytes(n: int, d: int, method: str, eps: float, device: str) -> int:
    """Bytes that a correction takes on its device, for latents that are no extreme.

    Lines through what processes took whose allocator returns freed blocks at once, n from 500 to
    20,000 (results/memory.json). `results/transport.json` has up to 25 % more, up to n = 60,000,
    where it does not. Tight clusters take the exact solver up to twice as much;
    :func:`~.memory_needed` is a bound for all.

    Args:
        n, d: of the clouds.
        method: of :func:`mcmcot_lite.transport`.
        eps: largest removed share, of ``"semidual"``.
        device: ``"cpu"`` or ``"cuda"``.
    """
    room = SMALL * SMALL // (4 if device == "cpu" else 1)
    if method == "semidual":
        removed = min(round(eps * n), SMALL)  # completed by POT, if they are few
        table = 38 * removed**2 if removed < SMALL else 0
        search = n * (24 * d + 100) + 8 * min(n * n, room)
        return (1 << 20) + max(41 * d * n, search, 16 * d * n + table)
    if method == "auction":
        blocks = 4 * n * n if n * n <= ROWS else 8 * ROWS  # the last and the next
        return blocks + n * (500 + 28 * d)
    if device != "cpu":  # a tile of scores, the best of each group for each row, both clouds
        return 4 * math.prod(TILE[device]) + n * (GROUPS * 12 + 32 * d)
    if n <= DENSE:
        return (1 << 20) + 40 * n * n
    return (6 << 20) + n * (3700 + 20 * d) + 45 * d * min(n, 4000)
