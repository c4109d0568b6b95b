"""``train``: a preset, overridden, run in a folder, or gone on with there."""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from mcmcot_lite import checks
from mcmcot_lite.cli import pictures
from mcmcot_lite.cli.fields import changed
from mcmcot_lite.cli.folder import Folder, device_name, made, preset_from, versions
from mcmcot_lite.cli.inputs import device_of, free_memory, images_of, real
from mcmcot_lite.cli.log import now
from mcmcot_lite.engine import out_of_memory
from mcmcot_lite.memory import predict_memory
from mcmcot_lite.presets import GENERATORS_OF, Preset, find, preset
from mcmcot_lite.schedules import Iteration
from mcmcot_lite.signals import Stopped
from mcmcot_lite.train import Fit, fit, history_row
from mcmcot_lite.world import World, WorldError, joined

__all__ = ["train"]


def train(args: argparse.Namespace, line: list[str]) -> None:
    """The command.

    Args:
        args: its arguments.
        line: the command line, for the record.
    """
    every = checks.number(
        "every",
        real("every", args.every, "300"),
        above=0.0,
        closed=(True, False),
        remedy="Try 300.",
    )
    device, folder = device_of(args.device), Folder(args.out)
    with joined(device.type) as world:
        name, run = _asked(args, folder, world.first)
        if device.type == "cuda":
            device = torch.device("cuda", torch.cuda.current_device())
        work = _Training(run, name, args, line, folder, device, world, every)
        if not world.first:
            work.fit()
            return
        with folder.writing():
            before, saved = folder.texts(), folder.checkpoints.files()
            work.begin()
            try:
                done = work.fit()
            except (TypeError, ValueError, RuntimeError) as error:
                began = isinstance(error, WorldError) or out_of_memory(error)
                if not began and work.last is None and folder.checkpoints.files() == saved:
                    folder.restore(before)  # refused: nothing was done
                raise
            work.end(done)


def _asked(args: argparse.Namespace, folder: Folder, first: bool) -> tuple[str, Preset]:
    """The run that is asked for, and its name: a preset, or that of the folder."""
    if args.preset:
        name, size = find(args.preset, args.size)
        if size is None and first:
            print(f"{name} means {name}-quick; {name}-t4 and {name}-paper are larger.", flush=True)
        base, name = preset(name, size or "quick", args.reading), f"{name}-{size or 'quick'}"
        name += f"-{args.reading}" if args.reading else ""
    else:
        rule, remedy = "goes with a preset", "Name the preset too, or leave the reading out."
        checks.require(args.reading is None, "reading", rule, args.reading, remedy)
        rule, remedy = "must be named unless DIR holds a run", "For example mnist-quick."
        checks.require(folder.json.is_file(), "preset", rule, "none", remedy)
        base, name = preset_from(folder.record()), str(folder.record()["preset"])
    run = changed(base, args)
    if folder.holds_run():
        rule, remedy = "must be new, or hold a run of this command", "Choose another folder."
        got = f"{folder.path} with checkpoints and no run.json"
        checks.require(folder.json.is_file(), "DIR", rule, got, remedy)
        folder.check_same(run)
    fits = GENERATORS_OF[run.dataset] == run.generator
    got = f"{run.generator!r} for images of {run.dataset}"
    rule, remedy = "must draw images of their size", f"Use {GENERATORS_OF[run.dataset]}."
    checks.require(fits, "generator", rule, got, remedy)
    return name, run


