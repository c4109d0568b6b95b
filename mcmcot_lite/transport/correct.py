"""The correction step: choose a solver, and move the latents along its map (Eq. 12)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport.auction import auction_map
from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.exact import exact_map
from mcmcot_lite.transport.limits import check_gap, check_memory, check_time_limit, memory_needed
from mcmcot_lite.transport.result import TransportMap
from mcmcot_lite.transport.scores import check_clouds, check_h
from mcmcot_lite.transport.semidual import check_eps, semidual_map
from mcmcot_lite.transport.simplex import SolverError

__all__ = ["METHODS", "check_alpha", "mix", "transport"]

METHODS = ("auto", "semidual", "exact", "auction")


def transport(
    z_hat: Tensor,
    z: Tensor,
    *,
    method: str = "auto",
    gap: float = 0.0,
    eps: float = 0.05,
    rng: torch.Generator | None = None,
    h0: Tensor | None = None,
    time_limit: float | None = None,
    memory: float | None = None,
    progress: bool = False,
) -> TransportMap:
    """The one-to-one map from z_hat to z (Algorithm 1, line 9).

    Args:
        z_hat: inferred latents, (n, d).
        z: prior samples, (n, d).
        method: ``"exact"``, ``"auction"``, ``"semidual"`` (the paper's Algorithm 2), or ``"auto"``:
            the exact solver, unless it needs more than ``memory`` or POT fails; then the auction.
            The result's ``method`` and ``reason`` say what was chosen and why.
        gap: relative gap at which to stop, in [0, 1); 0 is the optimum. Not used by ``"semidual"``.
            ``"auction"`` takes 0 as 1e-3: it knows no exact end.
        eps: largest removed share, used by ``"semidual"``.
        rng: used by the repair step of ``"semidual"``, which needs it.
        h0: warm start from an earlier result's ``h``, for the same targets.
        time_limit: seconds; the best so far is returned when they have passed. Not used by
            ``"semidual"``, which ends by its own limit of steps.
        memory: MiB that the exact solver may allocate; it ends with the best so far where its graph
            would grow beyond.
        progress: show a tqdm bar.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    checks.choice("method", method, METHODS)
    check_clouds(z_hat, z)
    gap, eps = check_gap(gap), check_eps(eps)
    check_time_limit(time_limit)
    memory = check_memory(memory)
    checks.boolean("progress", progress)
    if h0 is not None:
        check_h("h0", h0, z)
    if rng is not None or method == "semidual":
        rng = checks.rng_on(rng, z_hat.device)
        if method == "semidual":
            return semidual_map(z_hat, z, eps=eps, rng=rng, h0=h0)
    clock = Clock(time_limit)
    reason = f"asked for by method={method!r}"
    if method == "auto":
        method, reason = _choose(z, gap, memory)
    if method == "exact":
        try:
            T = exact_map(
                *(z_hat, z), gap=gap, h0=h0, time_limit=time_limit, memory=memory, progress=progress
            )
            return replace(T, reason=reason)
        except SolverError as error:
            if not reason.startswith("exact"):
                raise
            reason, time_limit = f"auction, since the exact solver failed: {error}", clock.left
    near = gap or 1e-3
    if not gap:
        reason += f"; to a gap of {near:g}, since the auction proves no optimum"
    T = auction_map(z_hat, z, gap=near, h0=h0, time_limit=time_limit, progress=progress)
    return replace(T, reason=reason)


def _choose(z: Tensor, gap: float, memory: float | None) -> tuple[str, str]:
    """(method, why) for ``method="auto"``."""
    n, d = z.shape
    need = memory_needed(n, d)
    if memory is not None and need > memory:
        return "auction", f"auction: the exact solver needs {need:.0f} MiB of {memory:g}"
    what = f"to a gap of {gap:g}" if gap else "to the optimum"
    where = f"n = {n:,}, d = {d} on {z.device.type}"
    known = "the fastest measured from n = 5,000 on"
    if z.device.type != "cpu":
        known = "not measured here yet"
    return "exact", f"exact {what}, {where}: {known}"


def mix(z_hat: Tensor, z: Tensor, T: TransportMap, alpha: float) -> Tensor:
    """Eq. (12): alpha T-hat(z_hat) + (1 - alpha) z_hat, shape (n, d); z_hat is not changed.

    A source that the repair removed has no image under T-hat and stays where it is, to the bit.
    Departs: Section 5.2 removes such pairs; here they are kept, and learning still uses them.

    Args:
        z_hat: inferred latents, (n, d).
        z: prior samples, (n, d).
        T: map from z_hat to z.
        alpha: share of the correction, in [0, 1]; 0 is alternating back-propagation (ABP).

    Raises:
        TypeError, ValueError: on bad input, or clouds of another size than T's.
    """
    if not isinstance(T, TransportMap):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise checks.fail(
            "T", "must be a TransportMap", type(T).__name__, "Call transport first.", TypeError
        )
    T.check(z_hat, z)
    alpha = check_alpha(alpha)
    mixed = alpha * T(z_hat, z) + (1 - alpha) * z_hat
    return torch.where(T.kept.to(z.device)[:, None], mixed, z_hat)


def check_alpha(alpha: float) -> float:
    """The weight of the correction in Eq. (12)."""
    return checks.number(
        "alpha",
        alpha,
        above=0.0,
        below=1.0,
        closed=(True, True),
        why="it is a convex weight",
        remedy="The paper uses 0.5 for MNIST.",
    )
