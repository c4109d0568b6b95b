r"""Algorithm 1, line by line, in its two orders.

The printed algorithm, one iteration k, with the line numbers of the paper::

    z_hat = infer(g, x, z_hat)                # 6   K Langevin steps for every image, Eq. (9)
    if k % L == 0:                            # 8
        T_hat = transport(z_hat, z)           # 9   Algorithm 2
        z_hat = mix(z_hat, z, T_hat, alpha)   # 10  Eq. (12)
    learn(g, x, z_hat)                        # 13  Eqs. (5), (6): Adam on the mean of Eq. (7)

:func:`printed` is this loop. :func:`released` is the order of the authors' script: each batch
takes K steps and L2 learning steps at once, L passes over the data make one iteration, then one
correction, then ``regression`` passes of plain learning on the corrected pairs. Departs: chains
start at independent prior draws, and all pairs are regressed, where the script starts the chains at
the targets and regresses the matched pairs only. Both are Python
generators that yield after every iteration; :func:`mcmcot_lite.fit` runs one of them. With a mask
the same lines are Algorithm 3 (Eqs. 15 to 19); with alpha = 0 they are alternating
back-propagation (ABP).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.density import checked, raw_log_joint
from mcmcot_lite.frozen import batch_norms, learning_restored
from mcmcot_lite.langevin import infer
from mcmcot_lite.settings import Settings
from mcmcot_lite.transport import TransportMap, mix, transport

__all__ = ["SCHEDULE", "Iteration", "Run", "learn", "printed", "released"]


@dataclass(frozen=True, eq=False)
class Iteration:
    """State after one iteration, as a schedule yields it and a callback receives it.

    A schedule yields the run's own tensors; :func:`mcmcot_lite.fit` gives callbacks copies.

    Attributes:
        k: its number, from 1.
        inferred: latents as inference left them, before any correction, (n, d).
        z_hat: latents at the end of the iteration (the chains), (n, d).
        z: prior samples of the last correction, (n, d).
        T: transport map of this iteration, or None without a correction.
        mse: mean squared error per visible pixel, over the learning steps of the last pass.
    """

    k: int
    inferred: Tensor
    z_hat: Tensor
    z: Tensor
    T: TransportMap | None
    mse: float


@dataclass(eq=False)
class Run:
    """What both schedules share: the data, the optimiser, the random state, the last h."""

    g: nn.Module
    x: Tensor
    mask: Tensor | None
    settings: Settings
    rng: torch.Generator
    optimiser: torch.optim.Optimizer
    h: Tensor | None = None

    def infer(self, z_hat: Tensor, i: Tensor | None = None) -> Tensor:
        """Line 6, for the images i or all."""
        st = self.settings
        persistent = st.chains == "persistent"
        return infer(
            self.g,
            self.x if i is None else self.x[i],
            z_hat if persistent else None,
            d=st.d,
            sigma=st.sigma,
            s=st.s,
            K=st.K,
            rng=self.rng,
            mask=self.mask if i is None else self.visible(i),
            batch_size=st.batch_size,
            batchnorm=st.batchnorm,
        ).z

    def targets(self, z: Tensor) -> Tensor:
        """The prior samples of a correction."""
        return z if self.settings.targets == "fixed" else normal(*z.shape, like=z, rng=self.rng)

    def transport(self, z_hat: Tensor, z: Tensor) -> TransportMap:
        """Line 9."""
        st = self.settings
        # The exact solver starts as well by itself: benchmarks/transport.py, group "warm".
        keeps = st.reuse_h and st.targets == "fixed" and st.transport == "semidual"
        warm = self.h if keeps else None
        T = transport(z_hat, z, method=st.transport, eps=st.eps, rng=self.rng, h0=warm)
        self.h = T.h.clone()  # a callback may write into T
        return T

    def learn(self, z_hat: Tensor, i: Tensor, steps: int) -> float:
        """Line 13, on the pairs (z_hat, x) of the images i."""
        x, mask, sigma = self.x[i], self.visible(i), self.settings.sigma
        return fmean(
            raw_learn(self.g, x, z_hat[i], self.optimiser, sigma, mask) for _ in range(steps)
        )

    def batches(self) -> tuple[Tensor, ...]:
        """A random order of the images, cut into equal batches (sizes differ by at most 1)."""
        n = len(self.x)
        order = torch.randperm(n, generator=self.rng, device=self.x.device)
        return torch.tensor_split(order, -(-n // self.settings.batch_size))

    def visible(self, i: Tensor) -> Tensor | None:
        """The mask of the images i."""
        return None if self.mask is None else self.mask[i]


def printed(run: Run, z_hat: Tensor, z: Tensor) -> Iterator[Iteration]:
    """Algorithm 1, line for line."""
    st = run.settings
    for k in range(1, st.iterations + 1):
        z_hat = inferred = run.infer(z_hat)  # 6
        T_hat = None
        if st.alpha > 0 and k % st.L == 0:  # 8
            z = run.targets(z)
            T_hat = run.transport(z_hat, z)  # 9
            z_hat = mix(z_hat, z, T_hat, st.alpha)  # 10
        mse = fmean(run.learn(z_hat, i, st.L2) for i in run.batches())  # 13
        yield Iteration(k, inferred, z_hat, z, T_hat, mse)


def released(run: Run, z_hat: Tensor, z: Tensor) -> Iterator[Iteration]:
    """The order of the authors' script: L passes of (infer, learn) by batch, correct, regress."""
    st = run.settings
    for k in range(1, st.iterations + 1):
        z_hat, errors = z_hat.clone(), list[float]()
        for _ in range(st.L):
            errors.clear()
            for i in run.batches():
                z_hat[i] = run.infer(z_hat[i], i)
                errors.append(run.learn(z_hat, i, st.L2))
        inferred, T_hat = z_hat, None
        if st.alpha > 0:
            z = run.targets(z)
            T_hat = run.transport(z_hat, z)
            z_hat = mix(z_hat, z, T_hat, st.alpha)
        for _ in range(st.regression):
            errors = [run.learn(z_hat, i, 1) for i in run.batches()]
        yield Iteration(k, inferred, z_hat, z, T_hat, fmean(errors))


