"""What does the exact map change in learning? Algorithm 1 with eps = 0.05, with the optimum, ABP.

    python benchmarks/eps_or_exact.py --seeds 5        # about 30 minutes on one core

Everything but the transport is equal: network, images, budget, and the seeds of weights and noise.
Each run is judged after 200 Langevin steps without correction (distance of the latents to the
prior, MSE), and by the Frechet distance between 10,000 images from the prior and MNIST's 10,000
test images. Its features are the 64 activations of a small classifier trained here on MNIST's
60,000 training images: it is not the FID of the literature. Writes `results/eps_or_exact.json`,
run by run, so that an interrupted call goes on where it stopped. Needs MNIST where
`mcmcot_lite.data.mnist` finds it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import machine
import torch
from torch import Tensor, nn

from mcmcot_lite import (
    MLP,
    Settings,
    data,
    distance_to_prior,
    fit,
    frechet_distance,
    mse,
    reconstruct,
)

OUT = Path(__file__).resolve().parent.parent / "results" / "eps_or_exact.json"
# The last correction is followed by 19 iterations, like each before: a generator is judged when it
# has learned from the corrected pairs, not right after they moved.
BASE = Settings(d=16, s=0.05, K=10, L=20, iterations=119, batch_size=250)
METHODS = {
    "ABP": replace(BASE, alpha=0.0),
    "eps = 0.05": replace(BASE, transport="semidual", eps=0.05),
    "eps = 0.01": replace(BASE, transport="semidual", eps=0.01),
    "exact": replace(BASE, transport="exact"),
}
JUDGE = 200  # Langevin steps without correction before anything is measured
SAMPLES = 10_000


class Digits(nn.Module):
    """A small classifier; its last hidden layer gives the features."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU()),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def trained(x: Tensor, y: Tensor, epochs: int = 2) -> Digits:
    """The classifier, trained with a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Digits()
        adam = torch.optim.Adam(net.parameters(), lr=1e-3)
        for _ in range(epochs):
            for i in torch.randperm(len(x)).split(128):
                loss = nn.functional.cross_entropy(net(x[i]), y[i])
                adam.zero_grad()
                loss.backward()
                adam.step()
    return net.eval()


@torch.no_grad()
def features(net: Digits, x: Tensor) -> Tensor:
    return torch.cat([net.features(part) for part in x.split(1000)])


def one(settings: Settings, seed: int, x: Tensor, net: Digits, real: Tensor) -> dict[str, object]:
    """Trains and judges one model."""
    g = MLP(settings.d, (1, 28, 28), (128, 128), rng=torch.Generator().manual_seed(seed))
    rng = torch.Generator().manual_seed(1000 + seed)
    run = fit(g, x, settings, rng=rng, progress=False)
    judge = torch.Generator().manual_seed(2000 + seed)
    y, z_hat = reconstruct(g, x, replace(settings, K=JUDGE), rng=judge, z0=run.z_hat)
    far = distance_to_prior(z_hat, rng=judge)
    with torch.no_grad():
        fake = g(torch.randn(SAMPLES, settings.d, generator=judge))
    removed = [row["removed"] for row in run.history if "removed" in row]
    return {
        "mse": mse(x, y),
        "distance": far.value,
        "distance_stderr": far.stderr,
        "floor": far.floor,
        "variance": float(z_hat.var(0, correction=0).mean()),
        "frechet": frechet_distance(features(net, fake), real),
        "removed": sum(removed) / len(removed) if removed else 0.0,
        "converged": all(row.get("ot_converged", 1.0) for row in run.history),
        "seconds": run.seconds,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n", type=int, default=2_000, help="training images")
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, test = data.mnist(), data.mnist(split="test")
    net = trained(train.images(), train.y)
    with torch.no_grad():
        hit = torch.cat([net(part).argmax(1) for part in test.images().split(1000)]) == test.y
    real = features(net, test.images())
    halves = [features(net, train.images()[i : i + SAMPLES]) for i in (0, SAMPLES)]
    record = json.loads(OUT.read_text()) if OUT.exists() else {"runs": []}
    record |= {
        "settings": {name: asdict(settings) for name, settings in METHODS.items()},
        "n": args.n,
        "judge": JUDGE,
        "samples": SAMPLES,
        "classifier_accuracy": float(hit.double().mean()),
        "frechet_of_real": frechet_distance(halves[0], real),
        "machine": machine.name(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "pot": version("pot"),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }
    for seed in range(args.seeds):
        for name, settings in METHODS.items():
            if any((run["method"], run["seed"]) == (name, seed) for run in record["runs"]):
                continue
            begin = time.perf_counter()
            row = one(settings, seed, train.images()[: args.n], net, real)
            record["runs"].append({"method": name, "seed": seed} | row)
            OUT.write_text(json.dumps(record, indent=1) + "\n")
            print(f"{time.perf_counter() - begin:.0f} s", record["runs"][-1], flush=True)


if __name__ == "__main__":
    main()
