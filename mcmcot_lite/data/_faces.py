"""Photographs from a folder or a zip: decoded, cropped and resized without unpacking anything.

The rule for faces is that of the paper's data: the middle 148 x 148 pixels of an aligned CelebA
photograph (178 x 218), resized to 64 x 64 with Lanczos' filter. An image that already has the final
size passes unchanged; any other is cropped to its middle square, of side 148 where that fits and as
large as fits otherwise, and resized.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
import zipfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mcmcot_lite.checks import boolean, error_text, fail, integer
from mcmcot_lite.data._imageset import ImageSet
from mcmcot_lite.data._places import as_path, has_file, has_folder

__all__ = ["Album", "decode_all", "image_folder", "open_album"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LARGEST = 64 << 20  # bytes of one compressed image: more is no photograph but a mistake or a trap
WORKERS = 8  # threads: Pillow decodes outside Python's global lock
Sizes = Sequence[tuple[int, int]]
BAR_FROM = 2_000  # images: below, decoding takes about a second


@dataclass(frozen=True)
class Album:
    """The images in a folder or zip: sorted names, a reader, and a stamp for each content."""

    path: Path
    names: tuple[str, ...]
    read: Callable[[str], bytes]
    stamp: Callable[[str], str]

    def fingerprint(self, names: Sequence[str]) -> str:
        """Changes when one of these images does (zip: CRC and size; folder: size and time)."""
        h = hashlib.sha256()
        for name in names:
            h.update(f"{name}\0{self.stamp(name)}\n".encode(errors="surrogateescape"))
        return h.hexdigest()


def _wanted(name: str) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return name.lower().endswith(SUFFIXES) and not hidden


@contextmanager
def open_album(path: Path) -> Generator[Album]:
    """The images below a folder or in a zip, which stays open for the duration."""
    if has_folder(path):
        below = (Path(base) / f for base, _, files in os.walk(path) for f in files)
        names = sorted(n for n in (p.relative_to(path).as_posix() for p in below) if _wanted(n))

        def stamp(name: str) -> str:
            info = (path / name).stat()
            return f"{info.st_size} {info.st_mtime_ns}"

        yield Album(path, tuple(names), lambda name: (path / name).read_bytes(), stamp)
        return
    if not has_file(path):
        raise fail(
            str(path),
            "must be a folder or a zip of images",
            "nothing there",
            "Check the path.",
            FileNotFoundError,
        )
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise fail(
            str(path),
            "must be a folder or a readable zip of images",
            error_text(error),
            "If it was copied or downloaded, it is cut off: get it again.",
        ) from error
    with archive:
        infos = {i.filename: i for i in archive.infolist() if _wanted(i.filename)}

        def read(name: str) -> bytes:
            if infos[name].file_size > LARGEST:
                raise ValueError(f"{infos[name].file_size} bytes, which is no photograph")
            return archive.read(infos[name])

        yield Album(
            path,
            tuple(sorted(infos)),
            read,
            lambda name: f"{infos[name].file_size} {infos[name].CRC}",
        )


def _decode(
    data: bytes, size: int, crop: int | None, sizes: Sizes, grey: bool
) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as file:
        deep = file.mode.startswith("I")  # 16 bits a pixel: convert() would cut them off at 255
        shallow = (np.asarray(file) / 257).round().astype(np.uint8) if deep else None
        image = (file if shallow is None else Image.fromarray(shallow)).convert("RGB")
    if sizes and image.size not in sizes:
        wanted = " or ".join(f"{w} x {h}" for w, h in sizes)
        raise ValueError(f"{image.size[0]} x {image.size[1]} pixels, not {wanted}")
    if image.size != (size, size):
        w, h = image.size
        side = min(w, h) if crop is None else min(crop, w, h)
        left, top = (w - side) // 2, (h - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image.convert("L"))[None] if grey else np.asarray(image).transpose(2, 0, 1)


def decode_all(
    album: Album,
    names: Sequence[str],
    *,
    size: int,
    crop: int | None,
    skip_broken: bool,
    progress: bool,
    sizes: Sizes = (),
    grey: bool = False,
) -> tuple[torch.Tensor, int]:
    """Decodes images: (uint8 tensor (n, 3 or 1, size, size), how many were skipped).

    ``sizes``: the (width, height) that they may have; () allows any.
    """
    from tqdm import tqdm

    if not names:
        raise fail(
            str(album.path),
            f"must hold at least one image ({', '.join(s[1:] for s in SUFFIXES)})",
            "none",
            "Check the path.",
        )
    out = np.empty((len(names), 1 if grey else 3, size, size), np.uint8)

    def work(i: int) -> str:
        try:
            out[i] = _decode(album.read(names[i]), size, crop, sizes, grey)
        except MemoryError:
            raise
        except Exception as error:  # Pillow and zipfile raise many kinds for a damaged image
            return f"{names[i]!r} ({error_text(error)})"
        return ""

    broken: dict[int, str] = {}
    pool = ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1))
    try:
        results = pool.map(work, range(len(names)))
        quiet = not progress or len(names) < BAR_FROM
        for i, why in enumerate(tqdm(results, "decoding", len(names), disable=quiet)):
            if why and not skip_broken:
                raise fail(
                    str(album.path),
                    "must hold readable images only",
                    f"broken: {why}",
                    "Replace or remove that image, or skip such images: skip_broken=True.",
                )
            if why:
                broken[i] = why
    finally:
        pool.shutdown(cancel_futures=True)
    if len(broken) == len(names):
        raise fail(
            str(album.path),
            "must hold at least one readable image",
            f"{len(broken)} broken ones, the first {broken[0]}",
            "Get the images again.",
        )
    if broken:
        first = "; ".join(list(broken.values())[:3])
        warnings.warn(
            f"{len(broken)} of {len(names)} images of {album.path} are broken and were "
            f"skipped: {first}{'; ...' if len(broken) > 3 else ''}",
            stacklevel=3,
        )
        out = np.delete(out, list(broken), axis=0)
    return torch.as_tensor(out), len(broken)


def image_folder(
    path: str | os.PathLike[str],
    *,
    size: int = 64,
    crop: int | None = 148,
    limit: int | None = None,
    skip_broken: bool = False,
    progress: bool = True,
    grey: bool = False,
) -> ImageSet:
    """The JPEG, PNG and WebP images of a folder or zip (with subfolders), sorted by name.

    Args:
        path: the folder or the zip; a zip is read in place, never unpacked.
        size: side of the images that come out; an image of this size passes unchanged.
        crop: side of the middle square that is cut out first, smaller where an image is; None for
            the largest there is. The default is that of CelebA's photographs (178 x 218).
        limit: read at most this many, the first by name.
        skip_broken: leave out images that cannot be read, with a warning that counts them.
        progress: show a progress bar where decoding takes more than about a second.
        grey: one channel, the luminance (ITU-R 601), for one-channel generators; else RGB.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: the zip is damaged, there is no image, or one (it is named) is broken.
    """
    size = integer("size", size, 1, maximum=8192)
    crop = None if crop is None else integer("crop", crop, 1, remedy="Try None, or 148.")
    boolean("grey", grey)
    limit = None if limit is None else integer("limit", limit, 1)
    boolean("skip_broken", skip_broken)
    boolean("progress", progress)
    where = as_path("path", path)
    with open_album(where) as album:
        x, _ = decode_all(
            album,
            album.names[:limit],
            size=size,
            crop=crop,
            skip_broken=skip_broken,
            progress=progress,
            grey=grey,
        )
    return ImageSet(x, None, where.stem, "all", where.name, "that of the images")
