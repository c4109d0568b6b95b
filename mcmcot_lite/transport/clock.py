"""A time limit that every phase of a solver looks at, and the seconds that each phase took."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["Clock", "TimeUp"]


class TimeUp(Exception):
    """The time limit has passed. Solvers catch it and return the best that they have."""


class Clock:
    """Counts the seconds of each phase, and says when the time is up.

    Attributes:
        seconds: phase to the seconds it took, in order of first use.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.begin = time.perf_counter()
        self.limit = limit
        self.seconds: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.begin

    @property
    def left(self) -> float | None:
        """Seconds until the limit, at least 0; None without a limit."""
        return None if self.limit is None else max(0.0, self.limit - self.elapsed)

    def check(self) -> None:
        """Raises :class:`TimeUp` once the limit has passed."""
        if self.left == 0.0:
            raise TimeUp

    @contextmanager
    def phase(self, name: str) -> Generator[None, None, None]:
        """Adds the time of its body to ``seconds[name]``; refuses to begin when time is up."""
        self.check()
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
