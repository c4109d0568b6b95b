r"""The optimal map between two Gaussians, in closed form: a start, and a first bound.

Between N(0, A) and N(0, B) the optimal map back from y to x is linear, y -> M y, with
:math:`M = B^{-1/2} (B^{1/2} A B^{1/2})^{1/2} B^{-1/2}`. It is the gradient of y'My/2, so
h(y) = -y'My/2 are its potentials (Eq. 14). For any two laws with these covariances,
:math:`E \langle x, y \rangle \le \mathrm{tr} (B^{1/2} A B^{1/2})^{1/2}` (Gelbrich, 1990): a bound
that needs no look at any pair.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

__all__ = ["brenier", "clipped", "eigen", "gelbrich", "spectrum"]


def brenier(x: Tensor, y: Tensor) -> Tensor:
    """Potentials h_j = -y_j' M y_j / 2 of the Gaussians with the covariances of x and y, (n,)."""
    A, B = _covariance(x), _covariance(y)
    for C in (A, B):  # a little is added, so that a flat cloud has an inverse
        C.diagonal().add_(1e-9 * float(C.diagonal().mean()) + 1e-300)
    root, inverse = _power(B, 0.5), _power(B, -0.5)
    M = inverse @ _power(root @ A @ root, 0.5) @ inverse
    return -((y @ M) * y).sum(1) / 2


def gelbrich(x: Tensor, y: Tensor) -> float:
    """Upper bound of the mean of <x_i, y_j> over every pairing of the centred clouds x and y."""
    w = spectrum(x, y)
    return float(w.sum() + 1e-7 * len(w) * w.max())  # roots of eigenvalues: half the digits


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
