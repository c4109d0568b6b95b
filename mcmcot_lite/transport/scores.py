r"""Scores s_ij = <z_hat_i, z_j> + h_j, their row maxima, and the dual bound (Eq. 14).

With the squared distance, min-cost assignment is max-score assignment, since
||a - b||^2 = ||a||^2 + ||b||^2 - 2 <a, b>. For any h,

.. math::  D(h) = \frac1n\sum_i \|\hat z_i\|^2 + \frac1n\sum_j \|z_j\|^2 - 2 E(h), \qquad
           E(h) = \frac1n\sum_i \max_j \{\langle \hat z_i, z_j\rangle + h_j\} - \frac1n\sum_j h_j,

is a lower bound of the optimal mean cost, and max_h D(h) equals it. (Eq. 14 prints the first sum
of E over j; it runs over i.)

Both clouds are centred and divided by their standard deviations first. That changes neither the
optimal map nor its bound: h only turns into other units. It saves the counts of cells when latents
sit far from the origin or are very small or large. Scores are computed in blocks of rows and never
stored.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.transport.scan import roundoff, row_best, row_count

__all__ = [
    "SMALL",
    "Proof",
    "Scores",
    "check_clouds",
    "check_h",
    "dual_value",
    "laguerre_cells",
    "plain",
    "proof",
]

SMALL = 2000  # largest n whose n x n matrix may exist: 2,000^2 doubles are 32 MB


def check_clouds(z_hat: Tensor, z: Tensor) -> None:
    """Two finite clouds of equal shape (n, d), dtype and device."""
    checks.tensor("z_hat", z_hat, ndim=2, finite=False)
    remedy = (
        "The map is one-to-one: draw as many targets as there are sources, in as many dimensions."
    )
    checks.tensor("z", z, shape=tuple(z_hat.shape), like=z_hat, like_name="z_hat", remedy=remedy)
    checks.latents("z_hat", z_hat)


def check_h(name: str, h: Tensor, z: Tensor) -> None:
    """Finite potentials (n,) of the targets z, on their device, in any floating-point dtype."""
    checks.tensor(name, h, shape=(len(z),), like_name="z", finite=False)
    if h.device != z.device:
        raise checks.fail(
            name,
            f"must be on the device of z, {z.device}",
            h.device,
            f"Move it with .to({str(z.device)!r}).",
        )
    checks.tensor(name, h)


class Scores:
    """The scores of two clouds, centred and scaled, row by row in blocks of bounded size.

    Attributes:
        n, d: number and dimension of the targets.
        dtype: float64 for float64 clouds, else float32: what a search may count in.
        x, y: the centred clouds with unit mean square entries, (m, d) and (n, d), float64.
        unit: what a score of 1 is worth: std(z_hat) std(z).
        tilt: <mean(z_hat), z_j>, what centring z_hat takes from the scores of target j, (n,).
        base: the part of the mean cost that no map changes.
        offset: how far from the origin the clouds reach: their coordinates are rounded there.
        shift: the part of it that comes from the distance of the means.
    """

    def __init__(self, z_hat: Tensor, z: Tensor) -> None:
        a, b = z_hat.detach().double(), z.detach().double()
        self.n, self.d = b.shape
        self.dtype = torch.float64 if z.dtype == torch.float64 else torch.float32
        mean_a, mean_b = a.mean(0), b.mean(0)
        self.x, self.y = a - mean_a, b - mean_b
        for cloud, centred in ((a, self.x), (b, self.y)):  # one value has no spread, to the bit
            centred[:, (cloud == cloud[0]).all(0)] = 0.0
        std_a, std_b = self.x.square().mean().sqrt(), self.y.square().mean().sqrt()
        spread = self.d * (std_a.square() + std_b.square())
        self.offset = float(a.abs().max() + b.abs().max())
        self.shift = float((mean_a - mean_b).square().sum())
        self.base = float(spread) + self.shift
        if not self.base < float("inf"):
            raise checks.fail(
                "z_hat and z",
                "must have squared distances that float64 can hold",
                f"entries up to {max(float(a.abs().max()), float(b.abs().max())):.3g}",
                "Scale both clouds down.",
            )
        for cloud, std in ((self.x, std_a), (self.y, std_b)):
            if float(std) < 1e-140 and bool((cloud != 0).any()):
                raise checks.fail(
                    "z_hat and z",
                    "must have squared distances that float64 can hold",
                    f"a cloud with entries within {float(cloud.abs().max()):.3g} of its mean",
                    "Scale both clouds up.",
                )
        self.tilt = self.y @ mean_a
        if std_a > 0:
            self.x = self.x / std_a
        if std_b > 0:
            self.y = self.y / std_b
        self.unit = float(std_a * std_b) or 1.0  # 1.0: a cloud in one point, where any h serves
        # A quarter of the allowed room stays in a CPU's cache; a GPU wants few large blocks.
        self._room = SMALL * SMALL // (4 if z.device.type == "cpu" else 1)

    def inner(self, h: Tensor) -> Tensor:
        """The h of Eq. (14) in the units of these scores, with mean zero, (n,) float64."""
        h = h.detach().double() + self.tilt
        return (h - h.mean()) / self.unit

    def outer(self, h: Tensor) -> Tensor:
        """Undoes :meth:`inner`, up to a constant."""
        return h.double() * self.unit - self.tilt

    def best(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Row maxima (m,) of <x_i, y_j> + h_j and their columns (m,), in the dtype of h."""
        return row_best(self.x.to(h.dtype), self.y.to(h.dtype), h, self._room)

    def counts(self, h: Tensor) -> tuple[float, Tensor]:
        """E(h), and how many sources each cell holds, (n,): all that Algorithm 2 needs of them."""
        mean, count = row_count(self.x.to(h.dtype), self.y.to(h.dtype), h, self._room)
        return float(mean - h.mean(dtype=torch.float64)), count

    def gain(self, bijection: Tensor) -> float:
        """Mean score <x_i, y_bijection(i)>."""
        return float((self.x * self.y[bijection]).sum(1).mean())

    def dual(self, value: Tensor, h: Tensor) -> float:
        """D(h) from the row maxima of best(h): a lower bound of the optimal mean cost."""
        return self.base - 2 * self.unit * float(value.mean() - h.mean())


