"""Self-checks of Chapters 10 and 11: the VAE's penalty, the energy's gradient, couplings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mcmcot_lite.check.grading import F64, Exercise, draws

__all__ = ["ex_10_5", "ex_11_4", "ex_11_3"]


def ex_10_5(kl: Callable[[Tensor, Tensor], Any]) -> None:
    """KL(N(mean, diag exp(log_var)) || N(0, I)): ``kl(mean, log_var)`` -> (n,)."""
    e = Exercise("10.5", kl, "kl(mean, log_var)")
    n, d = 6, 3
    zero = torch.zeros(n, d, dtype=F64)
    e.near(e.tensor(e.call(zero, zero), (n,)), torch.zeros(n), "of the prior itself it is 0.")
    for seed in range(3):
        mean, log_var = draws(seed, n, d), draws(seed + 5, n, d)
        found = e.tensor(e.call(mean, log_var), (n,))
        e.hold(found.min() > 0, "a KL divergence is never negative.")
        q = torch.distributions.Normal(mean, (log_var / 2).exp())
        exact = torch.distributions.kl_divergence(q, torch.distributions.Normal(zero, zero + 1))
        e.hold(not torch.allclose(found, exact.mean(1)), "latents add up: sum over them.")
        only = e.tensor(e.call(mean, zero), (n,))
        e.near(only, mean.square().sum(1) / 2, "with variance 1 it is half the squared length.")
        e.near(found, exact.sum(1), "the part of the variances is wrong.")
    e.done()


def ex_11_4(loss: Callable[..., Any]) -> None:
    """The energy's loss: ``loss(f, up, down)``, to be minimised; latents of posterior and prior."""
    e = Exercise("11.4", loss, "loss(f, up, down)")
    up, down = draws(1, 40, 2) + 1.5, draws(2, 60, 2)
    f = nn.Linear(2, 1, bias=False, dtype=F64)
    nn.init.zeros_(f.weight)

    def energy(z: Tensor) -> Tensor:
        return f(z)[:, 0]

    value = e.call(energy, up, down)
    ok = isinstance(value, Tensor) and value.ndim == 0 and value.requires_grad
    e.hold(ok, "return one number that has a gradient in the weights of f.")
    (slope,) = torch.autograd.grad(value, f.weight)
    slope, apart = slope[0].detach(), (up.mean(0) - down.mean(0)).detach()
    e.hold((slope * apart).sum() < 0, "descent would make f smaller where the images' latents are.")
    summed = up.sum(0) - down.sum(0)
    e.hold(not torch.allclose(-slope, summed), "take means: the clouds may differ in size.")
    e.near(slope, -apart, "its slope is not the difference of the two means of grad f.")
    e.done()


def ex_11_3(inverse: Callable[..., Any]) -> None:
    """A coupling undone: ``inverse(y, r, t)`` of (a, b) -> (a, b exp(r(a)) + t(a)), halves of y."""
    e = Exercise("11.3", inverse, "inverse(y, r, t)")
    for seed, d in enumerate((2, 6)):
        half = d // 2
        A, B, x = draws(seed, half, half), draws(seed + 3, half, half), draws(seed + 6, 9, d)

        def r(a: Tensor, A: Tensor = A) -> Tensor:
            return torch.tanh(a @ A)

        def t(a: Tensor, B: Tensor = B) -> Tensor:
            return torch.sin(a @ B)

        a, b = x[:, :half], x[:, half:]
        y = torch.cat([a, b * r(a).exp() + t(a)], 1)
        found = e.tensor(e.call(y, r, t), (9, d))
        e.near(found[:, :half], a, "the first half passes through unchanged.")
        why = "the second half is not undone. In which order were scale and shift applied?"
        e.near(found[:, half:], b, why)
    e.done()
