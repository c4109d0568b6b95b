"""Does a model trained with 16-bit products reach the error of one trained in float32?

    python benchmarks/precision.py                  # this CPU: fp32 and bf16, a narrow network
    python benchmarks/precision.py --device cuda    # a GPU: also tf32 and fp16, the full width

Algorithm 1 on digits of MNIST with the network of Table 1, the same seeds and settings for each
precision. Every model is judged in float32: the error of its reconstructions, after 100 further
Langevin steps from the last chains without a correction. Limit: 3 % above float32's, in the mean
over the seeds. Writes `results/precision.json`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, stdev

import machine
import torch

from mcmcot_lite import Compute, Settings, data, fit, mnist_generator, mse, reconstruct

RESULTS = Path(__file__).resolve().parent.parent / "results"
KINDS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "tf32", "bf16", "fp16")}
JUDGE = 100  # Langevin steps before a model is judged


def trained(kind: str, seed: int, a: argparse.Namespace, st: Settings) -> dict[str, float]:
    """One model: its error, and the seconds of its training."""
    x = data.mnist5k().images()[: a.n].to(a.device)
    g = mnist_generator(width=a.width, rng=torch.Generator().manual_seed(seed)).to(a.device)
    rng = torch.Generator(a.device).manual_seed(seed)
    run = fit(g, x, st, rng=rng, compute=Compute(precision=kind), progress=False)
    y, _ = reconstruct(g, x, replace(st, K=JUDGE), z0=run.z_hat, rng=rng)
    return {"mse": mse(x, y), "seconds": run.seconds, "learned": run.history[-1]["mse"]}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=tuple(KINDS))
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--width", type=float, help="1 on a GPU, an eighth on a CPU")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "precision.json")
    a = parser.parse_args()
    a.width = a.width or (1.0 if a.device == "cuda" else 0.125)
    st = Settings(d=30, K=20, L=5, L2=3, batch_size=250, iterations=a.iterations)
    runs = {
        kind: [trained(kind, seed, a, st) for seed in range(a.seeds)] for kind in KINDS[a.device]
    }
    table = {}
    for kind, rows in runs.items():
        ratios = [row["mse"] / exact["mse"] for row, exact in zip(rows, runs["fp32"], strict=True)]
        error = stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else None
        table[kind] = {"runs": rows, "ratio": fmean(ratios), "stderr": error}
        print(kind, f"MSE {fmean(row['mse'] for row in rows):.5f}, ratio {fmean(ratios):.4f}")
    record = json.loads(a.out.read_text()) if a.out.exists() else {}
    record[a.device] = {
        **machine.record(a.device),
        "n": a.n,
        "width": a.width,
        "judge": JUDGE,
        "seeds": list(range(a.seeds)),
        "settings": asdict(st),
        "precisions": table,
    }
    a.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
