r"""Pricing: does any of the n^2 pairs beat what its source has? Float32 looks, float64 decides.

Source i has the best score o_i among its edges of the graph. If no other pair scores higher, the
optimum on the graph is the optimum; where one does, it joins the graph. Either way the row maxima
:math:`\max_j \langle x_i, y_j\rangle + h_j` give the dual bound D(h).

A pass in float32 leaves an upper bound for each row and each group of columns. As long as h only
falls, these bounds stay true, however old. A group whose bound is below o_i is settled; only the
others, a few of each row, are computed again, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcmcot_lite.transport.candidates import Look
from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.graph import Floats, Ints, inner_products
from mcmcot_lite.transport.scan import peaks, roundoff, row_maxima

__all__ = ["Pricing", "Verdict"]

GROUPS = 32  # of a pass: a row can name as many violated pairs
ADD = 8  # violated pairs that a row adds to the graph in one round
BLOCK = 1 << 20  # scores computed at a time in float64: 8 MB


@dataclass
class Verdict:
    """What the pricing found.

    Attributes:
        row, column: violated pairs, a few a row.
        best: upper bounds of the row maxima at h, (n,): exact where nothing is violated.
    """

    row: Ints
    column: Ints
    best: Floats


class Pricing:
    """Prices round after round, and looks again only where a falling h may have left something.

    Args:
        x, y: the clouds, (m, d) and (n, d), float64; columns in random order.
        seen: a pass made at potentials that h will not exceed; spares the first one.
    """

    def __init__(self, x: Tensor, y: Tensor, seen: Look | None = None) -> None:
        self.x, self.y = x, y
        self.bound = torch.empty(0)  # of each row and group; no bounds yet
        self.slack = torch.empty(0)  # rounding of a bound, (m, 1)
        if seen is not None:
            self._remember(seen)
        self.own = np.full(len(x), np.inf)  # what each row had at the last call
        self.open = np.ones(len(x), dtype=bool)  # rows with a violated pair at the last call

    def __call__(
        self, own: Floats, h: Floats, tol: Floats, clock: Clock, *, fallen: bool
    ) -> Verdict:
        """One round.

        Args:
            own: best score of each row on the graph, (m,).
            h: potentials, (n,).
            tol: a row may be beaten by this much, (m,): float64 knows no better.
            clock: the time limit.
            fallen: h is nowhere above the h of the call, or look, before, so that bounds hold, and
                a row that was content and has kept its score needs no second look.
        """
        offset = torch.from_numpy(h).to(self.x.device)
        if not fallen or len(self.bound) == 0:
            found = self._pass(own, offset, tol, clock)
            rows = None
        else:
            found, rows = None, self.open | (own < self.own - tol / 2)
        if found is None:
            found = self._decide(own, offset, tol, clock, rows)
            if rows is not None and len(found.row) == 0:  # the end: every row counts
                found = self._decide(own, offset, tol, clock, None)
        self.own = own
        self.open[:] = False
        self.open[found.row] = True
        return found

    def _remember(self, seen: Look) -> None:
        self.slack = 2 * seen.slack[:, None]  # twice: the sum below is rounded too
        self.bound = (seen.value + self.slack).float()
        self.width = -(-len(self.y) // self.bound.shape[1])  # of a group

    def _pass(self, own: Floats, h: Tensor, tol: Floats, clock: Clock) -> Verdict | None:
        """All pairs in float32; names the pairs that float64 finds violated, if any."""
        value, column = peaks(self.x.float(), self.y.float(), h.float(), GROUPS, clock)
        seen = Look(value, column, roundoff(self.x, self.y, h))
        self._remember(seen)
        top = value.topk(min(ADD, value.shape[1])).indices
        j = column.gather(1, top).cpu().numpy()
        i = np.repeat(np.arange(len(own)), j.shape[1])
        j = j.reshape(-1)
        beats = inner_products(self.x, self.y, i, j) + h.cpu().numpy()[j] > own[i] + tol[i]
        if not beats.any():
            return None
        return Verdict(i[beats], j[beats], np.maximum(own, seen.best()))

    def _decide(
        self, own: Floats, h: Tensor, tol: Floats, clock: Clock, rows: NDArray[np.bool_] | None
    ) -> Verdict:
        """The groups that the bounds leave open, in float64: exact maxima of the rows."""
        best = own.copy()
        i, j = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        excess: list[Floats] = [np.empty(0)]
        least = own if rows is None else np.where(rows, own, np.inf)
        hot = self.bound > torch.from_numpy(least).to(h.device)[:, None]
        size = max(1, BLOCK // self.width)
        for g in range(hot.shape[1]):
            at = hot[:, g].nonzero()[:, 0]
            low, high = g * self.width, (g + 1) * self.width
            group, plus = self.y[low:high].mT, h[low:high]
            for some in torch.split(at, size):
                if len(some) == 0:
                    continue
                clock.check()
                value, place = row_maxima(torch.addmm(plus, self.x[some], group))
                self.bound[some, g] = (value + self.slack[some, 0]).float()
                row, value = some.cpu().numpy(), value.cpu().numpy()
                beats = value > own[row] + tol[row]
                i.append(row[beats])
                j.append(place.cpu().numpy()[beats] + low)
                excess.append(value[beats] - own[row[beats]])
                best[row] = np.maximum(best[row], value)
        row, column = _worst(np.concatenate(i), np.concatenate(j), np.concatenate(excess))
        return Verdict(row, column, best)


def _worst(row: Ints, column: Ints, excess: Floats) -> tuple[Ints, Ints]:
    """The ADD pairs of each row that are violated most."""
    order = np.lexsort((-excess, row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    return row[place < ADD], column[place < ADD]