SCHEDULE = {"printed": printed, "released": released}


@torch.inference_mode(False)
def learn(
    g: nn.Module,
    x: Tensor,
    z_hat: Tensor,
    optimiser: torch.optim.Optimizer,
    *,
    sigma: float,
    mask: Tensor | None = None,
) -> float:
    """One ascent step on the mean log-joint of the pairs, Eqs. (5) to (7), (17).

    Args:
        g: generator, (n, d) to the shape of x; put in training mode and changed.
        x: images, (n, ...), any finite values, on purpose.
        z_hat: their latents, (n, d).
        optimiser: holds all trainable parameters of g and needs no closure; minimises, so it is
            given minus the log-joint.
        sigma: pixel noise, > 0.
        mask: visible pixels.

    Returns:
        The mean squared error per visible pixel before the step.

    Raises:
        TypeError, ValueError: on bad input.
        FloatingPointError: when the loss or its gradient is not finite.
            In each case g is as it was.
    """
    if not isinstance(g, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "Wrap the function in a module."
        raise checks.fail("g", "must be a torch.nn.Module", checks.shown(g), remedy, TypeError)
    if not isinstance(optimiser, torch.optim.Optimizer):  # pyright: ignore[reportUnnecessaryIsInstance]
        rule, remedy = "must be a torch.optim.Optimizer", "torch.optim.Adam(g.parameters())."
        raise checks.fail("optimiser", rule, checks.shown(optimiser), remedy, TypeError)
    sigma, visible = checked(g, z_hat, x, sigma, mask, "z_hat")
    check_trainable(g)
    _check_optimiser(optimiser, g)
    if batch_norms(g):
        rule, remedy = "must hold 2 images or more for BatchNorm", "Pass more images."
        checks.require(len(x) >= 2, "x", rule, len(x), remedy)
    with learning_restored(g):
        return raw_learn(g, x, z_hat, optimiser, sigma, visible)


def _check_optimiser(optimiser: torch.optim.Optimizer, g: nn.Module) -> None:
    """It steps without a closure, and holds what is to be learned."""
    name, adam = type(optimiser).__name__, "Use torch.optim.Adam(g.parameters())."
    closure = inspect.signature(type(optimiser).step).parameters.get("closure")
    free = closure is None or closure.default is not inspect.Parameter.empty
    checks.require(free, "optimiser", "must step without a closure", name, adam)
    held = {id(p) for group in optimiser.param_groups for p in group["params"]}
    missing = [key for key, p in g.named_parameters() if p.requires_grad and id(p) not in held]
    got, rule = f"{name} without {missing[:3]}", "must hold all trainable parameters of g"
    checks.require(not missing, "optimiser", rule, got, f"{adam} Or freeze the others.")


def check_trainable(g: nn.Module) -> None:
    """Some parameter of g asks for a gradient."""
    rule, remedy = "must have parameters that require a gradient", "Call g.requires_grad_(True)."
    checks.require(any(p.requires_grad for p in g.parameters()), "g", rule, "none", remedy)


def raw_learn(
    g: nn.Module,
    x: Tensor,
    z_hat: Tensor,
    optimiser: torch.optim.Optimizer,
    sigma: float,
    mask: Tensor | None,
) -> float:
    """:func:`learn` without checks."""
    z_hat = z_hat.detach().clone()  # autograd keeps it, so it may be no inference tensor
    g.train()
    optimiser.zero_grad(set_to_none=True)
    with torch.enable_grad():
        loss = -raw_log_joint(g, z_hat, x.detach(), sigma, mask).mean()
        rule, remedy = (
            "must return an output that depends on its parameters",
            "Use them in forward.",
        )
        checks.require(loss.requires_grad, "g", rule, "no gradient", remedy)
        rule, remedy = "must keep the loss finite", "Try a smaller lr, or look for huge latents."
        value = float(loss.detach())
        checks.require(math.isfinite(value), "g", rule, value, remedy, FloatingPointError)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
    grads = [p.grad for p in g.parameters() if p.requires_grad and p.grad is not None]
    rule, remedy = "must have finite gradients", "Look for a square root or a division at 0 in it."
    ok = all(bool(torch.isfinite(grad).all()) for grad in grads)
    checks.require(ok, "g", rule, "NaN or infinity", remedy, FloatingPointError)
    optimiser.step()
    prior = float(z_hat.square().sum(1).mean()) / 2
    pixels = x[0].numel() if mask is None else max(1.0, float(mask.sum()) / len(x))
    return 2 * sigma**2 * (value - prior) / pixels


def normal(*shape: int, like: Tensor, rng: torch.Generator) -> Tensor:
    """Independent N(0, 1) entries with the device and dtype of ``like``."""
    return torch.randn(shape, generator=rng, device=like.device, dtype=like.dtype)
