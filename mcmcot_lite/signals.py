"""Being asked to stop: Ctrl-C, SIGTERM and a lost terminal set a flag, read between two batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "Stopped", "listening"]


class Stopped(KeyboardInterrupt):
    """A run was asked to stop, has saved its state, and can go on from there.

    Attributes:
        signal: the number of the signal that asked.
    """

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.signal = number


class Stop:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal = 0

    def __bool__(self) -> bool:
        return self.signal != 0


@contextmanager
def listening() -> Generator[Stop]:
    """Context in which the first SIGINT, SIGTERM or SIGHUP sets a flag; a second SIGINT interrupts.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    Only the main thread of a program can listen; elsewhere the flag is never set.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def asked(number: int, frame: FrameType | None) -> None:
        if stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.signal = number

    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    before = {number: signal.signal(number, asked) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
