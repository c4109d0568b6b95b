"""What the words of the command line mean: numbers, the device, the images."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

import torch

from mcmcot_lite import checks, data
from mcmcot_lite.checkpoint import expanded
from mcmcot_lite.data import ImageSet
from mcmcot_lite.presets import Preset

__all__ = ["device_of", "free_memory", "images_of", "real", "whole"]


def whole(name: str, word: str, minimum: int = 1) -> int:
    """A whole number on the command line, of at least ``minimum``."""
    try:
        return checks.integer(name, int(word), minimum)
    except ValueError as error:
        if checks.is_ours(error):
            raise
        remedy = f"For example --{name} {max(minimum, 16)}."
        raise checks.fail(name, "must be a whole number", repr(word), remedy) from None


def real(name: str, word: str, example: str) -> float:
    """A number on the command line."""
    try:
        return float(word)
    except ValueError:
        remedy = f"For example --{name} {example}."
        raise checks.fail(name, "must be a number", repr(word), remedy) from None


def device_of(word: str) -> torch.device:
    """The device that ``--device`` means."""
    kind = checks.choice("device", word, ("auto", "cpu", "cuda"))
    there = torch.cuda.is_available()
    ok = kind != "cuda" or there
    checks.require(ok, "device", "must be there", "'cuda' without a GPU", "Use auto or cpu.")
    return torch.device("cuda" if there and kind != "cpu" else "cpu")


def free_memory(device: torch.device) -> int | None:
    """Bytes that a run can have on its device; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with suppress(OSError, ValueError):  # Linux alone tells what it could give
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kilobytes = {
            name: int(rest.split()[0]) for name, _, rest in (v.partition(":") for v in lines)
        }
        return kilobytes.get("MemAvailable", 0) << 10 or None
    return None


def images_of(run: Preset, args: argparse.Namespace, *, progress: bool = False) -> ImageSet:
    """The images of a run: the first n of the training split."""
    root, download = args.data, args.download
    if root is not None:
        there = expanded("data", root).exists()
        remedy = "Check the spelling, or leave it out."
        checks.require(there, "data", "must be a folder or file that is there", root, remedy)
    if run.dataset == "celeba":
        images = data.celeba(
            root=root,
            download=download,
            progress=progress,
            limit=run.n,
            skip_broken=args.skip_broken,
        )
        if args.skip_broken:
            return images
    else:
        rule, remedy = "belongs to celeba", "Leave it out."
        checks.require(not args.skip_broken, "skip_broken", rule, run.dataset, remedy)
        images = data.load(run.dataset, root=root, download=download, progress=progress)
    return images if run.n is None else images.take(run.n)
