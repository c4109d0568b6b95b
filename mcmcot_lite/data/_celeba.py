"""CelebA: the official zip or folder, or one prepared at 64 x 64; and a store of decoded images.

The official partition is by file number, 000001 to 202599, so the names alone give an image's
split. A set whose names are such numbers is split by them: a prepared part that holds the first
10,000 has a training split and nothing else. With other names every image counts as training.
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from mcmcot_lite.checks import error_text
from mcmcot_lite.data._faces import Album, decode_all, open_album
from mcmcot_lite.data._imageset import ImageSet
from mcmcot_lite.data._places import Place, cache_folder, has_file, has_folder
from mcmcot_lite.data._sources import CELEBA_PARTITION, Source

__all__ = ["CelebAReader", "split_of"]

KEEP_FROM = 5_000  # images: decoding fewer takes seconds, more is worth a file in the cache
SIZE, CROP = 64, 148  # the paper's images


def split_of(names: Sequence[str]) -> dict[str, list[str]]:
    """The names of each split that is not empty, in order."""
    stems = [PurePosixPath(n).stem for n in names]
    last = CELEBA_PARTITION["test"]
    if not all(re.fullmatch(r"\d{6}", s) and 1 <= int(s) <= last for s in stems):
        return {"train": list(names)}
    splits: dict[str, list[str]] = {}
    for name, stem in zip(names, stems, strict=True):
        split = next(k for k, end in CELEBA_PARTITION.items() if int(stem) <= end)
        splits.setdefault(split, []).append(name)
    return splits


@dataclass
class CelebAReader:
    """Reads CelebA from one place after another; remembers sets that lack the split asked for."""

    limit: int | None = None
    skip_broken: bool = False
    progress: bool = True
    lacking: list[str] = field(default_factory=list[str])

    def __call__(self, source: Source, split: str, place: Place) -> ImageSet | None:
        for sub in source.folders:
            for name in ("img_align_celeba.zip", "img_align_celeba", "celeba_64.zip", "celeba_64"):
                path = place.folder / sub / name
                if has_file(path) if name.endswith(".zip") else has_folder(path):
                    found = self._from(source, split, place, path)
                    if found is not None:
                        return found
        return None

    def _from(self, source: Source, split: str, place: Place, path: Path) -> ImageSet | None:
        with open_album(path) as album:
            splits = split_of(album.names)
            names = splits.get(split, [])[: self.limit]
            if album.names and not names:
                self.lacking.append(f"{path.name} in {place} holds {', '.join(splits)} only")
                return None
            x = self._kept_or_decoded(album, names)
        return ImageSet(
            x, None, source.name, split, f"{path.name} in {place.label}", source.licence
        )

    def _kept_or_decoded(self, album: Album, names: Sequence[str]) -> torch.Tensor:
        store = None
        if len(names) >= KEEP_FROM:
            stamp = album.fingerprint(names)
            store = cache_folder() / "celeba" / f"decoded-{SIZE}-{CROP}-{stamp[:16]}.npz"
            kept = _read_store(store, len(names), stamp)
            if kept is not None:
                return kept
        x, skipped = decode_all(
            album,
            names,
            size=SIZE,
            crop=CROP,
            skip_broken=self.skip_broken,
            progress=self.progress,
            sizes=((178, 218), (SIZE, SIZE)),  # aligned as published, or prepared
        )
        if store is not None and not skipped:
            _write_store(store, x, album.fingerprint(names))
        return x


def _read_store(store: Path, n: int, stamp: str) -> torch.Tensor | None:
    if not store.is_file():
        return None
    try:
        with np.load(store, allow_pickle=False) as file:
            x = file["x"]  # the zip's CRC is checked on the way
            same = str(file["stamp"]) == stamp and x.dtype == np.uint8
            if same and x.shape == (n, 3, SIZE, SIZE):
                return torch.as_tensor(x)
        why = "another content"
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = error_text(error)
    warnings.warn(f"{store} is damaged ({why}); the images are decoded again.", stacklevel=2)
    return None


def _write_store(store: Path, x: torch.Tensor, stamp: str) -> None:
    """Atomic; a failure costs only the time of decoding again, so it is said, not raised."""
    part = store
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(prefix=store.name, suffix=".part", dir=store.parent)
        part = Path(name)
        with os.fdopen(fd, "wb") as file:
            np.savez(file, x=x.numpy(), stamp=np.array(stamp))
        part.replace(store)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        warnings.warn(f"decoded images could not be kept in {store.parent}: {error}", stacklevel=2)
