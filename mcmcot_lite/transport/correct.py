"""The correction step: choose a solver by name, and move the latents along its map (Eq. 12)."""

from __future__ import annotations

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport.exact import exact_map
from mcmcot_lite.transport.result import TransportMap
from mcmcot_lite.transport.scores import check_clouds, check_h
from mcmcot_lite.transport.semidual import check_eps, semidual_map

__all__ = ["METHODS", "check_alpha", "mix", "transport"]

METHODS = ("semidual", "exact")


def transport(
    z_hat: Tensor,
    z: Tensor,
    *,
    method: str = "semidual",
    eps: float = 0.05,
    rng: torch.Generator,
    h0: Tensor | None = None,
) -> TransportMap:
    """The one-to-one map from z_hat to z (Algorithm 1, line 9).

    Args:
        z_hat: inferred latents, (n, d).
        z: prior samples, (n, d).
        method: ``"semidual"`` (Algorithm 2) or ``"exact"`` (n <= 2000).
        eps: largest removed share, used by ``"semidual"``.
        rng: used by the repair step of ``"semidual"``.
        h0: warm start of ``"semidual"`` from an earlier result's ``h``.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    checks.choice("method", method, METHODS)
    if method == "semidual":
        return semidual_map(z_hat, z, eps=eps, rng=rng, h0=h0)
    check_eps(eps)
    check_clouds(z_hat, z)
    checks.rng_on(rng, z_hat.device)
    if h0 is not None:
        check_h("h0", h0, z)
    return exact_map(z_hat, z)


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
