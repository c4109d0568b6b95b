"""Files that survive: written whole or not at all, recognised when damaged, the last two kept.

A checkpoint is what ``torch.save`` makes of plain data and tensors, and after it the SHA-256 of all
that. It is written under another name, flushed to the disk, and renamed: whenever the process or
the machine dies, the file of before is still there. Reading runs no code from the file
(``weights_only``), and a file whose sum is wrong is named and passed over for the one before.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import torch

from mcmcot_lite import checks
from mcmcot_lite.lock import Busy, locked

__all__ = ["KEPT", "Checkpoints", "as_folder", "expanded", "read_checkpoint", "write_whole"]

KEPT = 2  # the newest, and one more in case it is damaged
MARK = b"\nmcmcot-lite checkpoint sha256 "  # then 64 hexadecimal digits end the file
NAME = re.compile(r"checkpoint-(\d{10})\.pt")


@contextmanager
def write_whole(path: Path) -> Generator[IO[bytes]]:
    """A file to write that takes its name only when all of it is on the disk.

    A link stays one, and what it points to is written.

    Raises:
        OSError: with the file, the reason and a remedy; what was there before stays.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # a rename would put a file in place of a device
        raise _not_written(path, OSError(errno.EINVAL, "it is not a regular file"))
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise _not_written(path, error) from error
        raise


def _flush_folder(folder: Path) -> None:
    """Makes the new name itself survive a power cut, where the system can."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


REMEDIES = {errno.ENOSPC: "Free some space", errno.EINVAL: "Choose another name"}


def _not_written(path: Path, error: OSError) -> OSError:
    why = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno or 0, "Choose a folder you may write")
    if error.errno == errno.ENOSPC:
        with suppress(OSError):
            why += f", {shutil.disk_usage(path.parent).free >> 20} MiB free"
    text = f"{path} could not be written: {why}. {remedy}; what was there before is untouched."
    return OSError(error.errno, text)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU.

    Raises:
        ValueError: the file is cut off, altered, or something else; names it.
    """
    data = path.read_bytes()
    body, mark, sum_ = data[: -64 - len(MARK)], data[-64 - len(MARK) : -64], data[-64:]
    remedy = "It is passed over; delete it to end this message."
    if mark != MARK:
        got = f"{len(data)} bytes without a checksum at the end"
        raise checks.fail(str(path), "must be a whole checkpoint", got, remedy)
    if hashlib.sha256(body).hexdigest().encode() != sum_:
        raise checks.fail(str(path), "must have the checksum it ends with", "another", remedy)
    try:
        held: Any = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle that would run code, a broken zip, another zip, nothing
        code = isinstance(error, pickle.UnpicklingError)
        got = "something that would run code" if code else checks.error_text(error)
        rule = "must hold plain data and tensors only"
        raise checks.fail(str(path), rule, got, remedy) from error
    kind = type(held).__name__
    ok = isinstance(held, dict) and {"format", "g"} <= set(cast("dict[str, Any]", held))
    checks.require(ok, str(path), "must hold a run", kind, remedy)
    return cast("dict[str, Any]", held)


def expanded(name: str, value: str | Path) -> Path:
    """A path, with ~ expanded."""
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        rule = "must be a path that exists for a known user"
        raise checks.fail(name, rule, repr(str(value)), "Write it without ~.") from error


def as_folder(name: str, value: object) -> Path:
    """A str or path-like argument that names a folder, there or not."""
    if not isinstance(value, (str, Path)):
        remedy = "Pass a str or Path."
        raise checks.fail(name, "must be a path", checks.shown(value), remedy, TypeError)
    checks.require(value != "", name, "must not be empty", "''", "Name a folder.")
    path = expanded(name, value)
    ok = not path.exists() or path.is_dir()
    checks.require(ok, name, "must be a folder", f"the file {path}", "Name another.")
    return path


