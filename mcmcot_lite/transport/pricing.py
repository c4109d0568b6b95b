r"""Pricing: does any of the n^2 pairs beat what its source has? Float32 looks, float64 decides.

Source i has the best score o_i among its edges of the graph. If no other pair scores higher, the
optimum on the graph is the optimum; where one does, it joins the graph. Either way the row maxima
:math:`\max_j \langle x_i, y_j\rangle + h_j` give the dual bound D(h).

The pass runs in float32. A group of columns whose float32 maximum stays below o_i by more than the
rounding can hide is settled. Only the others are computed again in float64, once no violated pair
is in sight; that is a few groups a row, since the edges of the graph sit in some.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.graph import Floats, Ints, inner_products
from mcmcot_lite.transport.scan import peaks, roundoff, row_maxima

__all__ = ["Pricing", "Verdict"]

GROUPS = 32  # of a pricing scan: a row can name as many violated pairs
ADD = 8  # violated pairs that a row adds to the graph in one round


@dataclass
class Verdict:
    """What a pass found.

    Attributes:
        row, column: violated pairs, a few a row.
        best: upper bounds of the row maxima at h, (n,): exact where nothing is violated.
    """

    row: Ints
    column: Ints
    best: Floats


class Pricing:
    """Prices round after round, and skips the rows that a falling h cannot have spoiled.

    Args:
        x, y: the clouds, (m, d) and (n, d), float64; columns in random order.
    """

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y
        self.x32, self.y32 = x.float(), y.float()
        self.width = -(-len(y) // GROUPS)  # of a group
        # float32 maxima of the groups when a row was last priced, and the error they may carry
        self.value = torch.empty(len(x), -(-len(y) // self.width), device=x.device)
        self.error = np.empty(len(x))
        self.best = np.full(len(x), np.inf)
        self.own = np.full(len(x), np.inf)  # what the row had when it was last priced
        self.open = np.ones(len(x), dtype=bool)  # rows with a violated pair at their last pricing
        self.passes = 0.0

    def __call__(
        self, own: Floats, h: Floats, tol: Floats, clock: Clock, *, fallen: bool
    ) -> Verdict:
        """One pass.

        Args:
            own: best score of each row on the graph, (m,).
            h: potentials, (n,).
            tol: a row may be beaten by this much, (m,): float64 knows no better.
            clock: the time limit.
            fallen: h is nowhere above the h of the call before, so that a row that was content and
                has kept its score needs no second look.
        """
        n = len(own)
        self.open |= not fallen
        rows = np.flatnonzero(self.open | (own < self.own - tol / 2))
        at = torch.from_numpy(rows).to(self.x.device)
        offset = torch.from_numpy(h).to(self.x.device)
        x32 = self.x32[at] if len(rows) < n else self.x32
        value, column = peaks(x32, self.y32, offset.float(), GROUPS, clock)
        error = roundoff(self.x[at], self.y, offset).cpu().numpy()
        self.value[at], self.error[rows] = value, error
        self.passes += len(rows) / n

        top = value.topk(min(ADD, value.shape[1])).indices
        j = column.gather(1, top).cpu().numpy()
        i = np.repeat(rows, j.shape[1])
        j = j.reshape(-1)
        beats = inner_products(self.x, self.y, i, j) + h[j] > own[i] + tol[i]
        self.best[rows] = np.maximum(own[rows], value.max(1).values.double().cpu().numpy() + error)
        self.own[rows] = own[rows]
        i, j = i[beats], j[beats]
        if len(i) == 0:
            i, j = self._decide(own, offset, tol, clock)
        self.open[:] = False
        self.open[i] = True
        return Verdict(i, j, self.best)

    def _decide(self, own: Floats, h: Tensor, tol: Floats, clock: Clock) -> tuple[Ints, Ints]:
        """Violated pairs in the groups that float32 left open; makes ``best`` exact at h."""
        best = own.copy()
        i, j = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        hot = self.value > torch.from_numpy(own - self.error).to(h.device)[:, None]
        size = max(1, (1 << 20) // self.width)
        for g in range(hot.shape[1]):
            at = hot[:, g].nonzero()[:, 0]
            low, high = g * self.width, (g + 1) * self.width
            group, plus = self.y[low:high].mT, h[low:high]
            for rows in torch.split(at, size):
                clock.check()
                value, place = row_maxima(torch.addmm(plus, self.x[rows], group))
                row, value = rows.cpu().numpy(), value.cpu().numpy()
                beats = value > own[row] + tol[row]
                i.append(row[beats])
                j.append(place.cpu().numpy()[beats] + low)
                best[row] = np.maximum(best[row], value)
        self.best = best
        return np.concatenate(i), np.concatenate(j)