@dataclass(eq=False)
class _Training:
    """One call of ``train``, in one process."""

    preset: Preset
    name: str
    args: argparse.Namespace
    line: list[str]
    folder: Folder
    device: torch.device
    world: World
    every: float

    def __post_init__(self) -> None:
        run, first = self.preset, self.world.first
        show = self.args.progress and first
        # The first process of a machine decodes and stores the images, the others read that.
        self.images = self.world.in_turn(partial(images_of, run, self.args, progress=show))
        few, n = self.world.size, len(self.images)
        remedy = "Use fewer processes, or more images."
        checks.require(n >= few, "n", f"must be at least {few}, one a process", n, remedy)
        rng = torch.Generator().manual_seed(run.seed)
        self.g: nn.Module = run.network(rng).to(self.device)
        torch.manual_seed(run.seed)  # of what a network draws by itself, such as dropout
        on_cpu = self.device.type == "cpu"
        self.rng = rng if on_cpu else torch.Generator(self.device).manual_seed(run.seed)
        self.before, self.seconds, self.began = 0, 0.0, 0.0
        self.last: Iteration | None = None

    def begin(self) -> None:
        """Everything before the first batch: the files brought in line with the checkpoint."""
        folder, run = self.folder, self.preset
        shelf = folder.path / "pictures"
        free = not shelf.exists() or shelf.is_dir() or not self.args.pictures
        remedy = "Move it away, or use --no-pictures."
        checks.require(free, "pictures", "must be a folder", f"the file {shelf}", remedy)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fit says which checkpoint is damaged
            loaded = folder.checkpoints.load()
        date = now()
        if loaded is not None:
            folder.check_same(run, self.images)
            history = loaded[0]["history"]
            self.before, self.seconds = len(history), loaded[0]["seconds"]
            date = folder.record()["date"]
            folder.log.rewind(history)
        else:
            folder.log.path.unlink(missing_ok=True)
        folder.write(made(run, self.name, self.images, self.device, date, self.line))
        if self.before < run.settings.iterations:
            event = "start" if loaded is None else "resume"
            where = {"device": device_name(self.device), "processes": self.world.size}
            folder.log.add(
                event, k=self.before, date=now(), command=self.line, **where, versions=versions()
            )
        shape = " x ".join(map(str, self.images.x.shape[1:]))
        print(
            f"{self.name}: {len(self.images)} images of {shape} ({self.images.source}; licence "
            f"{self.images.licence}), generator {run.generator} x {run.width:g}, seed {run.seed}, "
            f"on {device_name(self.device)}\n{run.settings.describe()}",
            flush=True,
        )
        self._tell_memory()
        if loaded is not None and self.before < run.settings.iterations:
            print(f"Going on in {folder.path} after iteration {self.before}.", flush=True)
        if self.args.pictures and not pictures.have_matplotlib():
            self.args.pictures = False
            text = "matplotlib is missing; pip install 'mcmcot-lite[figures]'"
            print(f"No pictures: {text}.", file=sys.stderr, flush=True)

    def _tell_memory(self) -> None:
        """What the run will take, and whether that is there."""
        run, own = self.preset, self.world.count(len(self.images))
        shape, free = tuple(self.images.x.shape[1:]), free_memory(self.device)
        try:
            told = predict_memory(
                self.g,
                own,
                shape,
                run.settings,
                run.compute,
                device=self.device,
                processes=self.world.size,
            )
        except (TypeError, ValueError):
            return  # a run that cannot be: fit says why
        there = "" if free is None else f" of {free >> 20:,} MiB free"
        print(f"Memory it will take: {told}{there}", flush=True)
        if free is not None and told.total > free:
            text = "warning: more memory than is free; try a smaller --batch-size or --width."
            print(text, file=sys.stderr, flush=True)

    def fit(self) -> Fit:
        """Runs it."""
        self.began = perf_counter()
        try:
            return fit(
                self.g,
                self.world.rows(self.images.x).to(self.device),
                self.preset.settings,
                rng=self.rng,
                callbacks=[self.after],
                progress=self.args.progress,
                compute=self.preset.compute,
                out=self.folder.path,
                every=self.every,
                world=self.world,
            )
        except Stopped as stop:
            if self.world.first:
                k = 0 if self.last is None else self.last.k
                self.folder.log.add("stop", k=max(k, self.before), date=now(), signal=stop.signal)
            raise
        except FloatingPointError as error:
            text = f"{error} The last good checkpoint is in {self.folder.path}."
            raise FloatingPointError(text) from error

    def after(self, step: Iteration) -> None:
        """After an iteration, in the first process."""
        row = history_row(step, self.seconds + perf_counter() - self.began)
        self.last = step
        try:
            self.folder.log.add("iteration", **row)
            if step.T is not None:
                names = ("ot_cost", "ot_dual", "removed", "ot_converged")
                costs = {name: row[name] for name in names}
                self.folder.log.add("correction", k=row["k"], **costs, **self._picture())
        except OSError as error:  # the run is worth more than its log, which can be made again
            text = f"warning: iteration {step.k} is not in the log or has no picture: {error}"
            print(" ".join(text.split()), file=sys.stderr, flush=True)

    def _picture(self) -> dict[str, Any]:
        """Draws the last iteration; its path in the folder, if there is one."""
        if not self.args.pictures or self.last is None:
            return {}
        path, st = Path("pictures") / f"{self.last.k:06d}.png", self.preset.settings
        pictures.summary(self.g, self.images.x, self.last, st, self.folder.path / path)
        return {"picture": path.as_posix()}

    def end(self, done: Fit) -> None:
        """After the last batch."""
        if self.last is None:
            print(f"Nothing left to do: {self.folder.path} holds all {self.before} iterations.")
            return
        if self.last.T is None:
            self._picture()
        row = done.history[-1]
        self.folder.log.rewind(done.history)  # fit's own clock
        self.folder.log.add("end", date=now(), **row)
        print(
            f"Finished {len(done.history)} iterations in {done.seconds:.0f} s: mse "
            f"{row['mse']:.4f}, latents of variance {row['latent_var']:.2f} (the prior has 1). In "
            f"{self.folder.path}"
        )
