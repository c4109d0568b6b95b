"""Runs a command; what goes wrong becomes one line and an exit code.

0: done. 1: the run failed (diverged, out of memory, lost a process). 2: asked for something that
cannot be. 130, 143: stopped by Ctrl-C, by SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType

from mcmcot_lite import checks
from mcmcot_lite.cli.complete import complete
from mcmcot_lite.cli.parser import arguments
from mcmcot_lite.cli.read import evaluate, reconstruct, sample
from mcmcot_lite.cli.train import train
from mcmcot_lite.engine import out_of_memory
from mcmcot_lite.lock import Busy
from mcmcot_lite.signals import Stopped
from mcmcot_lite.world import WorldError

__all__ = ["main"]

FAILED, ASKED_WRONGLY = 1, 2
READERS = {
    "sample": sample,
    "reconstruct": reconstruct,
    "inpaint": complete,
    "evaluate": evaluate,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    Args:
        argv: the arguments; None takes those of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _warnings_in_one_line(), _terminable():
            _run(arguments(words), words)
    except Stopped as stop:
        return _said(str(stop), 128 + stop.signal)
    except KeyboardInterrupt:
        return _said("Stopped; the same command goes on from the last checkpoint.", 130)
    except Exception as error:
        code = _code(error)
        if code is None:
            raise
        return _said(f"error: {_text(error)}", code)
    return 0


def _run(args: argparse.Namespace, words: list[str]) -> None:
    if args.command == "train":
        train(args, words)
    else:
        READERS[args.command](args)


def _code(error: Exception) -> int | None:
    """The exit code of an error; None for one that is a defect of the program."""
    if isinstance(error, (FloatingPointError, WorldError)) or out_of_memory(error):
        return FAILED
    foreseen = isinstance(error, (ValueError, OSError)) or checks.is_ours(error)
    return ASKED_WRONGLY if foreseen or isinstance(error.__cause__, Busy) else None


def _text(error: Exception) -> str:
    """What it says, in one line."""
    text = str(error)
    if out_of_memory(error):
        text = f"{text or 'out of memory'} Try a smaller --batch-size, --chunk or --width."
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split())


def _said(text: str, code: int) -> int:
    print(text, file=sys.stderr, flush=True)
    return code


@contextmanager
def _warnings_in_one_line() -> Generator[None]:
    def show(message: Warning | str, *_: object) -> None:
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _terminable() -> Generator[None]:
    """Context in which SIGTERM ends the command as Ctrl-C does, where fit does not listen."""

    def asked(number: int, frame: FrameType | None) -> None:
        raise Stopped("Stopped; the same command goes on from the last checkpoint.", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