class _Summed:
    """A file that torch.save writes to piece by piece, with the SHA-256 of all that.

    It keeps the first error of the disk for :meth:`digest`: torch.save must not meet one, or it
    fails in words of its own.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sum = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, piece: Any) -> int:
        if self.error is None:
            try:
                self.file.write(piece)
                self.sum.update(piece)
            except OSError as error:
                self.error = error
        return len(piece)

    def flush(self) -> None:
        pass  # write_whole does, once

    def digest(self) -> bytes:
        """The sum, in hexadecimal digits.

        Raises:
            OSError: the disk did not take a piece.
        """
        if self.error is not None:
            raise self.error
        return self.sum.hexdigest().encode()


class Checkpoints:
    """The checkpoints of one run, in one folder, which :meth:`locked` makes where it is missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._damaged: set[Path] = set()  # as far as load has looked

    @contextmanager
    def locked(self, *, first: bool = True) -> Generator[None]:
        """Keeps other runs from writing into the folder; of this run the first process locks.

        Raises:
            OSError: the folder cannot be made or written.
            RuntimeError: another process writes there.
        """
        if not first:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = locked(self.folder / "lock", wait=False)
            held.__enter__()
        except Busy as error:
            raise RuntimeError(
                f"out must be a folder that no other run uses; got {self.folder}, into which "
                f"another process writes. Wait for it, or choose another folder."
            ) from error
        except OSError as error:
            raise _not_written(self.folder, error) from error
        try:
            for pattern in ("*.part", "pictures/*.part"):  # of a process that was killed
                for left in self.folder.glob(pattern):
                    if left.is_file():
                        left.unlink()
            yield
        finally:
            held.__exit__(None, None, None)

    def files(self) -> list[Path]:
        """The checkpoints there, the newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((p for p in self.folder.iterdir() if NAME.fullmatch(p.name)), reverse=True)

    def check_room(self, size: int) -> None:
        """Whether the disk can hold the checkpoints to come, of so many bytes each.

        Raises:
            OSError: it cannot; with what is needed and what is free.
        """
        more = KEPT + 1 - min(len(self.files()), KEPT)  # the new one is written before an old goes
        free = shutil.disk_usage(self.folder).free
        if free < more * size:
            need = f"{more} of about {size >> 10:,} KiB are needed, {free >> 10:,} KiB are free"
            remedy = "Free some space, or choose another folder."
            text = f"{self.folder} could not hold the checkpoints: {need}. {remedy}"
            raise OSError(errno.ENOSPC, text)

    def save(self, data: dict[str, Any]) -> Path:
        """Writes the next checkpoint, then removes all but the last two whole ones."""
        there = self.files()
        last = NAME.fullmatch(there[0].name) if there else None
        path = self.folder / f"checkpoint-{int(last[1]) + 1 if last else 1:010d}.pt"
        with write_whole(path) as file:
            body = _Summed(file)
            torch.save(data, cast("IO[bytes]", body))
            file.write(MARK + body.digest())
        whole = [p for p in there if p not in self._damaged]
        for old in [*whole[KEPT - 1 :], *self._damaged]:
            with suppress(OSError):
                old.unlink()
        return path

    def load(self) -> tuple[dict[str, Any], Path] | None:
        """The newest checkpoint that is whole, and its file; None where there is no checkpoint.

        Warns of each damaged one by name.

        Raises:
            ValueError: there are checkpoints, and all are damaged.
        """
        broken: list[str] = []
        for path in self.files():
            try:
                data = read_checkpoint(path)
            except (ValueError, OSError) as error:
                broken.append(str(error))
                self._damaged.add(path)
                warnings.warn(f"{error}", stacklevel=2)
                continue
            for text in broken:
                warnings.warn(f"Going on from {path.name} instead of: {text}", stacklevel=2)
            return data, path
        if broken:
            got = f"only damaged ones: {'; '.join(broken)}".rstrip(".")
            rule = "must hold a whole checkpoint"
            raise checks.fail(str(self.folder), rule, got, "Delete the folder to start again.")
        return None
