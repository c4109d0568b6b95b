"""What does the correction lose when its map is made on minibatches? Three clouds with known maps.

    python benchmarks/minibatch_transport.py           # about 20 minutes on one core
    python benchmarks/minibatch_transport.py --quick   # seconds; writes nothing without --out

Both clouds, n points each, are split at random into parts of m, and each part is matched exactly;
m = 1 pairs at random, m = n is the optimum. The row m = null takes the map between the
distributions in place of one between samples: n without end. Sources: `gaussian`, `radial` (a
ring, a shell) and `prior`, a perfect sample, which a correction should leave alone. Each row holds
the cost, the error against the known map and what became of nearest neighbours (`spread`: the mean
squared distance of their images over that of random pairs, 1 when nothing is left; `crossed`: the
share of such pairs that had better swap targets), then the cloud after one correction, for each
alpha < 1. For alpha = 1 it is the prior sample itself, whatever m: measured once.
Writes `results/minibatch_transport.json`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import machine
import numpy as np
import torch
from scipy.stats import chi, norm
from torch import Tensor

from mcmcot_lite import distance_to_prior
from mcmcot_lite.transport import TransportMap, exact_map, mix

OUT = Path(__file__).resolve().parent.parent / "results" / "minibatch_transport.json"
SEED = 0
ALPHAS = (0.3, 0.5)
SIZES = (1, 50, 200, 1_000, 5_000)
RADIUS, WIDTH = 1.3, 0.1  # of the shell: its radius over sqrt(d), its width over the radius
QUERIES = 2_000  # points whose nearest neighbour is followed
Z = 4.5  # standard errors allowed: a false alarm in 150,000 assertions


class Cloud:
    """n sources with the optimal map of their distribution to the prior, and its cost W2^2."""

    def __init__(self, name: str, n: int, d: int, rng: torch.Generator) -> None:
        e = torch.randn(n, d, generator=rng, dtype=torch.float64)
        if name == "radial":
            q = torch.randn(n, 1, generator=rng, dtype=torch.float64)
            outward, shell = e / e.norm(dim=1, keepdim=True), RADIUS * d**0.5
            self.x = shell * (1 + WIDTH * q) * outward
            self.image = torch.from_numpy(chi.isf(norm.sf(q), d)) * outward
            u = (np.arange(200_000) + 0.5) / 200_000  # W2^2 is that of the radii
            moves = shell * (1 + WIDTH * norm.ppf(u)) - chi.ppf(u, d)
            self.w2 = float((moves**2).mean())
            return
        self.s, self.mu = torch.ones(d).double(), torch.zeros(d).double()
        if name == "gaussian":
            self.s, self.mu = torch.linspace(0.3, 2, d).double().sqrt(), self.mu + d**-0.5
        self.x, self.image = self.mu + self.s * e, e
        self.w2 = float(self.mu.square().sum() + (self.s - 1).square().sum())


def minibatch_map(x: Tensor, z: Tensor, m: int, rng: torch.Generator) -> TransportMap:
    """Random parts of m sources and m targets, each matched exactly."""
    n = len(x)
    if m == n:
        return exact_map(x, z)
    index, p, q = (torch.randperm(n, generator=rng) for _ in range(3))
    for a, b in zip(p.split(m), q.split(m), strict=True):
        index[a] = b if m == 1 else b[exact_map(x[a], z[b]).index]
    primal = float((x - z[index]).square().sum(1).mean())
    h = torch.zeros(n).double()  # proves nothing: the bound is 0
    return TransportMap(index, index.clone(), h, primal, 0.0, 0.0, False, n // m, "minibatch")


def judged(x: Tensor, points: int, draws: int) -> dict[str, float]:
    """How far a cloud is from the prior; `gauss` compares mean and covariance alone."""
    far = distance_to_prior(x, rng=torch.Generator().manual_seed(1), draws=draws, n=points)
    mean, roots = x.mean(0), torch.linalg.eigvalsh(x.T.cov()).clamp_min(0).sqrt()
    return {
        "distance": far.value,
        "stderr": far.stderr,
        "floor": far.floor,
        "gauss": float(mean.square().sum() + (1 - roots).square().sum()),
        "norm": float(x.norm(dim=1).mean()),
        "variance": float(x.var(0).mean()),
    }


def neighbours(x: Tensor, image: Tensor, near: Tensor) -> dict[str, float]:
    """What a map makes of the pairs (i, near[i])."""
    before, after = (t[: len(near)] - t[near] for t in (x, image))
    crossed = ((before * after).sum(1) < -1e-9).double().mean()
    of_all = 2 * image.var(0).sum()  # of two points at random
    return {"spread": float(after.square().sum(1).mean() / of_all), "crossed": float(crossed)}


def close(sample: Tensor, known: float) -> bool:
    """Is the mean of independent draws what it should be?"""
    return abs(float(sample.mean()) - known) <= Z * float(sample.std()) / len(sample) ** 0.5


def check_known(c: Cloud, z: Tensor, full: float, at_random: TransportMap) -> None:
    """The known map, and the two costs with an exact reference: of the optimum and of m = 1."""
    if not torch.equal(c.image, c.x):
        assert close((c.image - c.x).square().sum(1), c.w2)
    square = RADIUS**2 * (1 + WIDTH**2) * z.shape[1]
    if hasattr(c, "s"):
        square = float(c.mu.square().sum() + c.s.square().sum())
        # The potentials of the known map: feasible, so a lower bound; its mean is W2^2.
        phi = (c.x**2 - (c.x - c.mu) ** 2 / c.s).sum(1)
        psi = (z**2 - c.s * z**2 - 2 * c.mu * z).sum(1)
        assert float((phi + psi).mean()) <= full + 1e-9
        assert close(phi + psi, c.w2)
    assert close((c.x - at_random(c.x, z)).square().sum(1), square + z.shape[1])


def block(name: str, n: int, d: int, seed: int, points: int, draws: int) -> dict[str, object]:
    """One cloud under every m."""
    rng = torch.Generator().manual_seed(seed)
    c, z = Cloud(name, n, d, rng), torch.randn(n, d, generator=rng, dtype=torch.float64)
    x = c.x
    some = torch.arange(min(n, QUERIES)).split(250)
    # The nearest but the point itself.
    near = torch.cat([torch.cdist(x[i], x).topk(2, 1, largest=False).indices[:, 1] for i in some])
    rows, move = [], float((c.image - x).square().sum(1).mean())
    known = {"m": None, "cost": move} | neighbours(x, c.image, near)
    for alpha in ALPHAS:
        known[f"alpha {alpha}"] = judged(alpha * c.image + (1 - alpha) * x, points, draws)
    maps = {}
    for m in [m for m in SIZES if m < n] + [n]:
        begin = time.perf_counter()
        T = maps[m] = minibatch_map(x, z, m, rng)
        row = {"m": m, "seconds": time.perf_counter() - begin, "cost": T.primal}
        error = float((T(x, z) - c.image).square().sum(1).mean())
        row |= {"error": error, "relative_error": error / move if move else None}
        row |= neighbours(x, T(x, z), near)
        for alpha in ALPHAS:
            y, lost = mix(x, z, T, alpha), alpha * (1 - alpha) * T.primal / d
            square, ends = y.square().sum(1).mean() / d, alpha * z**2 + (1 - alpha) * x**2
            assert abs(float(square - (ends.mean() - lost))) < 1e-10  # the identity
            row[f"alpha {alpha}"] = judged(y, points, draws) | {"lost": lost}
            if name == "prior":  # of variance 1: what is left is 1 - lost
                assert close(ends.mean(1), 1.0)
                row[f"alpha {alpha}"]["measured"] = 1 - float(square)
        assert torch.equal(mix(x, z, T, 1.0)[T.index.argsort()], z)  # prior samples, whatever m
        rows.append(row)
    assert T.certified
    assert row["crossed"] == 0
    assert all(a["cost"] > b["cost"] for a, b in pairwise(rows))
    check_known(c, z, T.primal, maps[1])
    for row in rows:
        row["ratio"] = row["cost"] / T.primal
    found = dict(cloud=name, n=n, d=d, w2=c.w2, prior_norm=float(chi.mean(d)))
    found["before"] = judged(x, points, draws) | neighbours(x, x, near)
    return found | {"alpha 1": judged(z, points, draws), "rows": [*rows, known]}


def short(value: object) -> object:
    """Floats to five digits, all the way down."""
    if isinstance(value, dict):
        return {key: short(v) for key, v in value.items()}
    if isinstance(value, list):
        return [short(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--quick", action="store_true", help="n = 1,000, d = 2 and 8")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dims = (2, 8) if args.quick else (2, 8, 64)
    n, points, draws = (1_000, 200, 2) if args.quick else (20_000, 5_000, 4)
    todo = [(name, n, d) for d in dims for name in ("gaussian", "radial", "prior")]
    todo += [] if args.quick else [("gaussian", 60_000, d) for d in dims]
    record = dict(seed=SEED, points=points, draws=draws, radius=RADIUS, width=WIDTH)
    record |= dict(dtype="float64", device=machine.name(), python=platform.python_version())
    record |= {name: version(name) for name in ("torch", "scipy", "pot")}
    record["date"] = dt.datetime.now(dt.UTC).date().isoformat()
    begin, blocks = time.perf_counter(), []
    for k, (name, n, d) in enumerate(todo):
        blocks.append(short(block(name, n, d, 1000 * SEED + k, points, draws)))
        record["seconds"] = round(time.perf_counter() - begin)
        print(f"{record['seconds']} s", json.dumps(blocks[-1]), flush=True)
        if not args.quick or args.out != OUT:
            lines = ",\n".join(json.dumps(b).replace(' {"m"', '\n{"m"') for b in blocks)
            head = json.dumps(record, indent=1).removesuffix("\n}")
            args.out.write_text(f'{head},\n "blocks": [\n{lines}\n]\n}}\n')


if __name__ == "__main__":
    main()
