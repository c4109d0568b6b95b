"""Trains ABP and Algorithm 1 on CelebA faces and keeps what the chapter on CelebA shows.

    python benchmarks/celeba_run.py --name celeba_cpu --n 2000 --width 0.125 \\
        --iterations 40 --K 8 --L 5 --L2 3

Writes `results/NAME.json` (settings, seed, device, versions, curves, distances, seconds) and
`results/NAME_MODEL.png` for each model (drawn faces only: no photograph is stored). Needs CelebA
where `mcmcot_lite.data.celeba` finds it, for example `celeba_64.zip` in the folder MCMCOT_DATA.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import machine
import numpy as np
import torch
from PIL import Image

from mcmcot_lite import Settings, celeba_generator, data, distance_to_prior, fit, mse, reconstruct

RESULTS = Path(__file__).resolve().parent.parent / "results"


def sheet(pictures: torch.Tensor, columns: int) -> np.ndarray:
    """Images (n, 3, 64, 64) in [0, 1] as one uint8 picture, row by row."""
    rows = pictures.mul(255).round().byte().cpu().unflatten(0, (-1, columns))
    return rows.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).numpy()


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
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("ABP", "Algorithm 1"), help="one of the two models")
    a = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = data.celeba(limit=a.n, download=False).images().to(device)
    RESULTS.mkdir(exist_ok=True)
    out = RESULTS / f"{a.name}.json"
    runs = json.loads(out.read_text())["runs"] if a.only and out.exists() else {}
    for name, alpha in (("ABP", 0.0), ("Algorithm 1", a.alpha)):
        if a.only not in (None, name):
            continue
        rng = torch.Generator(device).manual_seed(a.seed)
        g = celeba_generator(width=a.width, rng=torch.Generator().manual_seed(a.seed)).to(device)
        st = Settings(
            d=64,
            s=a.s,
            K=a.K,
            L=a.L,
            L2=a.L2,
            alpha=alpha,
            iterations=a.iterations,
            batch_size=a.batch,
            lr=a.lr,
            batchnorm=a.batchnorm,
        )
        run = fit(g, x, st, rng=rng)
        # Judged after many steps of inference alone: a cloud just corrected would flatter.
        y, z = reconstruct(g, x, replace(st, K=a.judge), z0=run.z_hat, rng=rng)
        w = distance_to_prior(z, rng=rng)
        with torch.no_grad():
            drawn = g(torch.randn(20, 64, generator=rng, device=device))
        picture = RESULTS / f"{a.name}_{name.lower().replace(' ', '')}.png"
        Image.fromarray(sheet(drawn, 10)).save(picture)
        runs[name] = dict(
            settings=asdict(st),
            seconds=run.seconds,
            history=list(run.history),
            mse=mse(x, y),
            distance=w._asdict(),
            latents=dict(  # of the same z as the distance
                mean=float(z.mean(0).norm()),
                var=float(z.var(0, correction=0).mean()),
            ),
            weights=sum(p.numel() for p in g.parameters()),
        )
        record = dict(
            command=vars(a),
            device=machine.name(device),
            torch=torch.__version__,
            numpy=np.__version__,
            pot=version("pot"),
            n=len(x),
            date=time.strftime("%Y-%m-%d"),
            python=platform.python_version(),
            runs=runs,
        )
        out.write_text(json.dumps(record, indent=1) + "\n")
        print(
            name,
            f"{run.seconds:.0f} s, MSE {mse(x, y):.4f}, distance {w.value:.2f}, "
            f"floor {w.floor:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
