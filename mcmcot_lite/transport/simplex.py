"""POT's network simplex, on the full table of costs for few points and on a sparse graph for many.

POT (https://pythonot.github.io) carries a network simplex in C++. It knows no time limit, but it
lets other threads run: it works in a thread of its own, and whoever runs out of time leaves it
behind. It then ends by itself after at most ``PIVOTS`` pivots a node.
"""

from __future__ import annotations

import threading
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite.transport.clock import Clock, TimeUp
from mcmcot_lite.transport.graph import Floats, Graph, Ints

__all__ = ["SolverError", "assign", "dense_flow", "flow"]

PIVOTS = 2_000  # a node: a bound far beyond what any solve here has needed


class SolverError(RuntimeError):
    """POT's solver gave up."""


def assign(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Optimal assignment for c_ij = |x_i - y_j|^2 / 2, x and y (n, d) in float64, n small.

    Returns the target of each source, (n,), and the dual variable of each target, (n,).
    """
    n = len(x)
    cost = (x.square().sum(1)[:, None] + y.square().sum(1)) / 2 - x @ y.mT
    ones = np.ones(n)
    plan, log = _emd(ones, ones, cost.cpu().numpy(), 10**9)
    bijection = torch.as_tensor(plan.argmax(1), dtype=torch.long, device=x.device)
    one_each = bool((torch.bincount(bijection, minlength=n) == 1).all())
    if log["warning"] is not None or not one_each:
        raise SolverError(f"POT's exact solver failed on n = {n}: {log['warning']}")
    return bijection, torch.as_tensor(log["v"], dtype=torch.float64, device=x.device)


def dense_flow(x: Tensor, y: Tensor, a: Floats, b: Floats) -> Floats:
    """Optimal potentials of the columns, (n,), on all pairs of few rows and columns with masses."""
    _, log = _emd(a, b, -(x @ y.mT).cpu().numpy(), 10**9)
    if log["warning"] is not None:
        raise SolverError(f"POT's exact solver failed on {len(x)} rows: {log['warning']}")
    return log["v"]


def flow(graph: Graph, h: Floats, a: Floats, b: Floats, clock: Clock) -> tuple[Ints, Floats]:
    """Optimal plan on a graph that holds a feasible one.

    Args:
        graph: candidate pairs.
        h: potentials near the optimum, (n,): the simplex sees the costs that they leave.
        a, b: integer masses of rows and columns, of equal sums.
        clock: the time limit.

    Returns:
        (edges that carry mass, as places in the graph; optimal potentials of the columns (n,)).

    Raises:
        TimeUp: at the limit.
        SolverError: when POT fails.
    """
    from scipy.sparse import coo_array

    score = graph.scores(h)
    cost = np.repeat(graph.row_best(h), np.diff(graph.first)) - score  # >= 0, mostly near 0
    table = coo_array((cost, (graph.row, graph.column)), shape=(graph.m, graph.n))
    plan, log = _in_thread(clock, a, b, table, PIVOTS * (graph.m + graph.n))
    if log["warning"] is not None:
        raise SolverError(f"POT's network simplex failed on {graph.m} rows: {log['warning']}")
    used = plan.data > 0.5
    key = plan.row[used].astype(np.int64) * graph.n + plan.col[used]
    edges = np.searchsorted(graph.key, np.sort(key))
    return edges, h + log["v"]


def _emd(a: Floats, b: Floats, cost: Any, pivots: int) -> tuple[Any, dict[str, Any]]:
    import ot  # POT loads slowly, and only this function needs it

    emd = cast(Any, ot).emd
    return emd(a, b, cost, numItermax=pivots, log=True, center_dual=False)


def _in_thread(
    clock: Clock, a: Floats, b: Floats, cost: Any, pivots: int
) -> tuple[Any, dict[str, Any]]:
    """POT in a daemon thread: a time limit and Ctrl-C work while it runs."""
    answer: list[tuple[Any, dict[str, Any]]] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answer.append(_emd(a, b, cost, pivots))
        except BaseException as error:  # handed to the thread that waits
            errors.append(error)

    thread = threading.Thread(target=work, name="network simplex", daemon=True)
    thread.start()
    while thread.is_alive():
        left = clock.left
        thread.join(0.2 if left is None else min(0.2, left))
        if thread.is_alive() and left == 0.0:
            raise TimeUp
    if errors:
        raise errors[0]
    return answer[0]
