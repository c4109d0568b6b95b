"""Self-checks of Chapters 10 and 11: the VAE's penalty, the energy's gradient, couplings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.check.grading import F64, Exercise, draws

__all__ = ["ex_10_5", "ex_11_4", "ex_11_3"]


def ex_10_5(kl: Callable[[Tensor, Tensor], Any]) -> None:
    """KL(N(mean, diag exp(log_var)) || N(0, I)): ``kl(mean, log_var)`` -> (n,)."""
    e = Exercise("10.5", kl, "kl(mean, log_var)")
    n, d = 6, 3
    zero = torch.zeros(n, d, dtype=F64)
    prior = "of the prior itself, mean 0 and log_var 0, it is 0."
    found = e.tensor(e.call(zero, zero), (n,), nan=f"it holds NaN or infinity; {prior}")
    e.near(found, torch.zeros(n), prior)
    for seed in range(3):
        mean, log_var = draws(seed, n, d), draws(seed + 5, n, d)
        square, var = mean.square(), log_var.exp()
        exact = (square + var - 1 - log_var) / 2
        found = e.tensor(e.call(mean, log_var), (n,))
        e.slips(
            found,
            exact.sum(1),
            {
                "a KL divergence is never negative: yours has the wrong sign.": -exact.sum(1),
                "latents add up: sum over them.": exact.mean(1),
                "it is right but for one factor.": 2 * exact.sum(1),
                "log_var is the logarithm of a variance, not of a deviation.": (
                    square + (2 * log_var).exp() - 1 - 2 * log_var
                ).sum(1)
                / 2,
                "a KL divergence is not symmetric: yours is that of the prior from it.": (
                    (1 + square) / var - 1 + log_var
                ).sum(1)
                / 2,
                "the part of the variances is missing.": square.sum(1) / 2,
                "the part of the means is missing.": (exact - square / 2).sum(1),
                "the means enter by their squares.": (exact - square / 2 + mean / 2).sum(1),
            },
        )
        e.hold(found.min() >= -1e-4, "a KL divergence is never negative.")
        only = e.tensor(e.call(mean, zero), (n,))
        e.near(
            only, square.sum(1) / 2, "where the variances are 1, the part of the means is wrong."
        )
        e.near(found, exact.sum(1), "the part of the variances is wrong.")
    e.done()


class Energy(nn.Module):
    """A curved function of a latent, (n, 2) -> (n,), whose weights are not 0."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.inner = nn.Parameter(draws(seed, 2, 4))
        self.outer = nn.Parameter(draws(seed + 1, 4))

    def forward(self, z: Tensor) -> Tensor:
        """The energy of each latent."""
        return torch.tanh(z.to(F64) @ self.inner) @ self.outer


def slope(e: Exercise, f: Energy, value: Any) -> Tensor:
    """The gradient of a loss in all weights of f, as one vector."""
    must = "return one number, a tensor of shape () that has a gradient"
    number = isinstance(value, Tensor) and value.ndim == 0
    e.hold(number, f"{must}, not {checks.shown(value)}.")
    e.hold(value.requires_grad, "return one number that has a gradient in the weights of f.")
    weights = list(f.parameters())
    try:
        parts = cast("list[Tensor | None]", torch.autograd.grad(value, weights, allow_unused=True))
    except RuntimeError as error:
        why = "its gradient cannot be taken: return the number, and leave backward to the caller."
        raise e.wrong(why) from error
    used = [part.flatten() for part in parts if part is not None]
    e.hold(len(used) == len(weights), "it does not use f.")
    return e.tensor(torch.cat(used), (12,), "its gradient")


@torch.inference_mode(False)
@torch.enable_grad()
def ex_11_4(loss: Callable[..., Any]) -> None:
    """The energy's loss: ``loss(f, up, down)``, to be minimised; latents of posterior and prior."""
    e = Exercise("11.4", loss, "loss(f, up, down)")
    up, down = draws(1, 40, 2) + 1.5, draws(2, 60, 2)
    for seed in (3, 5):
        f = Energy(seed)
        value = e.call(f, up, down)
        kept = all(map(torch.equal, f.parameters(), Energy(seed).parameters()))
        e.hold(kept, "it changes the weights of f; return the number alone.")
        found = slope(e, f, value)
        ups, downs = slope(e, f, f(up).sum()), slope(e, f, f(down).sum())
        right = downs / 60 - ups / 40
        means = "take means: the clouds may differ in size."
        e.near(
            found,
            right,
            "its slope is not the difference of the two means of grad f.",
            {
                "descent would make f smaller where the images' latents are.": -right,
                means: downs - ups,
                f"{means} Each by its own.": (downs - ups) / 100,
                "nothing lowers f where the prior draws.": -ups / 40,
                "nothing lifts f where the images' latents are.": downs / 60,
                "it lowers f in both places.": downs / 60 + ups / 40,
                "its slope has the right direction and a wrong factor.": right
                * ((found @ right) / (right @ right)).clamp(min=0),
            },
        )
        e.hold((found * right).sum() > 0, "descent would make f smaller where latents are.")
    e.done()


def ex_11_3(inverse: Callable[..., Any]) -> None:
    """A coupling undone: ``inverse(y, r, t)`` of (a, b) -> (a, b exp(r(a)) + t(a)), halves of y."""
    e = Exercise("11.3", inverse, "inverse(y, r, t)")
    for seed, d in enumerate((2, 6)):
        half = d // 2
        A, B, x = draws(seed, half, half), draws(seed + 3, half, half), draws(seed + 6, 9, d)

        def r(a: Tensor, A: Tensor = A) -> Tensor:
            return torch.tanh(a @ A.to(a.dtype))

        def t(a: Tensor, B: Tensor = B) -> Tensor:
            return torch.sin(a @ B.to(a.dtype))

        a, b = x[:, :half], x[:, half:]
        scaled = b * r(a).exp()
        y = torch.cat([a, scaled + t(a)], 1)
        c = y[:, half:]
        found = e.tensor(e.call(y, r, t), (9, d))
        e.near(found[:, :half], a, "the first half passes through unchanged.")
        e.near(
            found[:, half:],
            b,
            "the second half is not undone.",
            {
                "the second half is not undone at all.": c,
                "the second half: in which order were scale and shift applied?": c * (-r(a)).exp()
                - t(a),
                "the second half: the scale is applied again.": scaled * r(a).exp(),
                "the second half: the scale is left.": scaled,
                "the second half: the shift is left.": c * (-r(a)).exp(),
                "the second half: the shift is applied again.": (c + t(a)) * (-r(a)).exp(),
                "that is the coupling itself.": c * r(a).exp() + t(a),
                "the second half: it is divided by r, not by its exponential.": scaled / r(a),
                "the second half: r and t see the half that passed through, not the other.": (
                    (c - t(c)) * (-r(c)).exp()
                ),
            },
        )
    e.done()
