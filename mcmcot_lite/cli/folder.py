"""The folder of a run: what it was asked for (``run.json``), its checkpoints, its log."""

from __future__ import annotations

import json
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mcmcot_lite import __version__, checks
from mcmcot_lite.checkpoint import Checkpoints, as_folder, write_whole
from mcmcot_lite.cli.log import Log
from mcmcot_lite.data import ImageSet
from mcmcot_lite.engine import Compute
from mcmcot_lite.lock import Busy, locked
from mcmcot_lite.presets import Preset
from mcmcot_lite.settings import Settings

__all__ = ["Folder", "device_name", "made", "preset_from", "versions"]

DECIDES = ("dataset", "n", "generator", "width", "seed")  # besides the settings


class Folder:
    """DIR. A run is there when a checkpoint is."""

    def __init__(self, name: str) -> None:
        self.path = as_folder("DIR", name)
        self.checkpoints = Checkpoints(self.path)
        self.log = Log(self.path / "log.jsonl")
        self.json = self.path / "run.json"

    def holds_run(self) -> bool:
        """Whether a run has begun here."""
        return bool(self.checkpoints.files())

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says.

        Raises:
            ValueError: there is none, or it is not of a run.
        """
        remedy = "Start one with: python -m mcmcot_lite train PRESET --out DIR."
        if not self.json.is_file():
            rule, got = "must hold a run", f"{self.path} without run.json"
            raise checks.fail("DIR", rule, got, remedy)
        try:
            data = json.loads(self.json.read_text(encoding="utf-8"))
            preset_from(data)
            _flat(data)
            if not isinstance(data["date"], str):
                raise TypeError("date must be a string")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            rule, got = "must describe a run", checks.error_text(error)
            raise checks.fail(str(self.json), rule, got, "Choose another folder.") from error
        return data

    @contextmanager
    def writing(self) -> Generator[None]:
        """Keeps other processes from training here; leaves nothing of a run that never began."""
        new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held = locked(self.path / "train.lock", wait=False)
            held.__enter__()
        except Busy as error:
            rule, got = "must be a folder that no other run uses", f"{self.path}, in use"
            remedy = "Wait for the process that trains there, or choose another folder."
            raise checks.fail("DIR", rule, got, remedy) from error
        except OSError as error:
            rule, got = "must be a folder that you may write", f"{self.path}: {error.strerror}"
            raise checks.fail("DIR", rule, got, "Choose another folder.") from error
        try:
            yield
        finally:
            if not self.holds_run():
                for path in (self.json, self.log.path):
                    path.unlink(missing_ok=True)
            held.__exit__(None, None, None)
            if new and not any(self.path.iterdir()):
                self.path.rmdir()

    def texts(self) -> dict[Path, bytes]:
        """What ``run.json`` and the log hold."""
        return {p: p.read_bytes() for p in (self.json, self.log.path) if p.is_file()}

    def restore(self, texts: dict[Path, bytes]) -> None:
        """Writes them back."""
        for path, text in texts.items():
            with write_whole(path) as file:
                file.write(text)

    def write(self, record: dict[str, Any]) -> None:
        """Writes ``run.json``, whole or not at all."""
        with write_whole(self.json) as file:
            file.write(json.dumps(record, indent=1).encode() + b"\n")

    def check_same(self, wanted: Preset, images: ImageSet | None = None) -> None:
        """The run here is the one that is asked for.

        Raises:
            ValueError: it is not; lists the differences.
        """
        there, here = _flat(self.record()), _flat({**wanted.record(), "images": _images(images)})
        longer = here["iterations"] >= there["iterations"]
        differ = [
            f"{name}: {there.get(name)!r} there, {value!r} here"
            for name, value in here.items()
            if value != there.get(name)
            and not (name == "iterations" and longer)
            and not (name == "images" and images is None)
        ]
        rule, remedy = "must hold the run that is asked for", "Choose another DIR, or ask for that"
        remedy += " run: leave PRESET and these options out (iterations may grow)."
        checks.require(not differ, "DIR", rule, "; ".join(differ), remedy)


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    """What decides a run, by name; as JSON has it, which knows lists and no tuples."""
    values = {name: data[name] for name in DECIDES} | dict(data["settings"])
    images = data["images"]
    values["images"] = images and {name: images[name] for name in ("number", "shape")}
    return json.loads(json.dumps(values))


def _images(images: ImageSet | None) -> dict[str, Any] | None:
    if images is None:
        return None
    return {
        "number": len(images),
        "shape": list(images.x.shape[1:]),
        "split": images.split,
        "source": images.source,
        "licence": images.licence,
    }


def made(
    preset: Preset, name: str, images: ImageSet, device: torch.device, date: str, line: list[str]
) -> dict[str, Any]:
    """The content of ``run.json``."""
    return {
        "preset": name,
        **preset.record(),
        "images": _images(images),
        "versions": versions(),
        "device": device_name(device),
        "date": date,
        "command": line,
    }


def preset_from(record: dict[str, Any]) -> Preset:
    """The preset that ``run.json`` describes."""
    settings = dict(record["settings"])
    for name in ("betas", "x_range"):
        settings[name] = settings[name] and tuple(settings[name])
    return Preset(
        **{name: record[name] for name in DECIDES},
        settings=Settings(**settings),
        compute=Compute(**record["compute"]),
    )


def versions() -> dict[str, str]:
    """Of what a run depends on."""
    return {
        "mcmcot-lite": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def device_name(device: torch.device) -> str:
    """What the device is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()})"
