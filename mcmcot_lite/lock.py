"""A lock between processes that leaves nothing behind.

The lock is the operating system's, on an open file, so it vanishes with a process that dies. The
file is removed by whoever releases it; a process that was waiting on the removed file notices that
the name now means another file, or none, and tries again.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Busy", "locked"]


class Busy(RuntimeError):
    """Another process holds the lock."""


PAUSE = 0.05  # seconds between two attempts: short beside any download

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _try(fd: int) -> bool:
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
else:
    import fcntl

    def _try(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def locked(path: Path, notice: str = "", *, wait: bool = True) -> Generator[None]:
    """Holds the lock ``path`` for the duration; waits for it, saying ``notice`` once if it must.

    Raises:
        Busy: another process holds it, and ``wait`` is False.
    """
    fd = -1
    while fd < 0:
        candidate = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        mine = taken = False
        try:
            taken = not _try(candidate)
            mine = not taken and _same(candidate, path)
        finally:
            if not mine:
                os.close(candidate)
        if mine:
            fd = candidate
        elif taken and not wait:
            raise Busy(str(path))
        else:
            if notice:
                sys.stderr.write(notice + "\n")
                notice = ""
            time.sleep(PAUSE)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows refuses to remove an open file: it is removed below
            path.unlink()
        os.close(fd)
        if sys.platform == "win32":  # pragma: no cover
            with suppress(OSError):
                path.unlink()
