"""A check of any map that needs no trust in the solver that made it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport.limits import check_gap
from mcmcot_lite.transport.result import TransportMap, mean_cost
from mcmcot_lite.transport.scores import Scores, proof

__all__ = ["Certificate", "certify"]


@dataclass(frozen=True)
class Certificate:
    """What :func:`certify` found.

    Attributes:
        primal: mean cost of the map, from its ``bijection``: at least the optimum.
        dual: D(h) of its potentials: at most the optimum.
        gap: primal - dual, from the centred clouds: no map is cheaper than this one by more.
        allowed: largest gap that the goal and float arithmetic excuse, see
            ``transport.scores.Proof``.
        one_to_one: ``bijection`` is a permutation, and ``index`` agrees with it wherever it names
            a target.
        agrees: the map's own claims are right: ``primal`` and ``removed`` are what was found,
            ``dual`` is no more than D(h), and if it says ``certified``, its own gap is allowed.
        certified: all of this holds, and the gap of ``bijection`` is within what is allowed.
    """

    primal: float
    dual: float
    gap: float
    allowed: float
    one_to_one: bool
    agrees: bool
    certified: bool


def certify(z_hat: Tensor, z: Tensor, T: TransportMap, *, gap: float | None = None) -> Certificate:
    """Recomputes both bounds of a map from scratch, over all n^2 pairs, in float64.

    Args:
        z_hat: sources, (n, d).
        z: targets, (n, d).
        T: a map from z_hat to z, of any solver.
        gap: relative gap that counts as proven, in [0, 1); None takes the map's own ``goal``.

    Raises:
        TypeError, ValueError: on bad input, or clouds of another size than T's.

    Time: n^2 d products in float64. Memory: a buffer of at most 2,000 x 2,000 scores.
    """
    if not isinstance(T, TransportMap):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise checks.fail(
            "T", "must be a TransportMap", type(T).__name__, "Call exact_map first.", TypeError
        )
    T.check(z_hat, z)
    goal = check_gap(T.goal, "T.goal") if gap is None else check_gap(gap)
    n, index, bijection = len(z), T.index.cpu(), T.bijection.cpu()
    whole = torch.equal(bijection.sort().values, torch.arange(n))
    one_to_one = whole and bool(((index == bijection) | (index == -1)).all())
    removed = float((index < 0).double().mean())
    scores = Scores(z_hat, z)
    h = scores.inner(T.h.to(z.device))
    best = scores.best(h)[0]
    dual = scores.dual(best, h)
    if not whole:
        return Certificate(float("inf"), dual, float("inf"), 0.0, False, False, False)
    bijection = bijection.to(z.device)
    primal = mean_cost(z_hat, z, bijection)
    gain, ceiling = scores.gain(bijection), float(best.mean() - h.mean())
    proven = proof(scores, gain, ceiling, h, goal)
    allowed = proven.allowed + proven.rounding  # twice what the solver allowed itself
    slack = proven.excused + proven.rounding + 1e-12 * abs(primal)
    agrees = abs(T.primal - primal) <= slack and T.dual <= dual + slack and T.removed == removed
    if T.certified:
        agrees = agrees and T.primal - T.dual <= T.goal * primal + 2 * slack
    certified = one_to_one and agrees and -allowed <= proven.gap <= allowed
    return Certificate(primal, dual, proven.gap, allowed, one_to_one, agrees, certified)
