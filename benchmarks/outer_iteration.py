"""One outer iteration at the paper's sizes, by phase, on images of random bytes.

    python benchmarks/outer_iteration.py --device cuda --net svhn
    python benchmarks/outer_iteration.py --device cuda --net celeba

The released schedule: L = 50 passes of K Langevin steps and L2 = 3 learning steps a batch, one
exact transport of all latents, 50 passes of regression. Time does not depend on what the images
show, but that of the transport depends on where the latents are: they follow random images here, a
stand-in. `--passes 5` makes fewer passes of each kind and multiplies; a short iteration before the
timed one warms up. The paper: 124 minutes of inference, 10 of transport, 5 of learning for SVHN,
K = 30, on two Titan X.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import machine
import torch

from mcmcot_lite import Compute, Settings, celeba_generator, fit, predict_memory, svhn_generator

RESULTS = Path(__file__).resolve().parent.parent / "results"
SIZES = {  # network, images, side, K, batch
    "svhn": (svhn_generator, 73_257, 32, 30, 5_000),
    "celeba": (celeba_generator, 60_000, 64, 50, 2_000),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--net", default="svhn", choices=list(SIZES))
    parser.add_argument("--passes", type=int, default=50, help="of each kind; 50 is the whole")
    parser.add_argument("--n", type=int, help="images, to try it out")
    parser.add_argument("--width", type=float, default=1.0, help="to try it out")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--graphs", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "outer_iteration.json")
    a = parser.parse_args()
    make, n, side, K, batch = SIZES[a.net]
    n, batch = a.n or n, a.batch or batch
    torch.manual_seed(0)
    g = make(width=a.width).to(a.device)
    x = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, device=a.device)
    st = Settings(
        d=64, K=K, L=a.passes, L2=3, alpha=0.3, schedule="released", regression=a.passes,
        iterations=2, batch_size=batch, lr=2e-4, s=0.01, transport="exact", batchnorm="batch",
    )  # fmt: skip
    compute = Compute(precision=a.precision, compile=a.compile, graphs=a.graphs)
    told = predict_memory(g, n, (3, side, side), st, compute, device=a.device)
    if a.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rng = torch.Generator(a.device).manual_seed(0)
    # The first iteration warms up, with one pass of each kind.
    warm = Settings(**{**vars(st), "L": 1, "regression": 1, "iterations": 1})
    fit(g, x, warm, rng=rng, compute=compute, progress=False)
    run = fit(g, x, Settings(**{**vars(st), "iterations": 1}), rng=rng, compute=compute)
    seconds = {k.removesuffix("_seconds"): v for k, v in run.history[0].items() if "_sec" in k}
    times = 50 / a.passes
    whole = {k: v * (1 if k == "transport" else times) for k, v in seconds.items()}
    entry = {
        "device": machine.name(a.device),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "images": "random bytes",
        "n": n,
        "width": a.width,
        "settings": {k: v for k, v in vars(st).items() if k != "iterations"},
        "precision": a.precision,
        "compile": a.compile,
        "graphs": a.graphs,
        "passes_timed": a.passes,
        "seconds_timed": seconds,
        "minutes_of_an_outer_iteration": {k: v / 60 for k, v in whole.items()},
        "minutes": sum(whole.values()) / 60,
        "predicted_bytes": told.total,
        "peak_bytes": torch.cuda.max_memory_allocated() if a.device == "cuda" else None,
        "mse": run.history[0]["mse"],
    }
    record = json.loads(a.out.read_text()) if a.out.exists() else {}
    record[f"{a.net}, {a.device}"] = entry
    a.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(entry["minutes_of_an_outer_iteration"]), f"{entry['minutes']:.1f} minutes")


if __name__ == "__main__":
    main()
