r"""Algorithm 2: the semi-discrete dual by Adam on h, and the repaired one-to-one map T-hat.

E(h) of Eq. (14) is convex and piecewise linear. Its gradient counts:
:math:`\partial E / \partial h_j = \#J_j / n - 1/n`, where J_j holds the sources whose best score is
target j. At the minimum every cell can hold exactly one source. Half the L1 norm of the gradient is
exactly the share of empty cells, hence the share of sources that the repair removes: it stops the
iteration at ``eps``, which is what the paper promises of eps.

What the paper leaves unsaid, and what is done here:

- One second moment for all of h, v = 0.5 v + 0.5 ||grad||^2, without bias correction, as in the
  authors' released script. Element-wise Adam with betas (0.9, 0.5) sticks far above eps.
- The step is a length in units of the scores: sqrt(n d) std(z_hat) std(z) / 100, so that scaled
  clouds take scaled steps. It shrinks by ``decay`` when energy, L1 norm and the number of filled
  cells have all stopped improving. Departs: decay 0.9 where the script has 0.995; it needs a third
  to a sixth of the iterations.
- The gradient has mean zero by itself, so the paper's centring of it changes nothing but rounding;
  the step is centred.
- Departs: h starts at 0 for the centred clouds. Line 3's h = 0 for clouds as they are is another
  start, unless both have mean zero.
- Departs: the best h seen is returned, not the last one.
- float32 clouds are searched in float32; what is returned was counted in float64.

It may fail, and says so by ``converged=False``: equal sources share a cell whatever h is, and in
d = 1 the ascent is slow (:func:`mcmcot_lite.transport.exact_map` is right for both).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport.graph import staircase
from mcmcot_lite.transport.result import TransportMap, mean_cost
from mcmcot_lite.transport.scores import SMALL, Scores, check_clouds, check_h, proof
from mcmcot_lite.transport.simplex import assign

__all__ = ["check_eps", "repair", "semidual_map"]

BETA1, BETA2 = 0.9, 0.5  # Algorithm 2, line 7
WARMUP = 50  # iterations before the step may shrink, as in the released script
SMALLEST = 1e-7  # a step this small, in units of the scores, moves no cell: give up, and say so


def semidual_map(
    z_hat: Tensor,
    z: Tensor,
    *,
    eps: float = 0.05,
    rng: torch.Generator,
    h0: Tensor | None = None,
    max_steps: int = 5_000,
    decay: float = 0.9,
) -> TransportMap:
    """Algorithm 2 of the paper, from the sources z_hat to the targets z.

    Args:
        z_hat: sources, (n, d).
        z: targets, (n, d), of the same dtype and device.
        eps: largest share of removed sources, in [0, 1).
        rng: picks the source kept in a cell that holds several; on the device of the clouds.
        h0: start of h, (n,), for uncentred scores, e.g. the ``h`` of an earlier result; useful only
            while the targets stay the same. Left out: zeros for the centred clouds (line 3).
        max_steps: most iterations (the released script allows 20,000, with its slower decay).
        decay: factor of the step at a plateau, in (0, 1).

    Returns:
        :class:`TransportMap`. ``converged`` is True exactly when ``removed <= eps``. The dual bound
        comes from the h returned; the primal cost from the repaired map, completed.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.

    Memory: O(n d) and a buffer of at most 2,000 x 2,000 scores, for any n.
    """
    check_clouds(z_hat, z)
    eps = check_eps(eps)
    rng = checks.rng_on(rng, z_hat.device)
    if h0 is not None:
        check_h("h0", h0, z)
    max_steps = checks.integer("max_steps", max_steps, 1)
    decay = checks.number("decay", decay, above=0.0, below=1.0, remedy="Try 0.9.")
    scores = Scores(z_hat, z)
    h = torch.zeros(scores.n, dtype=scores.dtype, device=z.device)  # line 3
    if h0 is not None:
        h = scores.inner(h0).to(scores.dtype)
    h, history = _ascend(scores, h, eps, max_steps, decay)
    value, cell = scores.best(h)
    index = repair(cell, scores.n, rng)  # line 9
    bijection = _complete(scores, index)
    removed = float((index < 0).double().mean())
    proven = proof(scores, scores.gain(bijection), float(value.mean() - h.mean()), h)
    return TransportMap(
        index=index,
        bijection=bijection,
        h=scores.outer(h),
        primal=mean_cost(z_hat, z, bijection),
        dual=scores.dual(value, h),
        removed=removed,
        converged=removed <= eps,
        steps=len(history),
        method="semidual",
        status="eps reached" if removed <= eps else "stuck above eps",
        certified=proven.holds,
        history=history,
    )


def _ascend(
    scores: Scores, h: Tensor, eps: float, max_steps: int, decay: float
) -> tuple[Tensor, tuple[float, ...]]:
    """Lines 4 to 8: (the best h, (n,) float64; the share of empty cells at each iteration)."""
    n = scores.n
    step = math.sqrt(n * scores.d) / 100
    m, v = torch.zeros_like(h), 0.0
    energies: list[float] = []
    empties: list[float] = []  # half the L1 norm of the gradient
    best_h, best_empty = h, math.inf
    while len(empties) < max_steps:
        energy, count = scores.counts(h)  # line 5: the sizes of the cells J_j
        energies.append(energy)
        empties.append(float((count == 0).sum()) / n)
        if empties[-1] < best_empty:
            best_h, best_empty = h, empties[-1]
        if empties[-1] <= eps:  # line 8
            if h.dtype == torch.float64:
                break
            h, m, best_empty = h.double(), m.double(), math.inf  # count once more, in float64
            continue
        if len(empties) > WARMUP and _stalled(energies) and _stalled(empties):
            step *= decay
            if step < SMALLEST:
                break
        grad = (count.to(h.dtype) - 1) / n  # line 6
        m = BETA1 * m + (1 - BETA1) * grad  # line 7
        v = BETA2 * v + (1 - BETA2) * float(grad.square().sum())
        move = step / (math.sqrt(v) + 1e-16) * m
        h = h - (move - move.mean())
    return best_h.double(), tuple(empties)


def _stalled(values: list[float]) -> bool:
    """The last two values are together no better than the two before the last three."""
    return values[-1] + values[-2] >= values[-4] + values[-5]


def check_eps(eps: float) -> float:
    """The largest removed share: in [0, 1)."""
    return checks.number(
        "eps",
        eps,
        above=0.0,
        below=1.0,
        closed=(True, False),
        why="it is a share of the samples",
        remedy="The paper uses 0.05.",
    )


def repair(cell: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """T-hat of Section 5.2, (m,): of the sources in a cell a random one stays; the others get -1.

    Args:
        cell: target of each source, (m,) long, in 0, ..., n - 1.
        n: number of targets.
        rng: makes the choice, on cell's device.
    """
    n = checks.integer("n", n, 1)
    if not isinstance(cell, Tensor) or cell.dtype != torch.long:  # pyright: ignore[reportUnnecessaryIsInstance]
        rule, remedy = "must be a tensor of dtype torch.int64", "Call laguerre_cells."
        raise checks.fail("cell", rule, checks.shown(cell), remedy, TypeError)
    fits = cell.ndim == 1 and bool(((cell >= 0) & (cell < n)).all())
    rule, remedy = f"must have shape (m,) and entries from 0 to {n - 1}", "Call laguerre_cells."
    checks.require(fits, "cell", rule, checks.shown(cell), remedy)
    rng = checks.rng_on(rng, cell.device)
    order = torch.randperm(len(cell), generator=rng, device=cell.device)
    place = torch.arange(len(cell), device=cell.device)
    keeper = torch.full((n,), -1, dtype=torch.long, device=cell.device)
    keeper = keeper.scatter_reduce(0, cell[order], place, "amax")  # last comer of each cell
    filled = keeper >= 0
    index = torch.full_like(cell, -1)
    index[order[keeper[filled]]] = filled.nonzero()[:, 0]
    return index


def _complete(scores: Scores, index: Tensor) -> Tensor:
    """Matches the removed sources with the empty targets: optimally if few, else by sorting."""
    full = index.clone()
    rows = (index < 0).nonzero()[:, 0]
    empty = torch.ones(scores.n, dtype=torch.bool, device=index.device)
    empty[index[index >= 0]] = False
    columns = empty.nonzero()[:, 0]
    x, y = scores.x[rows], scores.y[columns]
    if len(rows) == 0:
        return full
    if len(rows) <= SMALL:
        full[rows] = columns[assign(x, y)[0]]
    else:
        ones = np.ones(len(rows))
        i, j = (torch.from_numpy(t).to(rows.device) for t in staircase(x, y, ones, ones))
        full[rows[i]] = columns[j]
    return full
