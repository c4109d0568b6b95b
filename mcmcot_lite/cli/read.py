"""``sample``, ``reconstruct`` and ``evaluate``: they read a run, and leave its files alone."""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite import train as library
from mcmcot_lite.checkpoint import Checkpoints, expanded, write_whole
from mcmcot_lite.cli import pictures
from mcmcot_lite.cli.folder import Folder, device_name, preset_from, versions
from mcmcot_lite.cli.inputs import device_of, images_of, whole
from mcmcot_lite.cli.log import now
from mcmcot_lite.engine import as_float
from mcmcot_lite.metrics import distance_to_prior, mse
from mcmcot_lite.presets import Preset
from mcmcot_lite.snapshot import check_snapshot, images_sum, other_network

__all__ = ["Opened", "evaluate", "opened", "picture", "reconstruct", "sample"]

MOST = 2000  # images of an evaluation, unless more are asked for


@dataclass(eq=False)
class Opened:
    """A run as its newest whole checkpoint has it."""

    folder: Folder
    preset: Preset
    g: nn.Module
    z_hat: Tensor
    images: int  # the fingerprint of those that it was trained on
    k: int
    device: torch.device

    def rng(self, seed: int) -> torch.Generator:
        """A generator on the run's device."""
        return torch.Generator(self.device).manual_seed(seed)

    def count(self, n: int) -> int:
        """n, which must not be more than the images of the run."""
        most = len(self.z_hat)
        checks.require(n <= most, "n", f"must be at most {most} here", n, "Take fewer images.")
        return n

    def require_own(self, x: Tensor, source: str) -> None:
        """Refuses images that are not those that the run was trained on, all of them."""
        rule, got = "must hold the images of this run", f"others, from {source}"
        remedy = "Pass --data (and --skip-broken) as train had them: its log has the command."
        checks.require(images_sum(x) == self.images, "data", rule, got, remedy)

    def inferred(
        self, n: int, K: int, args: argparse.Namespace, seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The first n images, their reconstructions, and their latents after K more steps."""
        st = replace(self.preset.settings, K=K)
        # The chains of a batch are coupled in the reading "batch": then a whole one is inferred.
        coupled = st.batchnorm == "batch"
        m = max(n, min(len(self.z_hat), st.batch_size)) if coupled else n
        found = images_of(self.preset, args)
        self.require_own(found.x, found.source)
        x = as_float(found.x[:m].to(self.device), st.x_range, torch.float32)
        y, z = library.reconstruct(self.g, x, st, rng=self.rng(seed), z0=self.z_hat[:m])
        return x[:n], y[:n], z[:n]


def opened(args: argparse.Namespace) -> Opened:
    """The run in DIR."""
    device, folder = device_of(args.device), Folder(args.run)
    run = preset_from(folder.record())
    data = _newest(folder.checkpoints)
    if data is None:
        rule, got = "must hold a checkpoint", f"{folder.path} without one"
        raise checks.fail("DIR", rule, got, "Let the run begin first.")
    check_snapshot(data)
    g = run.network(torch.Generator())
    differ = "; ".join(other_network(g, data["g"]))
    rule, got = "must hold checkpoints of the network in its run.json", f"another, {differ}"
    checks.require(not differ, "DIR", rule, got, "Put back the run.json of this run.")
    g.load_state_dict(data["g"])
    g.to(device).eval()
    k = len(data["history"])
    return Opened(folder, run, g, data["z_hat"].to(device), data["images"], k, device)


def _newest(checkpoints: Checkpoints) -> dict[str, Any] | None:
    """The newest whole checkpoint, also while a run replaces them."""
    while True:
        before = checkpoints.files()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                loaded, failure = checkpoints.load(), None
            except ValueError as error:
                loaded, failure = None, error
        if (said or failure) and checkpoints.files() != before:
            continue  # the run has written another one meanwhile
        if failure is not None:  # it says what the warnings say
            raise failure
        for each in said:
            warnings.warn(str(each.message), stacklevel=2)
        return None if loaded is None else loaded[0]


def picture(args: argparse.Namespace, name: str) -> Path:
    """Where a picture goes."""
    return Folder(args.run).path / name if args.to is None else pictures.png_path("to", args.to)


def sample(args: argparse.Namespace) -> None:
    """The command: images of the prior, each by itself (BatchNorm by its stored averages)."""
    n, seed = whole("n", args.n), whole("seed", args.seed, 0)
    to, run = picture(args, "samples.png"), opened(args)
    z = pictures.prior_latents(n, run.preset.settings.d, seed)
    x = torch.cat([pictures.decoded(run.g, z[i : i + MOST]) for i in range(0, n, MOST)])
    pictures.save(pictures.unit(x, run.preset.settings.x_range), math.ceil(n**0.5), to)
    print(to)


def reconstruct(args: argparse.Namespace) -> None:
    """The command: inference goes on from the stored chains, then the images are decoded."""
    n, seed = whole("n", args.n), whole("seed", args.seed, 0)
    to, run = picture(args, "reconstructions.png"), opened(args)
    x, y, _ = run.inferred(run.count(n), run.preset.settings.K, args, seed)
    shown = pictures.unit(pictures.pairs(x, y), run.preset.settings.x_range)
    pictures.save(shown, 2 * math.ceil((n / 2) ** 0.5), to)
    print(f"{to}\nmse {mse(x, y):.6f} ({n} images, after {run.k} iterations)")


def evaluate(args: argparse.Namespace) -> None:
    """The command: numbers, printed and stored."""
    began, seed = time.perf_counter(), whole("seed", args.seed, 0)
    n = None if args.n is None else whole("n", args.n, 2)
    judge = None if args.judge is None else whole("judge", args.judge, 0)
    run = opened(args)
    to = run.folder.path / "evaluate.json" if args.json is None else expanded("json", args.json)
    own = [run.folder.json, run.folder.log.path, *run.folder.checkpoints.files()]
    is_own = any(to.resolve() == path.resolve() for path in own)
    remedy = "Choose another name."
    checks.require(not is_own, "json", "must not be a file of the run itself", to, remedy)
    n = min(len(run.z_hat), MOST) if n is None else run.count(n)
    judge = run.preset.settings.K if judge is None else judge
    x, y, z = run.inferred(n, judge, args, seed)
    distance = distance_to_prior(z, rng=run.rng(seed))
    found = {
        "images": n,
        "iterations": run.k,
        "judge": judge,  # Langevin steps after training, without a correction
        "mse": mse(x, y),
        "distance_to_prior": distance._asdict(),
        "latent_mean": float(z.mean(0).square().sum().sqrt()),
        "latent_var": float(z.var(0, correction=0).mean()),
        "settings": asdict(run.preset.settings),
        "seed": seed,
        "device": device_name(run.device),
        "versions": versions(),
        "date": now(),
        "seconds": time.perf_counter() - began,
    }
    with write_whole(to) as file:
        file.write(json.dumps(found, indent=1).encode() + b"\n")
    print(
        f"mse {found['mse']:.6f} on {n} images after {judge} steps without a correction\n"
        f"squared distance to the prior {distance.value:.4f} (standard error "
        f"{distance.stderr:.4f}; of the prior itself: {distance.floor:.4f}; {distance.n} points)\n"
        f"latents: norm of the mean {found['latent_mean']:.4f}, "
        f"variance {found['latent_var']:.4f}\n{to}"
    )
