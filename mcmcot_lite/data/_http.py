"""One mirror, asked for the bytes that are missing.

A request names the first byte wanted (HTTP Range). It may get the rest (206), the whole again (200:
begin anew), nothing left (416), a web page where a file should be, or a connection that breaks off.
Each of them leaves ``NAME.part`` in a state that the next request can use.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, getproxies, proxy_bypass, urlopen

__all__ = ["NotDelivered", "complete", "amount", "reachable"]

ATTEMPTS = 20  # connections to one mirror that may break off, each having brought something
CHUNK = 1 << 18  # bytes read at a time, at most


class NotDelivered(Exception):
    """A mirror did not deliver, for the reason given: try the next."""


def amount(size: int) -> str:
    """A number of bytes for people: "1.4 GB", "9.9 MB", "29 kB"."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def reachable(urls: Sequence[str], patience: float) -> dict[str, str]:
    """For each mirror "" if it accepts a connection now (or its proxy does), else why not.

    All are asked at once, so that without a network the answer takes ``patience`` seconds at most,
    however many mirrors there are and however silent the name server is.
    """
    answers: dict[str, str] = {}

    def knock(url: str) -> None:
        parts = urlsplit(url)
        try:
            proxy = getproxies().get(parts.scheme)
            if proxy and not proxy_bypass(parts.hostname or ""):
                parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), patience).close()
            answers[url] = ""
        except (OSError, ValueError) as error:
            answers[url] = _why(error)

    # A thread that waits for a silent name server cannot be stopped; it ends by itself.
    threads = [threading.Thread(target=knock, args=(u,), daemon=True) for u in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return {u: answers.get(u, f"no connection within {patience:g} s") for u in urls}


def complete(url: str, part: Path, timeout: float, progress: bool) -> bool:
    """Downloads what is missing in ``part``; True if bytes that were there before were kept."""
    kept = False
    for _ in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        whole, appended, why = _request(url, part, before, timeout, progress)
        kept = kept or appended
        if whole:
            return kept
        if part.stat().st_size <= before:  # nothing new: asking again would bring nothing either
            raise NotDelivered(why)
    raise NotDelivered(f"broke off {ATTEMPTS} times")


def _request(
    url: str, part: Path, have: int, timeout: float, progress: bool
) -> tuple[bool, bool, str]:
    """One connection: (the file is whole, older bytes were kept, why it stopped)."""
    headers = {"User-Agent": "mcmcot-lite"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = cast(HTTPResponse, urlopen(Request(url, headers=headers), timeout=timeout))
    except HTTPError as error:
        with error:
            if error.code != 416 or not have:
                raise NotDelivered(f"HTTP {error.code} {error.reason}") from error
            if error.headers.get("Content-Range", "") == f"bytes */{have}":
                return True, True, ""  # all bytes were there already
        part.unlink()  # more bytes than the file has: they are of another one
        return _request(url, part, 0, timeout, progress)
    except (OSError, HTTPException, ValueError) as error:
        raise NotDelivered(_why(error)) from error
    with response:
        if response.headers.get_content_type() == "text/html":  # a login or quota page
            raise NotDelivered("sent a web page instead of the file")
        begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if response.status == 206 and (not begins or int(begins[1]) != have):
            raise NotDelivered(f"sent another range than the one asked for, from byte {have}")
        start = have if response.status == 206 else 0
        why = _save(response, part, start, progress)
    return not why, start > 0, why


def _save(response: HTTPResponse, part: Path, start: int, progress: bool) -> str:
    """Writes the body from byte ``start`` on; returns "" when it is whole, else why it stopped."""
    from tqdm import tqdm

    whole = None if response.length is None else start + response.length
    free = shutil.disk_usage(part.parent).free
    if whole is not None and whole - start > free:
        needed = f"{amount(whole - start)} needed, {amount(free)} free"
        raise OSError(errno.ENOSPC, f"no space left ({needed})")
    size, why = start, ""
    name = part.name.removesuffix(".part")
    with (
        part.open("ab" if start else "wb") as file,
        tqdm(
            total=whole, initial=start, desc=name, unit="B", unit_scale=True, disable=not progress
        ) as bar,
    ):
        while True:
            try:
                block = response.read1(CHUNK)  # what is there; waits for no more
            except (OSError, HTTPException) as error:
                why = _why(error)
                break
            if not block:
                break
            file.write(block)
            file.flush()  # so that a process that is killed leaves what it got
            size += len(block)
            bar.update(len(block))
        os.fsync(file.fileno())
    if whole is not None and size < whole:
        why = f"broke off after {amount(size)} of {amount(whole)}{', ' + why if why else ''}"
    return why


def _why(error: BaseException) -> str:
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
