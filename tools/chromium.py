"""The browser that opens the book: which program it is, and how it is started."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",  # CI containers run as root
    "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL without a GPU
]  # fmt: skip
MISSING = "no chromium on PATH (Debian: apt-get install chromium)"


def program() -> str | None:
    """The first of :data:`NAMES` on PATH, None without any."""
    return next(filter(None, map(shutil.which, NAMES)), None)
