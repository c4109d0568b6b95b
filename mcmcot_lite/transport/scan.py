r"""One pass over all pairs: the best scores of each row, found in tiles and never stored.

Whatever a solver wants to know of the n x n scores <x_i, y_j> + o_j, it asks here. The columns are
cut into groups, and a pass returns the best column of each group for each row: the row maximum is
the maximum over its groups, and the k best groups give k good candidates. That costs a matrix
product and one comparison per pair; sorting out the true k best of a row costs several times more.
The groups are good candidates only if neighbours do not share them: shuffle the columns first.

A pass runs in float32 on the device of its inputs. :func:`roundoff` bounds what that can hide. Rows
are independent of each other: inside :func:`shared`, each process of a world makes the passes for
some of the rows, and all receive the results. What follows from those is the same in each.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.world import ALONE, World

__all__ = ["crew", "peaks", "roundoff", "row_best", "row_count", "row_maxima", "shared"]

TILE = {"cpu": (512, 2048), "cuda": (8192, 16384)}  # rows x columns: 4 MB in a cache; 0.5 GB
UNIT = {"highest": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}  # float32, TF32, bfloat16


_WORLD: ContextVar[World] = ContextVar("world", default=ALONE)


@contextmanager
def shared(world: World) -> Generator[None]:
    """Context in which the processes of a world share every pass over all pairs.

    Each must call the same solvers with the same clouds, random states and no time limit.
    """
    token = _WORLD.set(world)
    try:
        yield
    finally:
        _WORLD.reset(token)


def crew() -> World:
    """The processes that share a pass."""
    return _WORLD.get()


def peaks(x: Tensor, y: Tensor, offset: Tensor, groups: int, clock: Clock) -> tuple[Tensor, Tensor]:
    """Best score of each row in each group of columns, and its column.

    Args:
        x: rows, (m, d).
        y: columns, (n, d), of x's dtype and device.
        offset: added to the scores of each column, (n,).
        groups: how many groups of consecutive columns, of ceil(n / groups) each, are compared.
        clock: raises TimeUp between tiles.

    Returns:
        (value (m, G), column (m, G) long) with G = ceil(n / ceil(n / groups)) <= groups.
    """
    world = crew()
    if world.size == 1:
        return _peaks(x, y, offset, groups, clock)
    value, column = _peaks(world.rows(x).contiguous(), y, offset, groups, clock)
    return world.gather(value, len(x)), world.gather(column, len(x))


def _peaks(
    x: Tensor, y: Tensor, offset: Tensor, groups: int, clock: Clock
) -> tuple[Tensor, Tensor]:
    """:func:`peaks` in one process."""
    m, n = len(x), len(y)
    width = -(-n // groups)  # of a group
    groups = -(-n // width)
    value = torch.empty(m, groups, dtype=x.dtype, device=x.device)
    column = torch.empty(m, groups, dtype=torch.int32, device=x.device)
    rows, columns = TILE.get(x.device.type, TILE["cuda"])
    per = max(1, columns // width)  # groups in a tile
    room = torch.empty(min(rows, m) * min(per * width, n), dtype=x.dtype, device=x.device)
    for g in range(0, groups, per):
        begin, end = g * width, min((g + per) * width, n)
        whole = (end - begin) // width  # the last group may be narrower than the others
        spans = [(begin, begin + whole * width, width)] if whole else []
        if begin + whole * width < end:
            spans.append((begin + whole * width, end, end - begin - whole * width))
        for low, high, w in spans:
            at = slice(low // width, low // width + (high - low) // w)
            across, plus = y[low:high].mT, offset[low:high]
            for r in range(0, m, rows):
                clock.check()
                part = x[r : r + rows]
                tile = room[: len(part) * (high - low)].view(len(part), high - low)
                torch.addmm(plus, part, across, out=tile)
                best, place = row_maxima(tile.view(len(part), -1, w))
                value[r : r + rows, at] = best
                starts = torch.arange(low, high, w, device=x.device)
                column[r : r + rows, at] = (place + starts).int()
    return value, column.long()


def row_maxima(tile: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum and its place along the last axis; of equal ones, on a CPU, the first."""
    if tile.device.type != "cpu":
        value, place = tile.max(-1)
        return value, place
    place = torch.from_numpy(np.asarray(tile.numpy().argmax(-1)))  # ten times faster than torch
    return tile.gather(-1, place[..., None])[..., 0], place


def row_best(x: Tensor, y: Tensor, h: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Row maxima (m,) of <x_i, y_j> + h_j and their columns (m,), in the dtype of all three.

    Made in blocks of rows of at most ``room`` scores, or one row.
    """
    world = crew()
    if world.size == 1:
        return _row_best(x, y, h, room)
    value, column = _row_best(world.rows(x), y, h, room)
    return world.gather(value, len(x)), world.gather(column, len(x))


def row_count(x: Tensor, y: Tensor, h: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """(mean of the row maxima, rows whose best column is j (n,)): sums over the processes."""
    world = crew()
    value, column = _row_best(world.rows(x), y, h, room)
    total, count = value.sum(dtype=torch.float64), torch.bincount(column, minlength=len(y))
    world.add(total, count)
    return total / len(x), count


def _row_best(x: Tensor, y: Tensor, h: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """:func:`row_best` in one process."""
    rows = min(len(x), max(1, room // len(y)))
    block = torch.empty(rows, len(y), dtype=h.dtype, device=h.device)
    parts = [
        row_maxima(torch.addmm(h, part, y.mT, out=block[: len(part)]))
        for part in torch.split(x, rows)
    ]
    return torch.cat([value for value, _ in parts]), torch.cat([column for _, column in parts])


def roundoff(x: Tensor, y: Tensor, h: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """How far scores <x_i, y_j> + h_j computed in ``dtype`` can be off, for each row, (m,) float64.

    Rounding x, y and h and summing d products errs by at most (d + 4) u |x_i| max|y| + 2 u max|h|,
    with u the unit roundoff: 2^-53 in float64; 2^-24 in float32, or more where the user has allowed
    its matrix products to use TF32 or bfloat16.
    """
    u = 2.0**-53
    if dtype == torch.float32:
        try:
            u = UNIT[torch.get_float32_matmul_precision()]
        except RuntimeError:  # set for one backend alone: it does not say which, so the worst
            u = UNIT["medium"]
        if torch.backends.cuda.matmul.allow_tf32 and x.device.type == "cuda":
            u = max(u, UNIT["high"])
    longest = y.square().sum(1).max().sqrt()
    size = (x.shape[1] + 4) * x.square().sum(1).sqrt() * longest
    return 1.01 * u * (size + 2 * h.abs().max())
