"""The exact optimal map for small n, through POT's network simplex."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport.result import TransportMap, mean_cost
from mcmcot_lite.transport.scores import SMALL, Scores, check_clouds

__all__ = ["EXACT_MAX", "assign", "exact_map"]

EXACT_MAX = SMALL  # POT needs the n x n cost matrix


def exact_map(z_hat: Tensor, z: Tensor) -> TransportMap:
    """The map of least mean squared distance (Eq. 13), with a dual bound that proves it.

    Args:
        z_hat: sources, (n, d), n <= 2000.
        z: targets, (n, d), of the same dtype and device.

    Returns:
        :class:`TransportMap` with ``removed`` 0 and ``gap`` 0 up to float64 rounding.

    Raises:
        TypeError, ValueError: on bad input, or more than 2000 points.
        RuntimeError: when POT's solver fails.
    """
    check_clouds(z_hat, z)
    n = len(z)
    if n > EXACT_MAX:
        raise checks.fail(
            "z_hat and z",
            f"must hold at most {EXACT_MAX} points: the exact solver stores the n x n costs",
            f"n = {n}",
            "Use semidual_map, or a random subset of both clouds.",
        )
    scores = Scores(z_hat, z)
    bijection, v = assign(scores.x, scores.y)
    # u_i + v_j <= c_ij = (|x_i|^2 + |y_j|^2) / 2 - <x_i, y_j>, with equality on the map, says that
    # <x_i, y_j> + h_j with h_j = v_j - |y_j|^2 / 2 is largest at the target of i.
    h = v - scores.y.square().sum(1) / 2
    h = h - h.mean()
    return TransportMap(
        index=bijection,
        bijection=bijection.clone(),
        h=scores.outer(h),
        primal=mean_cost(z_hat, z, bijection),
        dual=scores.dual(scores.best(h)[0], h),
        removed=0.0,
        converged=True,
        steps=1,
        method="exact",
    )


def assign(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """POT's network simplex on c_ij = |x_i - y_j|^2 / 2 for x, y of one shape (n, d), float64.

    Returns the target of each source, (n,), and the dual variable of each target, (n,).
    """
    import ot  # POT loads slowly, and only this function needs it

    n = len(x)
    cost = (x.square().sum(1)[:, None] + y.square().sum(1)) / 2 - x @ y.mT
    ones = torch.ones(n, dtype=torch.float64).numpy()
    emd = cast(Any, ot).emd
    plan, log = emd(ones, ones, cost.cpu().numpy(), numItermax=10**9, log=True)
    bijection = torch.as_tensor(plan.argmax(1), dtype=torch.long, device=x.device)
    one_each = bool((torch.bincount(bijection, minlength=n) == 1).all())
    if log["warning"] is not None or not one_each:
        raise RuntimeError(f"POT's exact solver failed on n = {n}: {log['warning']}")
    return bijection, torch.as_tensor(log["v"], dtype=torch.float64, device=x.device)
