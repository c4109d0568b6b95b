"""How the self-checks try a reader's function, and how they say what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from mcmcot_lite import checks

__all__ = ["F64", "Exercise", "Wrong", "draws", "same"]

F64 = torch.float64
RTOL = 1e-5  # float32 rounds at 6e-8, and sums here have about a hundred terms


class Wrong(AssertionError):
    """An answer that lacks a property; the message says which, and not what to write."""


def draws(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers in float64 that a seed repeats."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def same(a: Tensor | float, b: Tensor | float) -> bool:
    """Whether two numbers or tensors agree up to rounding; NaN and infinity agree with nothing."""
    x, y = torch.as_tensor(a, dtype=F64), torch.as_tensor(b, dtype=F64)
    if not bool(torch.isfinite(x).all() & torch.isfinite(y).all()):
        return False
    scale = 1.0 + float(torch.maximum(x.abs(), y.abs()).max())
    return float((x - y).abs().max()) <= RTOL * scale


def copied(value: Any) -> Any:
    """A tensor, or a tuple of them, that may be changed; other things as they are."""
    if isinstance(value, tuple):
        return tuple(copied(part) for part in cast("tuple[Any, ...]", value))
    return value.clone() if isinstance(value, Tensor) else value


def unchanged(a: Any, b: Any) -> bool:
    """Whether two tensors, or two tuples of them, hold the same to the bit; NaN is like NaN."""
    if isinstance(a, tuple):
        return all(map(unchanged, cast("tuple[Any, ...]", a), b))
    if not isinstance(a, Tensor):
        return True
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _converted(found: Any) -> Tensor:
    """A number, an array of numpy or a list of either as a tensor; a tensor without its graph."""
    if isinstance(found, Tensor):
        return found.detach().cpu()
    if isinstance(found, Real):
        return torch.tensor(float(found), dtype=F64)
    if isinstance(found, (list, tuple)):
        parts = list(cast("list[Any]", found))
        if any(isinstance(part, Tensor) for part in parts):
            return torch.stack([_converted(part).to(F64) for part in parts])
    return torch.as_tensor(np.array(cast("object", found), order="C"))


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
        self.label, self.form, self.held = number, form, 0
        rule, remedy = "must be a function", f"Define {form} and pass its name, without brackets."
        checks.require(callable(answer), "answer", rule, checks.shown(answer), remedy, TypeError)
        self.answer = answer

    def wrong(self, why: str) -> Wrong:
        """What to raise."""
        return Wrong(f"Exercise {self.label}: {why}")

    def hold(self, ok: object, why: str) -> None:
        """A property; ``why`` is said where it does not hold."""
        if not bool(ok):
            raise self.wrong(why)
        self.held += 1

    def call(self, *arguments: Any) -> Any:
        """What the answer returns; its errors are told as such, and its inputs must not change."""
        given = copied(arguments)
        try:
            found = self.answer(*given)
        except Exception as error:  # the reader's code may raise anything
            said = checks.error_text(error).removesuffix(": ")
            raise self.wrong(f"{self.form} stops with {said}") from error
        if not unchanged(given, arguments):
            raise self.wrong("it changes its own arguments; work on new tensors.")
        return found

    def tensor(
        self, found: Any, shape: tuple[int, ...], name: str = "it", nan: str | None = None
    ) -> Tensor:
        """The answer as a tensor of one shape, finite; arrays of numpy and lists become tensors.

        Where it is not finite, ``nan`` is said.
        """
        kind = "a tensor" if shape else "a number"
        must = f"{name} must {'return' if name == 'it' else 'be'} {kind}"
        if found is None:
            raise self.wrong(f"{must}, not None. Is a return missing?")
        try:
            value = _converted(found)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise self.wrong(f"{must}, not {checks.shown(found)}.") from None
        if tuple(value.shape) != shape:
            wanted = f"have shape {shape}" if shape else "be one number, of shape ()"
            raise self.wrong(f"{name} must {wanted}, not {tuple(value.shape)}.")
        if value.is_complex():
            raise self.wrong(f"{name} holds complex numbers.")
        if not bool(torch.isfinite(value).all()):
            raise self.wrong(nan or f"{name} holds NaN or infinity.")
        return value.to(F64)

    def number(self, *arguments: Any) -> float:
        """The answer for these arguments, where one number is asked for."""
        return float(self.tensor(self.call(*arguments), ()))

    def pair(self, found: Any) -> tuple[Any, Any]:
        """The two things that the answer returns, a mean and a covariance."""
        both: list[Any] = list(cast("list[Any]", found)) if isinstance(found, (tuple, list)) else []
        self.hold(len(both) == 2, "return two things, the mean and the covariance.")
        return both[0], both[1]

    def steady(self, shape: tuple[int, ...], *arguments: Any) -> Tensor:
        """The answer for these arguments, which must be the same a second time."""
        one, two = (self.tensor(self.call(*arguments), shape) for _ in range(2))
        why = "called twice with the same arguments, it gives two answers: it must draw nothing."
        self.hold(same(one, two), why)
        return one

    def slips(
        self, found: Tensor | float, right: Tensor | float, said: Mapping[str, Tensor | float]
    ) -> None:
        """Where ``found`` is not right, says the mistake that gives exactly this value, if any."""
        if not same(found, right):
            for why, value in said.items():
                if same(found, value):
                    raise self.wrong(why)

    def near(
        self,
        found: Tensor | float,
        right: Tensor | float,
        why: str,
        slips: Mapping[str, Tensor | float] | None = None,
    ) -> None:
        """``found`` agrees with ``right`` up to rounding; known mistakes are told by name."""
        self.slips(found, right, slips or {})
        self.hold(same(found, right), why)

    def done(self) -> None:
        """Says that all is well."""
        print(f"Exercise {self.label}: right ({self.held} properties hold)")  # noqa: T201
