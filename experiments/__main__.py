"""`python -m experiments`: see --help."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from experiments import record, runner
from experiments.sizes import SIZES
from mcmcot_lite.lock import Busy, locked

MOST = 1000  # seeds or processes


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser("python -m experiments", description="The paper's experiments.")
    p.add_argument("name", choices=[*runner.EXPERIMENTS, "all"])
    p.add_argument("--size", choices=list(SIZES), default="quick")
    p.add_argument("--seeds", type=_positive, default=3, help="0, ..., SEEDS - 1")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--jobs", type=_positive, default=1, help="processes, of one thread each")
    p.add_argument("--out", type=Path, default=record.RESULTS, help="folder for the JSON file")
    p.add_argument("--resume", action="store_true", help="keep the rows that are there")
    p.add_argument("--only", metavar="KEY=VALUE", type=_pair, action="append", default=[])
    return p


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number; got {text!r}") from None
    if not 1 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"must be 1 to {MOST}; got {value}")
    return value


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign):
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, like method=ABP; got {text!r}")
    return key, value


def _refused_clearly(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    try:
        yield from rows
    except ValueError as error:
        if not any(words in str(error) for words in ("cannot stand in one", "is no record of")):
            raise
        parser().error(str(error))


def main(arguments: list[str] | None = None) -> int:
    """Runs what is asked for; 0, 1 where "all" left something out, or 2 where it cannot be."""
    a = parser().parse_args(arguments)
    only = dict(a.only)
    if len(only) < len(a.only):
        parser().error("--only names a key twice; the cases that match all of them are run")
    if a.device == "cuda" and not torch.cuda.is_available():
        parser().error("--device cuda: PyTorch sees no GPU here; leave it out")
    names = runner.EXPERIMENTS if a.name == "all" else (a.name,)
    for name in names:
        if not runner.wanted(name, a.size, only):
            known = "; ".join(
                " ".join(f"{k}={v}" for k, v in c.items()) for c in runner.wanted(name, a.size, {})
            )
            parser().error(f"--only leaves no case of {name}; cases: {known}")
    try:
        a.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=a.out):
            pass
    except OSError as error:
        parser().error(f"--out {a.out} must be a folder that can be written to; got: {error}")
    left_out = 0
    for name in names:
        path = record.where(name, a.size, a.out)
        try:
            with locked(path.with_suffix(".lock"), wait=False):
                _write(name, a, only)
        except Busy:
            text = f"another process is at work on {path}; wait for it, or choose another --out"
            parser().error(text)
        except FileNotFoundError as error:  # images that are neither here nor to be had
            if a.name != "all":
                parser().error(str(error))
            left_out += 1
            print(f"{name} is left out: {error}", file=sys.stderr, flush=True)
            continue
        print(path)
    return min(left_out, 1)


def _write(name: str, a: argparse.Namespace, only: dict[str, str]) -> None:
    """Runs one experiment, a line a row."""
    where = {"jobs": a.jobs, "folder": a.out, "device": a.device}
    done = runner.run(name, a.size, a.seeds, resume=a.resume, only=only, **where)
    for row in _refused_clearly(done):
        case = " ".join(f"{k}={v}" for k, v in row["case"].items())
        numbers = {k: v for k, v in row["found"].items() if isinstance(v, float)}
        found = " ".join(f"{k}={v:.4g}" for k, v in numbers.items())
        print(f"{name} {case} seed={row['seed']}: {found} ({row['seconds']:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
