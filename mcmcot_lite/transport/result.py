"""What a transport solver returns: the map, its price, and a bound that says how good it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport.scores import check_clouds

__all__ = ["TransportMap", "mean_cost"]


@dataclass(frozen=True, eq=False)
class TransportMap:
    """A one-to-one map from n sources z_hat to n targets z, squared Euclidean cost.

    Attributes:
        index: (n,) long; target of each source, -1 where the source was removed (T-hat).
        bijection: (n,) long; ``index`` completed to a permutation, so that a primal cost exists:
            the removed sources take the empty targets. Equal to ``index`` when nothing was removed.
        h: (n,) float64; potentials of Eq. (14), for uncentred scores, up to a constant.
        primal: mean of ||z_hat_i - z_bijection(i)||^2: at least the optimum.
        dual: a lower bound of the optimum that ``h`` proves: D(h), or a little less where a bound
            from float32 scores was enough.
        removed: share of sources without a target, = share of empty cells.
        converged: the solver met its goal (removed <= eps; for the others, gap <= goal primal).
        steps: iterations made; rounds of column generation for ``"exact"``.
        method: name of the solver.
        status: how it ended, in words: ``"optimal"``, ``"gap reached"``, ``"time limit"``,
            ``"memory limit"``, ``"not proven"`` (no better pair is left, but rounding hides the
            last digits), ...
        certified: primal and dual prove the goal for all pairs: gap <= goal primal, up to float
            tolerance (:func:`mcmcot_lite.transport.certify` checks it independently).
        goal: relative gap asked for; 0 is the optimum.
        reason: why :func:`mcmcot_lite.transport.transport` chose this solver.
        edges: pairs in the last sparse graph; 0 for solvers without one.
        seconds: wall time of each phase.
        history: at each iteration the share of empty cells; for ``"exact"`` and ``"auction"`` the
            relative gap.
    """

    index: Tensor
    bijection: Tensor
    h: Tensor
    primal: float
    dual: float
    removed: float
    converged: bool
    steps: int
    method: str
    status: str = ""
    certified: bool = False
    goal: float = 0.0
    reason: str = ""
    edges: int = 0
    seconds: dict[str, float] = field(default_factory=dict[str, float], repr=False)
    history: tuple[float, ...] = field(default=(), repr=False)

    @property
    def gap(self) -> float:
        """Primal minus dual. The optimum lies between, so no map is better by more than this.

        Never below zero beyond float64 rounding.
        """
        return self.primal - self.dual

    @property
    def relative_gap(self) -> float:
        """Gap over the primal cost; 0 where both are 0."""
        return self.gap / self.primal if self.primal > 0 else max(0.0, self.gap)

    @property
    def rounds(self) -> int:
        """The same as ``steps``."""
        return self.steps

    @property
    def kept(self) -> Tensor:
        """Which sources have a target, (n,), bool."""
        return self.index >= 0

    def __call__(self, z_hat: Tensor, z: Tensor) -> Tensor:
        """T-hat(z_hat), (n, d): the target of each source; a removed source stays where it is."""
        self.check(z_hat, z)
        moved = z[self.index.clamp_min(0).to(z.device)]
        return torch.where(self.kept.to(z.device)[:, None], moved, z_hat)

    def check(self, z_hat: Tensor, z: Tensor) -> None:
        """Refuses clouds that this map cannot belong to."""
        check_clouds(z_hat, z)
        self._check_own()
        if len(self.index) != len(z_hat):
            raise checks.fail(
                "z_hat and z",
                f"must hold the {len(self.index)} points that the map was computed for",
                f"n = {len(z_hat)}",
                "Compute the map from these clouds.",
            )

    def _check_own(self) -> None:
        """Fields that belong together, as no solver would leave them otherwise."""
        n, remedy = len(self.index), "Take the map as a solver returned it."
        for name, value in (("T.index", self.index), ("T.bijection", self.bijection)):
            ok = isinstance(value, Tensor) and value.dtype == torch.long and value.shape == (n,)  # pyright: ignore[reportUnnecessaryIsInstance]
            rule = f"must be a torch.long tensor of shape ({n},)"
            checks.require(ok, name, rule, checks.shown(value), remedy)
        checks.tensor("T.h", self.h, shape=(n,), finite=False, remedy=remedy)
        for name, number in (("T.primal", self.primal), ("T.dual", self.dual)):
            checks.require(isinstance(number, Real), name, "must be a number", number, remedy)


def mean_cost(z_hat: Tensor, z: Tensor, bijection: Tensor) -> float:
    """Mean of ||z_hat_i - z_bijection(i)||^2, in float64."""
    moves = z_hat.detach().double() - z.detach().double()[bijection]
    return float(moves.square().sum(1).mean())
