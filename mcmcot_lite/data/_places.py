"""The folders in which data are looked for, in order: yours, MCMCOT_DATA, the cache."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mcmcot_lite.checks import fail

__all__ = ["Place", "as_path", "cache_folder", "has_file", "has_folder", "places"]


def as_path(name: str, value: object) -> Path:
    """A str or path-like argument as a path, with ~ expanded."""
    if not isinstance(value, (str, os.PathLike)):
        raise fail(name, "must be a path", type(value).__name__, "Pass a str or Path.", TypeError)
    text = os.fsdecode(cast("str | os.PathLike[str]", value))
    if not text:
        raise fail(name, "must not be empty", "''", "Pass '.' for the working folder.")
    return _expanded(name, text)


def _expanded(name: str, text: str) -> Path:
    """The path, with ~ expanded where that user exists."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        rule = "must be a path that exists for a known user"
        raise fail(name, rule, repr(text), "Write the folder without ~.") from error


def has_file(path: Path) -> bool:
    """Whether a file is there; False, not PermissionError, where one may not look."""
    return os.path.isfile(path)  # noqa: PTH113


def has_folder(path: Path) -> bool:
    """Whether a folder is there; False, not PermissionError, where one may not look."""
    return os.path.isdir(path)  # noqa: PTH112


@dataclass(frozen=True)
class Place:
    """A folder, and what it is called in messages (which the book prints: so not its path)."""

    label: str
    folder: Path

    def first_file(self, *names: str) -> Path | None:
        """The first of these files that exists here."""
        return next((self.folder / n for n in names if has_file(self.folder / n)), None)

    def __str__(self) -> str:
        note = "" if has_folder(self.folder) else ", no such folder"
        return f"{self.label} ({self.folder}{note})"


def _variable(name: str) -> Path | None:
    value = os.environ.get(name, "")
    return _expanded(name, value) if value else None


def cache_folder() -> Path:
    """Where downloads are kept: MCMCOT_CACHE, else ``mcmcot-lite`` in the user's cache folder."""
    if (own := _variable("MCMCOT_CACHE")) is not None:
        return own
    if sys.platform == "win32":
        user = _variable("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        user = _variable("XDG_CACHE_HOME") or Path.home() / ".cache"
    return user / "mcmcot-lite"


def places(root: str | os.PathLike[str] | None) -> list[Place]:
    """The folders to look into, in order, for a call with this ``root``."""
    found: list[Place] = []
    if root is not None:
        folder = as_path("root", root)
        if has_file(folder):
            raise fail("root", "must be a folder", f"the file {folder}", "Pass its folder.")
        found.append(Place("root", folder))
    if (data := _variable("MCMCOT_DATA")) is not None:
        found.append(Place("MCMCOT_DATA", data))
    return [*found, Place("the cache", cache_folder())]
