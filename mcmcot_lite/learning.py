"""One learning step, line 13 of Algorithm 1: Adam on the mean log-joint of the pairs.

:func:`learn` is the public step with all checks. :func:`raw_learn` is the step that
:func:`mcmcot_lite.fit` takes: the batch may be spread over the processes of a
:class:`~mcmcot_lite.world.World`, each with its rows, and every process makes the same step.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.density import checked, raw_log_joint
from mcmcot_lite.freezing import batch_norms, learning_restored
from mcmcot_lite.world import ALONE, World

__all__ = ["check_trainable", "learn", "raw_learn"]

LEAST = 1e-3  # a scale of losses that began at 65,536: halved by 26 steps that all overflowed


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
    *,
    n: int | None = None,
    world: World = ALONE,
    parts: int = 1,
    scaler: torch.amp.GradScaler | None = None,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> float:
    """:func:`learn` without checks.

    Args:
        g, x, z_hat, optimiser, sigma, mask: as there; x, z_hat and mask hold this process's rows.
        n: pairs in the whole batch; None where this process has all of them.
        world: the processes that share the batch.
        parts: passes through g, each with a part of the rows; their gradients are added.
        scaler: keeps gradients inside the range of fp16; it skips a step whose gradients overflow.
        autocast: makes the context in which g is called.
    """
    n = len(x) if n is None else n
    z_hat = z_hat.detach().clone()  # autograd keeps it, so it may be no inference tensor
    g.train()
    optimiser.zero_grad(set_to_none=True)
    losses: list[Tensor] = []
    for k in range(parts):
        part = slice(k * len(x) // parts, (k + 1) * len(x) // parts)
        hidden = None if mask is None else mask[part]
        with torch.enable_grad():
            with autocast():
                each = raw_log_joint(g, z_hat[part], x[part].detach(), sigma, hidden)
                loss = -(each / n).sum()
            rule, remedy = "must return an output that depends on its parameters", "Use them."
            checks.require(loss.requires_grad, "g", rule, "no gradient", remedy)
            scaled = loss if scaler is None else scaler.scale(loss)
            scaled.backward()  # pyright: ignore[reportUnknownMemberType]
        losses.append(loss.detach())
    learned = [p for p in g.parameters() if p.requires_grad]
    value, prior, pixels, largest = _sums(
        torch.stack(losses).sum(), z_hat, x, mask, learned, n, world
    )
    rule, remedy = "must keep the loss finite", "Try a smaller lr, or look for huge latents."
    checks.require(math.isfinite(value), "g", rule, value, remedy, FloatingPointError)
    if scaler is None:
        rule, remedy = "must have finite gradients", "Look for a square root or a division at 0."
        ok = math.isfinite(largest)
        checks.require(ok, "g", rule, "NaN or infinity", remedy, FloatingPointError)
        optimiser.step()
    else:
        scaler.step(optimiser)
        scaler.update()
        got, remedy = "NaN or infinity, step after step", "Try a smaller lr, or precision='fp32'."
        ok, rule = scaler.get_scale() >= LEAST, "must have finite gradients"
        checks.require(ok, "g", rule, got, remedy, FloatingPointError)
    return 2 * sigma**2 * (value - prior) / max(1.0, pixels)


def _sums(
    loss: Tensor,
    z_hat: Tensor,
    x: Tensor,
    mask: Tensor | None,
    learned: list[nn.Parameter],
    n: int,
    world: World,
) -> list[float]:
    """Loss, prior's part of it, pixels of an image, largest gradient: summed over the processes.

    One wait for the device. The gradients of the parameters are summed on the way.
    """
    if world.size > 1:  # every process must send the same tensors
        for p in learned:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    grads = [p.grad for p in learned if p.grad is not None]
    prior = z_hat.square().sum() / (2 * n)
    seen = float(x.numel()) if mask is None else mask.sum()
    pixels = torch.as_tensor(seen, dtype=torch.float64, device=x.device) / n
    sums = torch.stack([loss.double(), prior.double(), pixels.double()])
    world.add(sums, *grads)
    norms: list[Tensor] = [torch.linalg.vector_norm(grad, math.inf).double() for grad in grads]
    largest = torch.stack([*norms, sums.new_zeros(())]).max()
    return [float(v) for v in torch.cat([sums, largest[None]]).cpu()]
