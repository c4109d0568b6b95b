"""Coarse to fine: potentials for low dimension, where a few far pairs shape everything.

Both clouds are cut, median by median, into cells of four points, those into cells of four cells,
and so on: a pyramid of smaller and smaller clouds of centres with masses. The coarsest problem is
solved on its full table. Each solution then hands its potentials down: the finer level takes their
c-transform, :math:`h_j = -\\max_a \\{\\langle X_a, y_j\\rangle - \\phi_a\\}`, smooths it on a
sparse graph, and solves again. Since the masses are right at every level, only local errors are
left on the way down.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.candidates import candidates
from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.gaussian import clipped, directions, eigen, spectrum
from mcmcot_lite.transport.generation import plans
from mcmcot_lite.transport.graph import Floats, Ints
from mcmcot_lite.transport.scan import peaks
from mcmcot_lite.transport.simplex import dense_flow
from mcmcot_lite.transport.smooth import smooth

__all__ = ["effective_dimension", "multiscale"]

COARSEST = 600  # cells at the top: their full table of costs is solved in 0.1 s
BRANCH = 4  # cells in a cell
FEW, MANY = 16, 48  # candidates of a row: many where a row has that many nearly as good
ROUNDS = 6  # of column generation at a level; one or two do unless sources lie in tight clusters


def effective_dimension(x: Tensor, y: Tensor) -> float:
    """How many directions share the mean score: (sum w)^2 / sum w^2 of their weights w."""
    w = spectrum(*directions(clipped(x), clipped(y)))
    return float(w.sum().square() / w.square().sum()) if bool((w > 0).any()) else 0.0


def multiscale(x: Tensor, y: Tensor, clock: Clock) -> Floats:
    """Potentials of the columns, (n,), from a pyramid over the clouds x and y, (n, d) float64."""
    sizes = [BRANCH]
    while len(x) / sizes[-1] > COARSEST:
        sizes.append(sizes[-1] * BRANCH)
    u, v = directions(x, y)
    along = u @ weights(clipped(v)), v @ weights(clipped(u))
    X, Y, a, b = _level(x, y, along, sizes[-1])
    h = dense_flow(X, Y, a, b)
    f = (X @ Y.mT + torch.from_numpy(h).to(X)).max(1).values
    for size in sizes[-2::-1]:
        above = X
        X, Y, a, b = _level(x, y, along, size)
        h = handed_down(above, f, Y, clock)
        h, f = _solved(X, Y, h, a, b, clock)
    return handed_down(X, f, y, clock)


def _solved(
    X: Tensor, Y: Tensor, h: Floats, a: Floats, b: Floats, clock: Clock, k: int = FEW
) -> tuple[Floats, Tensor]:
    """Nearly optimal potentials of a level's columns, and of its rows, from k candidates a row."""
    graph, spread = candidates(X, Y, h, a, b, clock, k=k, few=4)
    if spread > 0:
        h = smooth(graph, h, a, b, 0.1 * spread, 6)
    rounds = plans(graph, h, a, b, clock, 1e-3 * spread)
    step = next(rounds)
    if step.violated > len(X) and k == FEW:
        return _solved(X, Y, h, a, b, clock, MANY)
    for _ in range(ROUNDS - 1):
        if step.violated <= 0.01 * len(X):
            break
        step = next(rounds)
    return step.h, torch.from_numpy(step.own).to(X)


def handed_down(X: Tensor, f: Tensor, y: Tensor, clock: Clock) -> Floats:
    """The c-transform of a level's row potentials f at points y: -max_a <X_a, y_j> - f_a, (n,)."""
    value, _ = peaks(y.float(), X.float(), -f.float(), 1, clock)
    return -value[:, 0].double().cpu().numpy()


def weights(y: Tensor) -> Tensor:
    """A map for the other cloud, (d, d), after which its distances count as in the scores."""
    values, vectors = eigen(y.mT @ y / len(y))
    return vectors * values.sqrt()


def _level(
    x: Tensor, y: Tensor, along: tuple[Tensor, Tensor], size: int
) -> tuple[Tensor, Tensor, Floats, Floats]:
    """Centres and masses of the cells of about ``size`` points of both clouds, shuffled.

    ``along`` are coordinates of the clouds in which the cells are cut.
    """
    X, a = _centres(x, cells(along[0], size))
    Y, b = _centres(y, cells(along[1], size))
    return X, Y, a, b


def _centres(x: Tensor, cell: Ints) -> tuple[Tensor, Floats]:
    label = torch.from_numpy(cell).to(x.device)
    count = torch.bincount(label)
    total = torch.zeros(len(count), x.shape[1], dtype=x.dtype, device=x.device)
    total.index_add_(0, label, x)
    order = torch.randperm(
        len(count), generator=torch.Generator("cpu").manual_seed(0), device="cpu"
    ).to(x.device)
    return (total / count[:, None])[order], count[order].double().cpu().numpy()


def cells(x: Tensor, size: int) -> Ints:
    """Label of each point: cut at the median of the widest coordinate, to ``size`` or fewer."""
    points = x.cpu().numpy()
    label = np.empty(len(points), dtype=np.int64)
    todo, done = [np.arange(len(points))], 0
    while todo:
        part = todo.pop()
        if len(part) <= size:
            label[part] = done
            done += 1
            continue
        p = points[part]
        axis = np.argmax(p.var(0))
        half = len(part) // 2
        order = np.argpartition(p[:, axis], half)
        todo += [part[order[:half]], part[order[half:]]]
    return label
