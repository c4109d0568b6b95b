"""The optimal one-to-one map, with a proof, for any n whose clouds fit in memory.

The n x n costs are never stored. :mod:`~.start` guesses some ten pairs a point, and
:mod:`~.generation` solves the assignment on them, asks all n^2 pairs whether one would improve it,
and goes on until none does. Two cases need less: few points fit POT's dense solver, and in one
dimension the optimal map sorts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from mcmcot_lite import checks
from mcmcot_lite.transport.clock import Clock, TimeUp
from mcmcot_lite.transport.gaussian import SOME, bounded
from mcmcot_lite.transport.generation import Round, assignments
from mcmcot_lite.transport.graph import Floats, Ints, inner_products, staircase
from mcmcot_lite.transport.limits import (
    check_enough,
    check_gap,
    check_memory,
    check_time_limit,
    memory_needed,
)
from mcmcot_lite.transport.line import sorted_match
from mcmcot_lite.transport.result import TransportMap, mean_cost
from mcmcot_lite.transport.scores import Scores, check_clouds, check_h, plain, proof
from mcmcot_lite.transport.simplex import assign
from mcmcot_lite.transport.start import first_graph, wider_graph

__all__ = ["exact_map"]

DENSE = 200  # points up to which POT's dense solver is as fast as anything
THIN = 0.4  # first gap over the spread of a row's candidates: above it they are too few; most
# clouds leave 0.01 to 0.3, a thin ring in space 2
WIDER = 3  # times that a graph may be replaced by a wider one
WIDE = 60  # pairs a point that a wider graph may be chosen from


def exact_map(
    z_hat: Tensor,
    z: Tensor,
    *,
    gap: float = 0.0,
    h0: Tensor | None = None,
    time_limit: float | None = None,
    memory: float | None = None,
    progress: bool = False,
) -> TransportMap:
    """The map of least mean squared distance (Eq. 13), with a dual bound that proves it.

    Args:
        z_hat: sources, (n, d).
        z: targets, (n, d), of the same dtype and device. Equal numbers only: to use m > n targets,
            draw n of them at random.
        gap: relative gap (primal - dual) / primal at which to stop, in [0, 1); 0 is the optimum.
        h0: potentials to start from, (n,), for uncentred scores: the ``h`` of an earlier map onto
            the same targets.
        time_limit: seconds; the best map and bound so far are returned when they have passed, with
            ``status`` "time limit". Looked at between steps of work, which take below a second at
            n = 20,000 and d = 64, and a few in hundreds of dimensions.
        memory: MiB that may be allocated: refused before the work when :func:`memory_needed` says
            more; where the graph would grow beyond it, the best so far is returned, with ``status``
            "memory limit".
        progress: show a tqdm bar, one step a round.

    Returns:
        :class:`TransportMap` with ``removed`` 0. ``certified`` is True exactly when the gap asked
        for is proven; with ``gap=0`` the map is then the optimum up to float64 rounding.

    Raises:
        TypeError, ValueError: on bad input.
        SolverError: a RuntimeError, when POT's solver fails.
    """
    check_clouds(z_hat, z)
    gap = check_gap(gap)
    if h0 is not None:
        check_h("h0", h0, z)
    check_time_limit(time_limit)
    check_enough(check_memory(memory), *z.shape)
    checks.boolean("progress", progress)
    clock = Clock(time_limit)
    n = len(z)
    # Shuffled, so that groups of columns are random (:mod:`~.scan`); undone at the end.
    rng = torch.Generator("cpu").manual_seed(0)
    p, q = (torch.randperm(n, generator=rng, device="cpu").to(z.device) for _ in range(2))
    scores = Scores(z_hat.detach()[p], z.detach()[q])
    start = None if h0 is None else scores.inner(h0[q])
    with plain(z.device):
        found = _solve(scores, gap, start, clock, memory, progress)
    bijection = torch.empty_like(p)
    bijection[p] = q[torch.from_numpy(found.match).to(p.device)]
    inner = torch.from_numpy(found.h).to(z.device)
    h = torch.empty_like(inner)
    h[q] = scores.outer(inner)
    primal = mean_cost(z_hat, z, bijection)
    proven = proof(scores, found.gain, found.ceiling, inner, gap)
    if found.status == "optimal" and not proven.holds:
        found.status = "not proven"  # the clouds ask for more digits than float64 has
    return TransportMap(
        index=bijection,
        bijection=bijection.clone(),
        h=h,
        primal=primal,
        dual=primal - proven.gap,
        removed=0.0,
        converged=proven.holds,
        steps=len(found.history),
        method="exact",
        status=found.status,
        certified=proven.holds,
        goal=gap,
        edges=found.edges,
        seconds=clock.seconds,
        history=tuple(found.history),
    )


@dataclass
class _Best:
    """The best map and the best bound so far, in units of the scores."""

    match: Ints  # target of each source, (n,)
    gain: float  # its mean score
    h: Floats  # potentials, (n,)
    ceiling: float  # mean score that no map exceeds
    history: list[float]  # relative gap at each round
    edges: int = 0
    status: str = "time limit"


def _solve(
    scores: Scores,
    gap: float,
    h0: Tensor | None,
    clock: Clock,
    memory: float | None,
    progress: bool,
) -> _Best:
    """One of the three ways, or what is left of it when the time is up."""
    best = _without_looking(scores.x, scores.y)
    bar = tqdm(desc=f"exact transport, n = {scores.n:,}", unit=" rounds", disable=not progress)
    try:
        if scores.d == 1:
            with clock.phase("sort"):
                match, h, gain, ceiling = sorted_match(scores.x, scores.y)
            best = _Best(_numpy(match), gain, _numpy(h), ceiling, [0.0], 0, "optimal")
        elif scores.n <= DENSE:
            with clock.phase("assign"):
                best = _dense(scores)
        else:
            _search(scores, gap, h0, best, clock, memory, bar)
    except TimeUp:
        pass
    finally:
        bar.close()
    return best


def _dense(scores: Scores) -> _Best:
    """POT on the full table."""
    match, v = assign(scores.x, scores.y)
    # u_i + v_j <= (|x_i|^2 + |y_j|^2) / 2 - <x_i, y_j>, with equality on the map, says that
    # <x_i, y_j> + h_j with h_j = v_j - |y_j|^2 / 2 is largest at the target of i.
    h = v - scores.y.square().sum(1) / 2
    h = h - h.mean()
    ceiling = float(scores.best(h)[0].mean() - h.mean())
    return _Best(_numpy(match), scores.gain(match), _numpy(h), ceiling, [0.0], 0, "optimal")


def _numpy(t: Tensor) -> Any:
    return t.cpu().numpy()


def _without_looking(x: Tensor, y: Tensor) -> _Best:
    """A map and a bound that need no look at the pairs: what a time limit of 0 leaves."""
    ones = np.ones(len(x))
    row, column = staircase(x, y, ones, ones)
    match = np.empty_like(row)
    match[row] = column
    gain = float(inner_products(x, y, np.arange(len(x)), match).mean())
    h, ceiling = bounded(x, y, SOME)
    return _Best(match, gain, (h - h.mean()).cpu().numpy(), ceiling, [])


def _search(
    scores: Scores,
    gap: float,
    h0: Tensor | None,
    best: _Best,
    clock: Clock,
    memory: float | None,
    bar: tqdm[NoReturn],
) -> None:
    """Column generation; keeps the best map and the best bound in ``best``."""
    for step in _rounds(scores, h0, clock, memory):
        if step.gain >= best.gain:
            best.match, best.gain = step.match, step.gain
        if step.ceiling <= best.ceiling:
            best.h, best.ceiling = step.h, step.ceiling
        best.edges = len(step.graph.row)
        room, primal = _room(scores, best.gain, best.ceiling)
        best.history.append(max(0.0, room / primal) if primal > 0 else 0.0)
        bar.update()
        bar.set_postfix_str(f"gap={best.history[-1]:.1e}", refresh=False)
        if step.violated == 0 or 0 <= room <= gap * primal:
            best.status = "gap reached" if step.violated and gap > 0 else "optimal"
            return
        after = best.edges + max(0, step.violated)
        if memory is not None and memory_needed(scores.n, scores.d, after) > memory:
            best.status = "memory limit"
            return


def _rounds(
    scores: Scores, h0: Tensor | None, clock: Clock, memory: float | None
) -> Iterator[Round]:
    """Of the first graph, or of a wider one if the first leaves a gap that says it is too thin."""
    n, d = scores.x.shape
    enough = memory is None or memory_needed(n, d, WIDE * n) <= memory
    at = first_graph(scores.x, scores.y, h0, clock)
    for _ in range(WIDER if enough else 0):
        rounds = assignments(at.graph, at.h, clock, near=at.near, seen=at.seen)
        first = next(rounds)
        yield first
        if first.ceiling - first.gain <= THIN * at.spread:
            yield from rounds
            return
        rounds.close()  # what it holds of the thin graph is not needed any more
        at = wider_graph(scores.x, scores.y, at, clock)
    yield from assignments(at.graph, at.h, clock, near=at.near, seen=at.seen)


def _room(scores: Scores, gain: float, ceiling: float) -> tuple[float, float]:
    """Primal minus dual, and the primal."""
    return 2 * scores.unit * (ceiling - gain), scores.base - 2 * scores.unit * gain
