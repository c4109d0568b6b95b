"""Downloads that are complete and right, or not there.

A file arrives under ``NAME.part``. Whatever stops it (a lost connection, Ctrl-C, a dead process),
the next call asks for the missing bytes only. Because every file has a checksum, no trust in
servers is needed: one that cannot resume is read from the start; a file that changed meanwhile, or
differs between mirrors, shows in the checksum and is fetched anew. Only a file whose checksum is
right gets its name, in one atomic step; so whoever sees the name sees the whole file. A lock lets
one process download while others wait and then use the result.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from mcmcot_lite.checks import boolean, fail, number
from mcmcot_lite.data._http import NotDelivered, amount, complete, reachable
from mcmcot_lite.lock import locked

__all__ = ["fetch"]

CONNECT = 4.0  # seconds in which a mirror must accept a connection; all are asked at once


def fetch(
    urls: Sequence[str],
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    md5: str | None = None,
    timeout: float = 10.0,
    progress: bool = True,
) -> Path:
    """Downloads one file to ``path`` unless it is there; returns ``path``.

    Args:
        urls: mirrors of the same file (http or https), tried in order.
        path: where the file is to be; its folder is made if it is missing.
        sha256: the file's checksum; or
        md5: its MD5 sum (one of the two is needed: it is what makes resuming safe).
        timeout: seconds to wait for any answer of a server.
        progress: show a progress bar.

    Raises:
        ValueError: the file that came, or was there, has another checksum. What came is removed.
        ConnectionError: no mirror delivered. What came is kept as ``NAME.part`` and resumed.
        OSError: the folder cannot be written, or the disk is full.
    """
    _check_urls(urls)
    kind, want = _checksum(sha256, md5)
    timeout = number("timeout", timeout, above=0, remedy="Pass seconds, such as 10.")
    boolean("progress", progress)
    target = Path(path)
    if target.exists():
        return _existing(target, kind, want)

    reasons = reachable(urls, min(CONNECT, timeout))
    if all(reasons.values()):
        raise _no_mirror(target, reasons)
    made = [p for p in (target.parent, *target.parent.parents) if not p.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(_beside(target, ".lock"), f"waiting for another download of {target.name}"):
            if target.exists():  # the process that held the lock has done it
                return _existing(target, kind, want)
            return _from_mirrors(reasons, target, kind, want, timeout, progress)
    except OSError as error:
        if error.errno is None:  # ours, already worded
            raise
        remedy = "Free some space" if error.errno == errno.ENOSPC else "Make it writable"
        raise OSError(
            error.errno,
            f"{target.name} cannot be written into {target.parent}: "
            f"{error.strerror}. {remedy}, or choose another folder.",
        ) from error
    finally:
        for folder in made:  # innermost first; one that holds something stays
            with suppress(OSError):
                folder.rmdir()


def _check_urls(urls: object) -> None:
    got = repr(urls)
    mirrors = cast("Sequence[object]", urls) if isinstance(urls, (list, tuple)) else ()
    if not mirrors:
        raise fail(
            "urls",
            "must be a non-empty list of addresses",
            got,
            "Pass a list, even for one mirror.",
            TypeError,
        )
    for url in mirrors:
        if not isinstance(url, str) or not re.match(r"https?://[^/]", url):
            raise fail("urls", "must be http or https addresses", repr(url), "Correct it.")


def _checksum(sha256: str | None, md5: str | None) -> tuple[str, str]:
    given = [(k, v) for k, v in (("sha256", sha256), ("md5", md5)) if v is not None]
    if len(given) != 1:
        raise fail(
            "sha256 or md5",
            "must be given, and only one of them",
            f"{len(given)} of them",
            "Pass the checksum that the file's publisher names.",
        )
    kind, want = given[0]
    digits = 64 if kind == "sha256" else 32
    if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", str(want)):
        raise fail(
            kind, f"must be {digits} lower-case hexadecimal digits", repr(want), "Copy it again."
        )
    return kind, want


def _digest(path: Path, kind: str) -> str:
    h = hashlib.sha256() if kind == "sha256" else hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def _existing(path: Path, kind: str, want: str) -> Path:
    if not path.is_file():
        raise fail(str(path), "must be a file", "a folder", "Move it away.")
    if (got := _digest(path, kind)) != want:
        raise fail(str(path), f"must have {kind} {want}", got, "Delete the file and try again.")
    return path


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _from_mirrors(
    reasons: dict[str, str], target: Path, kind: str, want: str, timeout: float, progress: bool
) -> Path:
    part = _beside(target, ".part")
    wrong: list[str] = []
    for url in [u for u, why in reasons.items() if not why]:
        for again in (False, True):
            try:
                kept = complete(url, part, timeout, progress)
            except NotDelivered as error:
                reasons[url] = str(error)
                break
            if (got := _digest(part, kind)) == want:
                return part.replace(target)
            part.unlink()
            if again or not kept:  # else the older bytes may be to blame: once more from the start
                wrong.append(f"{got} from {url}")
                break
    if part.exists() and part.stat().st_size == 0:
        part.unlink()
    if wrong:
        raise fail(
            target.name,
            f"must have {kind} {want}",
            "; ".join(wrong),
            f"The download was removed. Try again later, or put the file at {target}.",
        )
    raise _no_mirror(target, reasons)


def _no_mirror(target: Path, reasons: dict[str, str]) -> ConnectionError:
    part = _beside(target, ".part")
    kept = ""
    if part.exists():
        kept = f" {amount(part.stat().st_size)} are kept in {part} and will be resumed."
    why = "; ".join(f"{urlsplit(u).hostname}: {reason}" for u, reason in reasons.items())
    return ConnectionError(
        f"{target.name} could not be downloaded ({why}).{kept} Check the network and try again."
    )
