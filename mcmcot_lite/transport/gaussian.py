r"""The optimal map between two Gaussians, in closed form: a start, and a first bound.

Between N(0, A) and N(0, B) the optimal map back from y to x is linear, y -> M y, with
:math:`M = B^{-1/2} (B^{1/2} A B^{1/2})^{1/2} B^{-1/2}`. It is the gradient of y'My/2, so
h(y) = -y'My/2 are its potentials (Eq. 14). For any two laws with these covariances,
:math:`E \langle x, y \rangle \le \mathrm{tr} (B^{1/2} A B^{1/2})^{1/2}` (Gelbrich, 1990).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

__all__ = ["MOST", "SOME", "bounded", "brenier", "clipped", "directions", "eigen", "spectrum"]

MOST = 1024  # directions that a start looks at: its time grows with their cube
SOME = 64  # directions where an answer must come at once


def brenier(x: Tensor, y: Tensor) -> Tensor:
    """Potentials h_j = -y_j' M y_j / 2 of the Gaussians with the covariances of x and y, (n,)."""
    return bounded(x, y)[0]


def bounded(x: Tensor, y: Tensor, most: int = MOST) -> tuple[Tensor, float]:
    """The potentials of :func:`brenier`, and an upper bound of their E(h) (Eq. 14).

    For any positive definite M, <x, y> - y'My/2 <= x'M^-1 x/2: so the mean of x'M^-1 x/2 and of
    y'My/2 add up to a mean score that no pairing exceeds. For the M above and full covariances that
    is Gelbrich's bound. It needs no look at any pair, and M need not be exact.

    Args:
        x, y: centred clouds, (n, d), float64.
        most: directions to look at; fewer give a weaker bound, sooner.
    """
    u, v = directions(x, y, most)
    A, B = _covariance(u), _covariance(v)
    for C in (A, B):  # a little is added, so that a flat cloud has an inverse
        C.diagonal().add_(1e-9 * float(C.diagonal().mean()) + 1e-300)
    root, inverse = _power(B, 0.5), _power(B, -0.5)
    w, V = eigen(inverse @ _power(root @ A @ root, 0.5) @ inverse)
    w = w.clamp_min(1e-12 * float(w.max()) + 1e-300)
    h, f = -((v @ V).square() @ w) / 2, (u @ V).square() @ (1 / w) / 2
    if u is not x:  # outside the chosen directions, M is one number
        beyond = [(t.square().sum(1) - p.square().sum(1)).clamp_min(0) for t, p in ((x, u), (y, v))]
        c = float(((beyond[0].mean() + 1e-300) / (beyond[1].mean() + 1e-300)).sqrt())
        h, f = h - c * beyond[1] / 2, f + beyond[0] / c / 2
    return h, float(f.mean() - h.mean())


def directions(x: Tensor, y: Tensor, most: int = MOST) -> tuple[Tensor, Tensor]:
    """Both clouds in at most ``most`` orthonormal directions: their own if d is small.

    Otherwise those that the first points of each span, which is exact for few points.
    """
    if x.shape[1] <= most:
        return x, y
    some = torch.cat([x[: most // 2], y[: most // 2]]).mT
    basis = cast(Tensor, torch.linalg.qr(some)[0])
    return x @ basis, y @ basis


def spectrum(x: Tensor, y: Tensor) -> Tensor:
    """Eigenvalues of (B^1/2 A B^1/2)^1/2: the share of each direction in the mean score, (d,)."""
    root = _power(_covariance(y), 0.5)
    return cast(Tensor, torch.linalg.eigvalsh(root @ _covariance(x) @ root)).clamp_min(0).sqrt()


def clipped(x: Tensor) -> Tensor:
    """The cloud with its far points drawn in to five times the median length: no outlier rules."""
    length = x.square().sum(1).sqrt()
    most = 5 * length.median()
    return x * (most / length.clamp_min(torch.finfo(x.dtype).tiny)).clamp_max(1)[:, None]


def eigen(C: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending and at least 0, and eigenvectors of a covariance."""
    values, vectors = cast(tuple[Tensor, Tensor], torch.linalg.eigh(C))
    return values.clamp_min(0), vectors


def _covariance(x: Tensor) -> Tensor:
    return x.mT @ x / len(x)


def _power(C: Tensor, p: float) -> Tensor:
    """Power of a symmetric positive semi-definite matrix."""
    values, vectors = eigen(C)
    return (vectors * values.pow(p)) @ vectors.mT
