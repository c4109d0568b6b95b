r"""Langevin inference: from an image to a sample of its latents (Eqs. 8, 9, 18, 19).

One step moves z along the gradient of the log posterior and adds noise,

.. math::  z^{k+1} = z^k + \frac{s^2}{2} \nabla_z \log p(z^k \mid x) + s\, \xi_k,
           \qquad \xi_k \sim \mathcal N(0, I_d).

K of them, started at noise or at the last result, are the paper's short-run inference. A
Metropolis-Hastings test after each step (Section 4.1) removes the bias of a finite s.

The printed settings name s = 0.3 and 3.0. With Eq. (8) as printed and sigma = 0.3, summed over
pixels, such steps are unstable; the released script divides its loss by the batch and so takes an
effective step of about 0.035. All step sizes here are the s of Eq. (8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import Network, checked, images_and_mask, raw_grad_z, raw_score
from mcmcot_lite.freezing import batches, frozen, inference_form

__all__ = ["Inference", "infer", "langevin_step", "walk"]


class Inference(NamedTuple):
    """What :func:`infer` returns.

    Attributes:
        z: the latents after K steps, (n, d).
        acceptance: share of accepted proposals of each chain, (n,); None without Metropolis test
            or without steps.
        trace: every state, (K + 1, n, d), ``trace[0]`` the start; None unless asked for.
    """

    z: Tensor
    acceptance: Tensor | None
    trace: Tensor | None


def check_s(s: float) -> float:
    """The step size of Eq. (8)."""
    why = "Eq. (8) multiplies z by 1 - s^2/2 under the prior"
    return checks.number("s", s, above=0.0, below=2.0, why=why, remedy="Try 0.03.")


@torch.inference_mode(False)
def langevin_step(
    g: Network,
    z: Tensor,
    x: Tensor,
    *,
    sigma: float,
    s: float,
    rng: torch.Generator,
    mask: Tensor | None = None,
) -> Tensor:
    """One step of Eq. (8), or of Eq. (19) with a mask.

    Args:
        g: generator, (n, d) to the shape of x; frozen meanwhile (:func:`mcmcot_lite.frozen`).
        z: current latents, (n, d); not changed.
        x: images, (n, ...); hidden pixels are never read.
        sigma: pixel noise, > 0.
        s: step size in (0, 2).
        rng: source of the noise, on z's device.
        mask: visible pixels, see :func:`mcmcot_lite.log_joint`.

    Returns:
        The next latents, (n, d).

    Raises:
        TypeError, ValueError, FloatingPointError: as :func:`infer`.
    """
    sigma, visible = checked(g, z, x, sigma, mask)
    s, rng = check_s(s), checks.rng_on(rng, z.device)
    with frozen(g), checks.restored(rng):
        score = partial(raw_score, g, x=x, sigma=sigma, mask=visible)
        z = walk(score, z.detach(), s, [_noise(z, rng)])
        return _finite(z, sigma, s, 1)


@torch.inference_mode(False)
def infer(
    g: Network,
    x: Tensor,
    z0: Tensor | None = None,
    *,
    d: int | None = None,
    sigma: float,
    s: float,
    K: int,
    rng: torch.Generator,
    mask: Tensor | None = None,
    metropolis: bool = False,
    trace: bool = False,
    batch_size: int | None = None,
    batchnorm: str = "running",
) -> Inference:
    """K Langevin steps for every image: short-run inference, Eq. (9), Eq. (19) with a mask.

    No gradient is computed for the parameters of g, and no buffer of g changes.

    Args:
        g: generator, (n, d) to the shape of x.
        x: images, (n, ...), any finite values, on purpose; hidden pixels are never read.
        z0: start of the chains, (n, d), for persistent inference; None draws the start from
            N(0, I_d): noise-initialised inference, which needs ``d``.
        d: dimension of the latents, when z0 is None.
        sigma: pixel noise, > 0.
        s: step size in (0, 2).
        K: number of steps, >= 0.
        rng: source of all noise, on x's device.
        mask: visible pixels.
        metropolis: add the Metropolis-Hastings test of Section 4.1 to each step (MALA). Its target
            is the exact posterior for any s, unless ``batchnorm="batch"`` couples the chains.
        trace: also return every state.
        batch_size: most images in one pass, to bound memory; None takes all at once. Batches have
            equal sizes, up to 1. Chains do not depend on each other (but see ``batchnorm``);
            their starts and their noise are drawn batch by batch.
        batchnorm: ``"running"`` or ``"batch"``, see :func:`mcmcot_lite.frozen`.

    Returns:
        :class:`Inference`.

    Raises:
        TypeError, ValueError: on bad input, before anything is drawn.
        FloatingPointError: when a chain diverged (s too large for this g and sigma); the state of
            rng is put back.
    """
    checks.integer("K", K, 0)
    if z0 is None:
        images_and_mask(x, mask)
        remedy = "Pass the dimension of the latents for noise-initialised chains, or z0."
        start = x.new_zeros(len(x), checks.integer("d", d, 1, remedy=remedy))
    else:
        start = z0
    sigma, visible = checked(g, start, x, sigma, mask, "z0", drawn=z0 is None)
    if z0 is not None and d is not None:
        rule, got = f"must be the number of columns of z0, {z0.shape[1]}", d
        checks.require(checks.integer("d", d, 1) == z0.shape[1], "d", rule, got, "Leave d out.")
    s, rng = check_s(s), checks.rng_on(rng, x.device)
    checks.boolean("metropolis", metropolis)
    checks.boolean("trace", trace)
    parts = batches(g, len(x), batch_size, batchnorm)
    runs: list[Inference] = []
    with frozen(g, batchnorm), checks.restored(rng):
        f = inference_form(g, batchnorm, K * len(x))
        masks = [None] * parts if visible is None else visible.tensor_split(parts)
        for z, xb, mb in zip(start.tensor_split(parts), x.tensor_split(parts), masks, strict=True):
            z = _noise(z, rng) if z0 is None else z.detach()
            if metropolis:
                log_p = partial(raw_grad_z, f, x=xb, sigma=sigma, mask=mb)
                runs.append(_collect(_metropolis(log_p, z, s, K, rng), trace))
            else:
                score = partial(raw_score, f, x=xb, sigma=sigma, mask=mb)
                runs.append(_collect(_langevin(score, z, s, K, rng), trace))
        z = _finite(torch.cat([run.z for run in runs]), sigma, s, K)
    rates = [run.acceptance for run in runs if run.acceptance is not None]
    traces = [run.trace for run in runs if run.trace is not None]
    return Inference(
        z, torch.cat(rates) if rates else None, torch.cat(traces, 1) if traces else None
    )


def _noise(z: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(z.shape, generator=rng, device=z.device, dtype=z.dtype)


def _finite(z: Tensor, sigma: float, s: float, K: int) -> Tensor:
    """The chains, unless one has diverged."""
    lost = int((~torch.isfinite(z)).any(1).sum())
    rule, got = "must stay finite", f"{lost} of {len(z)} chains that diverged within {K} steps"
    remedy = (
        f"Try a smaller s than {s:g} (sigma={sigma:g}): on a linear generator the limit is "
        "2 / sqrt(largest eigenvalue of the posterior precision)."
    )
    checks.require(lost == 0, "z", rule, got, remedy, FloatingPointError)
    return z


_Score = Callable[[Tensor], Tensor]  # z -> gradient of log p(x, z) in z (n, d)
_Target = Callable[[Tensor], tuple[Tensor, Tensor]]  # z -> log p(x, z) (n,), gradient (n, d)
_State = tuple[Tensor, Tensor | None]  # latents (n, d), which chains accepted (n,)


def _collect(states: Iterator[_State], trace: bool) -> Inference:
    """Runs a chain to its end: last state, acceptance rates, and the trace if asked."""
    z, _ = next(states)
    kept, accepted = [z], list[Tensor]()
    for z, ok in states:
        if ok is not None:
            accepted.append(ok)
        if trace:
            kept.append(z)
    rate = torch.stack(accepted).to(z.dtype).mean(0) if accepted else None
    return Inference(z, rate, torch.stack(kept) if trace else None)


def walk(score: _Score, z: Tensor, s: float, noise: Iterable[Tensor]) -> Tensor:
    """Eq. (9), Eq. (19) with a mask: one step of Eq. (8) for each draw of the noise, unchecked.

    Nothing in this loop waits for the device or asks it for a number.
    """
    for e in noise:
        z = z + (s**2 / 2) * score(z) + s * e
    return z


def _langevin(score: _Score, z: Tensor, s: float, K: int, rng: torch.Generator) -> Iterator[_State]:
    """The start, then the state after each of K steps."""
    yield z, None
    for _ in range(K):
        z = walk(score, z, s, [_noise(z, rng)])
        yield z, None


def _metropolis(
    log_p: _Target, z: Tensor, s: float, K: int, rng: torch.Generator
) -> Iterator[_State]:
    r"""Eq. (8) as a proposal z', kept with probability min(1, p(z'|x) q(z|z') / p(z|x) q(z'|z)).

    q(z'|z) is the density of the noise e that leads from z to z', q(z|z') that of the noise
    -(e + (s/2) (grad + grad')) that would lead back.
    """
    yield z, None
    logp, grad = log_p(z)
    for _ in range(K):
        e = _noise(z, rng)
        new = z + (s**2 / 2) * grad + s * e
        logp_new, grad_new = log_p(new)
        back = e + (s / 2) * (grad + grad_new)
        log_ratio = logp_new - logp + (e.square() - back.square()).sum(1) / 2
        u = torch.rand(len(z), generator=rng, device=z.device, dtype=z.dtype)
        ok = u.log() < log_ratio  # False also when log_ratio is NaN: a diverged proposal is refused
        z = torch.where(ok[:, None], new, z)
        logp = torch.where(ok, logp_new, logp)
        grad = torch.where(ok[:, None], grad_new, grad)
        yield z, ok
