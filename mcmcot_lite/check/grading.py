"""How the self-checks try a reader's function, and how they say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite import checks

__all__ = ["Exercise", "Wrong", "draws"]

F64 = torch.float64


class Wrong(AssertionError):
    """An answer that lacks a property; the message says which, and not what to write."""


def draws(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers in float64 that a seed repeats."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


class Exercise:
    """One run of a self-check: calls the reader's function, counts what holds.

    Args:
        number: of the exercise, as the book prints it.
        answer: the reader's function.
        form: how it is called, for messages.

    Raises:
        TypeError: the answer cannot be called.
    """

    def __init__(self, number: str, answer: Callable[..., Any], form: str) -> None:
        self.number, self.form, self.held = number, form, 0
        rule, remedy = "must be a function", f"Define {form} and pass its name, without brackets."
        checks.require(callable(answer), "answer", rule, checks.shown(answer), remedy, TypeError)
        self.answer = answer

    def wrong(self, why: str) -> Wrong:
        """What to raise."""
        return Wrong(f"Exercise {self.number}: {why}")

    def hold(self, ok: object, why: str) -> None:
        """A property; ``why`` is said where it does not hold."""
        if not bool(ok):
            raise self.wrong(why)
        self.held += 1

    def call(self, *arguments: Any) -> Any:
        """What the answer returns; its errors are told as such, and its inputs must not change."""
        kept = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
        try:
            found = self.answer(*arguments)
        except Exception as error:  # the reader's code may raise anything
            said = f"{type(error).__name__}: {error}"
            raise self.wrong(f"{self.form} stops with {said}") from error
        for a, b in zip(arguments, kept, strict=True):
            if isinstance(a, Tensor) and not torch.equal(a.nan_to_num(), b.nan_to_num()):
                raise self.wrong("it changes its own arguments; work on new tensors.")
        return found

    def tensor(self, found: Any, shape: tuple[int, ...], name: str = "it") -> Tensor:
        """The answer as a tensor of one shape, finite."""
        if not isinstance(found, Tensor):
            found = torch.as_tensor(found) if isinstance(found, (int, float)) else found
        if not isinstance(found, Tensor):
            raise self.wrong(f"{name} must return a tensor, not {checks.shown(found)}.")
        if tuple(found.shape) != shape:
            raise self.wrong(f"{name} must have shape {shape}, not {tuple(found.shape)}.")
        if not bool(torch.isfinite(found).all()):
            raise self.wrong(f"{name} holds NaN or infinity.")
        return found.detach().to(F64)

    def pair(self, found: Any) -> tuple[Any, Any]:
        """The two things that the answer returns, a mean and a covariance."""
        both: list[Any] = list(cast("list[Any]", found)) if isinstance(found, (tuple, list)) else []
        self.hold(len(both) == 2, "return two things, the mean and the covariance.")
        return both[0], both[1]

    def near(self, a: Tensor | float, b: Tensor | float, why: str, rtol: float = 1e-6) -> None:
        """Two numbers or tensors agree up to rounding."""
        x, y = torch.as_tensor(a, dtype=F64), torch.as_tensor(b, dtype=F64)
        scale = 1.0 + float(torch.maximum(x.abs(), y.abs()).max())
        self.hold(float((x - y).abs().max()) <= rtol * scale, why)

    def done(self) -> None:
        """Says that all is well."""
        print(f"Exercise {self.number}: right ({self.held} properties hold)")  # noqa: T201
