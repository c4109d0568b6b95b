"""Real latents for `benchmarks/transport.py`: those that Algorithm 1 corrects, on MNIST.

    python benchmarks/transport_latents.py --n 60000 --d 64

Writes `_latents/mnist_N_D.npz`, not in git: the latents of each correction of one run, before it
(`corrections`, (c, n, d) float32), and the targets `z`. Needs MNIST where `mcmcot_lite.data.mnist`
finds it. Two minutes for n = 10,000, a quarter of an hour for 60,000, on 2 cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from mcmcot_lite import MLP, Settings, data, fit
from mcmcot_lite.schedules import Iteration

FOLDER = Path(__file__).resolve().parent.parent / "_latents"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=30)
    args = parser.parse_args()
    x = data.mnist().images()[: args.n]
    g = MLP(args.d, (1, 28, 28), (128, 128), rng=torch.Generator().manual_seed(0))
    st = Settings(
        d=args.d, K=10, L=args.iterations // 6, iterations=args.iterations, batch_size=500, s=0.05
    )
    corrected: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(step: Iteration) -> None:
        if step.T is not None:
            corrected.append((step.inferred, step.z))

    begin = time.perf_counter()
    rng = torch.Generator().manual_seed(0)
    st = Settings(**{**vars(st), "transport": "exact"})
    run = fit(g, x, st, rng=rng, callbacks=[keep])
    FOLDER.mkdir(exist_ok=True)
    np.savez(
        FOLDER / f"mnist_{args.n}_{args.d}.npz",
        corrections=np.stack([z_hat.numpy() for z_hat, _ in corrected]),
        z=corrected[0][1].numpy(),
    )
    mse = run.history[-1]["mse"]
    print(f"{len(corrected)} corrections, mse {mse:.4f}, {time.perf_counter() - begin:.0f} s")
    for name, (z_hat, _) in zip(("start", "end"), (corrected[0], corrected[-1]), strict=True):
        print(f"{name}: mean variance {float(z_hat.var(0).mean()):.3f}")


if __name__ == "__main__":
    main()
