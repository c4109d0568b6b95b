"""The settings of Algorithm 1: every choice that decides a run but network, images and seed.

What the paper leaves open is a field here, with the reading in its comment. The sources are
Section 7.1 of the paper and, where it is silent, the authors' released script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import check_sigma
from mcmcot_lite.freezing import BATCHNORM
from mcmcot_lite.langevin import check_s
from mcmcot_lite.transport.correct import METHODS, check_alpha
from mcmcot_lite.transport.semidual import check_eps

__all__ = ["Settings", "check_betas", "check_inside", "check_lr", "check_range"]

SMALLEST = {"d": 1, "K": 0, "L": 1, "L2": 1, "iterations": 1, "batch_size": 1, "regression": 0}
STRINGS = {
    "schedule": ("printed", "released"),
    "chains": ("persistent", "noise"),
    "targets": ("fixed", "fresh"),
    "transport": METHODS,
    "batchnorm": BATCHNORM,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides a run but the network, the images and the seed. Checked when made."""

    d: int  # dimension of the latents
    sigma: float = 0.3  # pixel noise, Section 7.1
    s: float = 0.03  # Langevin step of Eq. (8), Table 5's best; Section 7.1's 0.3 is unstable here
    K: int = 20  # Langevin steps per inference; the paper: 50 (Section 7.1), 30 (Section 7.3)
    L: int = 5  # iterations (printed) or passes (released) between corrections; the paper: 50
    L2: int = 3  # learning steps per batch (Table 7); the released script: 3
    alpha: float = 0.5  # weight of the correction, Eq. (12); 0 is ABP
    iterations: int = 60  # printed: of Algorithm 1; released: outer ones, 10 to 15 in Section 7.3
    schedule: str = "printed"  # or "released", see mcmcot_lite.schedules
    regression: int = 0  # released: passes of plain learning after a correction; the script: 50
    batch_size: int = 2000  # Section 7.1; capped at n
    lr: float = 1e-3  # Adam's rate; not printed; the released script: 2e-4
    betas: tuple[float, float] = (0.5, 0.99)  # Adam, Section 7.1
    chains: str = "persistent"  # or "noise": restart every inference at N(0, I)
    targets: str = "fixed"  # prior samples drawn once (Algorithm 1's input), or "fresh" each time
    transport: str = "semidual"  # Algorithm 2; "exact", "auction" or "auto": see transport
    eps: float = 0.05  # largest removed share, Section 5.2
    reuse_h: bool = True  # semidual: starts at the last h while targets are fixed, as the script
    batchnorm: str = "running"  # BatchNorm during inference, or "batch"; see mcmcot_lite.frozen
    x_range: tuple[float, float] | None = (0.0, 1.0)  # range the images must keep; None: any

    def __post_init__(self) -> None:
        checked: dict[str, object] = {
            "sigma": check_sigma(self.sigma),
            "s": check_s(self.s),
            "alpha": check_alpha(self.alpha),
            "lr": check_lr(self.lr),
            "betas": check_betas(self.betas),
            "eps": check_eps(self.eps),
            "reuse_h": checks.boolean("reuse_h", self.reuse_h),
            "x_range": check_range(self.x_range),
        }
        for name, minimum in SMALLEST.items():
            checked[name] = checks.integer(name, getattr(self, name), minimum)
        for name, allowed in STRINGS.items():
            checked[name] = checks.choice(name, getattr(self, name), allowed)
        if self.regression and self.schedule != "released":
            raise checks.fail(
                "regression",
                "belongs to schedule='released'",
                self.regression,
                "Leave it at 0 for the printed schedule.",
            )
        for name, value in checked.items():  # NumPy's numbers and the like become plain ones
            object.__setattr__(self, name, value)

    def describe(self) -> str:
        """One line a page can print: the values, and the reading of the paper they follow."""
        names = ["d", "iterations", "L", "L2", "K", "s", "sigma", "alpha", "eps", "batch_size"]
        reading = "Algorithm 1 as printed"
        if self.schedule == "released":
            names, reading = [*names, "regression"], "order of the authors' released script"
        values = ", ".join(f"{name}={getattr(self, name):g}" for name in [*names, "lr"])
        if self.schedule == "printed" and self.alpha > 0 and self.iterations < self.L:
            values += " (no correction: iterations < L)"
        return (
            f"schedule {self.schedule} ({reading}): {values}, "
            f"{self.chains} chains, {self.targets} targets, {self.transport} transport, "
            f"batchnorm {self.batchnorm}"
        )


def check_lr(lr: float) -> float:
    """Adam's rate."""
    why = "Adam moves every weight by about lr a step"
    return checks.number("lr", lr, above=0.0, below=1e30, why=why, remedy="Try 1e-3.")


def check_betas(betas: tuple[float, float]) -> tuple[float, float]:
    """The two decay rates of Adam, each in [0, 1)."""
    pair = _two("betas", betas, "Try (0.5, 0.99).")
    return _check_beta(pair[0]), _check_beta(pair[1])


def _check_beta(beta: object) -> float:
    ends = (True, False)
    return checks.number("betas", beta, above=0, below=1, closed=ends, remedy="Try (0.5, 0.99).")


def check_range(x_range: tuple[float, float] | None) -> tuple[float, float] | None:
    """The range (low, high) that images must keep; None allows any."""
    if x_range is None:
        return None
    remedy = "Try (0.0, 1.0), or None for any range."
    pair = _two("x_range", x_range, remedy)
    low = checks.number("x_range", pair[0], remedy=remedy)
    return low, checks.number("x_range", pair[1], above=low, why="it is (low, high)", remedy=remedy)


def check_inside(x: Tensor, x_range: tuple[float, float] | None, visible: Tensor | None) -> None:
    """Refuses images that leave the range wherever they are visible."""
    if x_range is None:
        return
    low, high = x_range

    def inside(at: slice) -> bool:
        ok = (x[at] >= low) & (x[at] <= high)
        return bool((ok if visible is None else ok | ~visible[at]).all())

    if all(inside(at) for at in checks.blocks(x)):
        return
    seen = x.detach() if visible is None else x.detach()[visible]
    rule, got = f"must lie in [{low:g}, {high:g}]", f"values from {seen.min():g} to {seen.max():g}"
    remedy = "Divide 8-bit images by 255, or set x_range to their range (None: any)."
    raise checks.fail("x", rule, got, remedy)


def _two(name: str, value: object, remedy: str) -> Sequence[object]:
    """A tuple or list of two."""
    got = checks.shown(value)
    pair = cast("Sequence[object]", value) if isinstance(value, (tuple, list)) else ()
    checks.require(len(pair) == 2, name, "must be two numbers", got, remedy, TypeError)
    return pair