@dataclass(frozen=True)
class Proof:
    """How far a map can be from the optimum, from the centred clouds: nothing cancels.

    Attributes:
        gap: mean cost of the map minus D(h), at least the distance to the optimum.
        rounding: what float64 may feign of a gap.
        excused: what no goal must pay for: 1e-10 of the primal cost of the centred clouds, and the
            rounding. Where one point lies 1e6 away that cost is nearly all its own, and the others
            are proven only up to 1e-10 of it.
        allowed: largest gap that counts as the goal reached: ``goal`` times the primal cost, and
            what is excused.
    """

    gap: float
    rounding: float
    excused: float
    allowed: float

    @property
    def holds(self) -> bool:
        """The goal is proven."""
        return -self.rounding <= self.gap <= self.allowed  # below: a bound that cannot be right


def proof(scores: Scores, gain: float, ceiling: float, h: Tensor, goal: float = 0.0) -> Proof:
    """What a map and potentials prove.

    Args:
        scores: of the two clouds.
        gain: mean score <x_i, y_j> of the map's pairs.
        ceiling: mean score that no map exceeds, E(h).
        h: the potentials that prove the ceiling, in the units of the scores, (n,).
        goal: relative gap asked for.
    """
    u = torch.finfo(torch.float64).eps / 2
    spread = max(0.0, scores.base - scores.shift)
    # Of a row's best score, on average; and of the coordinates, which were rounded far away.
    rounding = 128 * scores.unit * float(roundoff(scores.x, scores.y, h, torch.float64).mean())
    rounding += 32 * u * scores.offset * scores.d * (spread**0.5 + u * scores.offset)
    centred = max(0.0, spread - 2 * scores.unit * gain)
    excused = 1e-10 * centred + rounding
    allowed = goal * (centred + scores.shift) + excused
    return Proof(2 * scores.unit * (ceiling - gain), rounding, excused, allowed)


@contextmanager
def plain(device: torch.device) -> Generator[None, None, None]:
    """Context without the autocast that a user may have set."""
    with torch.autocast(device.type, enabled=False):
        yield


def laguerre_cells(z_hat: Tensor, z: Tensor, h: Tensor) -> Tensor:
    """The cell of each source: j(i) = argmax_j <z_hat_i, z_j> + h_j, shape (m,) (J_j of Eq. 14).

    Args:
        z_hat: sources, (m, d); m and n may differ, so that a grid of points can be coloured.
        z: targets, (n, d), of the same dtype and device.
        h: potentials, (n,), for uncentred scores, as in Eq. (14).
    """
    checks.tensor("z_hat", z_hat, ndim=2, finite=False)
    checks.tensor("z", z, shape=(None, z_hat.shape[1]), like=z_hat, like_name="z_hat")
    checks.latents("z_hat", z_hat)
    check_h("h", h, z)
    scores = Scores(z_hat, z)
    return scores.best(scores.inner(h))[1]


def dual_value(z_hat: Tensor, z: Tensor, h: Tensor) -> float:
    """D(h) for any h: a lower bound of the mean squared distance of every bijection, in float64.

    Args:
        z_hat: sources, (n, d).
        z: targets, (n, d), of the same dtype and device.
        h: potentials, (n,), for uncentred scores, as in Eq. (14).
    """
    check_clouds(z_hat, z)
    check_h("h", h, z)
    scores = Scores(z_hat, z)
    h = scores.inner(h)
    return scores.dual(scores.best(h)[0], h)
