"""The arguments of the commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from mcmcot_lite import __version__
from mcmcot_lite.cli.fields import add_options
from mcmcot_lite.masks import KINDS
from mcmcot_lite.presets import NAMES, SIZES

__all__ = ["COMMANDS", "BadArguments", "arguments", "parser"]

COMMANDS = ("train", "sample", "reconstruct", "inpaint", "evaluate")


class BadArguments(ValueError):
    """The command line cannot be read."""


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing the usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        first = self.prog.split(" mcmcot_lite")[0] + " mcmcot_lite"
        help_ = f"{first} {COMMANDS[0]}" if self.prog == first else self.prog
        raise BadArguments(f"{message}. See {help_} --help.")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What the words ask for; of words that nobody knows the command's own help is named."""
    whole = parser()
    found, rest = whole.parse_known_args(words)
    if rest:
        unknown = f"unrecognized arguments: {' '.join(rest)}"
        raise BadArguments(f"{unknown}. See {whole.prog} {found.command} --help.")
    return found


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = _Parser(
        prog="python -m mcmcot_lite",
        description="Learns a generator by short-run MCMC inference with transport correction.",
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"mcmcot-lite {__version__}")
    commands = whole.add_subparsers(
        dest="command", metavar="{" + ",".join(COMMANDS) + "}", required=True
    )

    def command(name: str, text: str) -> Any:
        return commands.add_parser(name, help=text, description=text, allow_abbrev=False)

    _train(command("train", "Run a preset; where DIR holds a run, go on with it."))
    sample = command("sample", "Draw images from the prior, into one picture.")
    _run(sample, "samples.png")
    sample.add_argument("--n", default="64", help="images (64)")
    pairs = command("reconstruct", "Infer the latents of the first images and decode them.")
    _run(pairs, "reconstructions.png")
    pairs.add_argument("--n", default="16", help="images (16)")
    _data(pairs)
    torn = command("inpaint", "Hide part of images that the run has not seen, and complete them.")
    _run(torn, "inpainted.png")
    torn.add_argument("--mask", default="square 32", help=f"{', '.join(KINDS)} (square 32)")
    torn.add_argument("--n", help="images (8, or as many as there are)")
    torn.add_argument("--completions", default="4", help="of each image (4)")
    torn.add_argument("--K", default="200", help="Langevin steps (200)")
    torn.add_argument("--s", help="size of a step (the run's)")
    torn.add_argument("--images", metavar="FOLDER", help="pictures of yours, in place of new ones")
    _data(torn)
    judged = command("evaluate", "Measure reconstructions, and the distance to the prior.")
    _run(judged, None)
    judged.add_argument("--n", help="images (all, or 2000 of more)")
    judged.add_argument("--judge", metavar="K", help="Langevin steps before measuring (the run's)")
    judged.add_argument("--json", metavar="FILE", help="where to store it (DIR/evaluate.json)")
    _data(judged)
    return whole


def _train(p: argparse.ArgumentParser) -> None:
    names = f"{', '.join(NAMES)}; each as {', '.join(SIZES)}: mnist-quick, celeba-t4, ..."
    p.add_argument("preset", nargs="*", metavar="PRESET", help=f"{names}. DIR's run, if left out")
    p.add_argument("--size", help="paper, t4 or quick, if PRESET does not say it")
    p.add_argument(
        "--reading",
        help="printed (Algorithms 1 and 2 as written) or released (as the authors' script); "
        "the book's own, if left out",
    )
    p.add_argument("--out", metavar="DIR", required=True, help="folder of the run")
    p.add_argument("--every", metavar="SECONDS", default="300", help="between checkpoints (300)")
    p.add_argument(
        "--resume", action="store_true", help="go on where DIR holds a run; this is so anyway"
    )
    yes_no = argparse.BooleanOptionalAction
    p.add_argument("--progress", action=yes_no, default=True, help="progress bars")
    p.add_argument("--pictures", action=yes_no, default=True, help="a picture at each correction")
    _data(p)
    _device(p)
    add_options(p)


def _run(p: argparse.ArgumentParser, picture: str | None) -> None:
    p.add_argument("run", metavar="DIR", help="folder of a run")
    p.add_argument("--seed", default="0", help="of what is drawn here (0)")
    if picture:
        p.add_argument("--to", metavar="FILE.png", help=f"the picture (DIR/{picture})")
    _device(p)


def _data(p: argparse.ArgumentParser) -> None:
    yes_no = argparse.BooleanOptionalAction
    p.add_argument("--data", metavar="FOLDER", help="look for the images there first")
    p.add_argument("--download", action=yes_no, default=True, help="fetch what is not there")
    p.add_argument(
        "--skip-broken",
        "--skip_broken",
        dest="skip_broken",
        action="store_true",
        help="celeba: leave out images that cannot be read",
    )


def _device(p: argparse.ArgumentParser) -> None:
    p.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu or cuda")
