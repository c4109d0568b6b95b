"""Times the transport solvers against their peers, each in a process of its own.

    python benchmarks/transport.py                 # everything
    python benchmarks/transport.py --only growth   # one group

Writes `results/transport.json`: one row a measurement (solver, cloud, n, d, seconds, peak memory
above the start in MiB, cost, certified gap) with machine, threads, versions and date. Rows of
another group stay. Everything is imported and warmed up before the clock starts. Peers: POT's dense
`ot.emd`, POT's lazy solver, SciPy's `linear_sum_assignment`, and `lap.lapjvs` where lapx is
installed (`pip install lapx`; it is no dependency). Dense peers are charged for their cost matrix.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import machine
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results" / "transport.json"
LATENTS = ROOT / "_latents"
THREADS = 2


def blobs(n: int, d: int, r: np.random.Generator) -> np.ndarray:
    """What a short run leaves: a shrunk, correlated cloud in two parts."""
    turn, _ = np.linalg.qr(r.normal(size=(d, d)))
    side = np.where(r.random(n) < 0.35, 1.0, -1.0)[:, None]
    apart = r.normal(size=d)
    spread = r.normal(size=(n, d)) * np.linspace(0.5, 1.5, d)
    return 0.6 * spread @ turn + side * apart / np.linalg.norm(apart)


def clusters(n: int, d: int, r: np.random.Generator) -> np.ndarray:
    """Ten tight clusters."""
    return r.normal(size=(10, d))[r.integers(0, 10, n)] + 0.02 * r.normal(size=(n, d))


def ring(n: int, d: int, r: np.random.Generator) -> np.ndarray:
    """A thin ring in the first two dimensions."""
    x, t = 0.01 * r.normal(size=(n, d)), 2 * np.pi * r.random(n)
    x[:, 0] += np.cos(t)
    x[:, 1] += np.sin(t)
    return x


def gauss(n: int, d: int, r: np.random.Generator) -> np.ndarray:
    """N(0, I)."""
    return r.normal(size=(n, d))


def heavy(n: int, d: int, r: np.random.Generator) -> np.ndarray:
    """Student's t with three degrees of freedom: far points, and no independent coordinates."""
    return r.normal(size=(n, d)) / np.sqrt(r.chisquare(3, size=(n, 1)) / 3)


CLOUDS = {f.__name__: f for f in (blobs, gauss, clusters, ring, heavy)}


def clouds(name: str, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target."""
    if name.startswith("mnist"):
        kept = np.load(LATENTS / f"mnist_{n}_{d}.npz")
        found = kept["corrections"]
        which = {"start": 0, "middle": len(found) // 2, "end": -1}[name.split()[1]]
        return found[which].astype(float), kept["z"].astype(float)
    r = np.random.default_rng([n, d])
    return CLOUDS[name](n, d, r), r.normal(size=(n, d))


def table(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All squared distances."""
    return np.maximum((x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T, 0)


def solve(solver: str, x: np.ndarray, y: np.ndarray, device: str) -> dict[str, object]:
    """One solver's answer: cost, and what else it tells."""
    import ot
    from scipy.optimize import linear_sum_assignment

    from mcmcot_lite import transport

    if solver == "ot.emd":
        match = ot.emd([], [], table(x, y), numItermax=10**9).argmax(1)
    elif solver == "ot lazy":
        plan = ot.solve_sample(x, y, lazy=True, max_iter=10**9).plan
        match = np.asarray((plan.tocsr() if hasattr(plan, "tocsr") else plan).argmax(1)).ravel()
    elif solver == "scipy":
        match = linear_sum_assignment(table(x, y))[1]
    elif solver == "lapjvs":
        import lap

        out = lap.lapjvs(table(x, y))
        match = out[2] if len(out) == 3 else out[1]
    else:
        a, b = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
        if solver.startswith("exact"):
            T = transport.exact_map(
                a, b, gap=0.0 if solver == "exact" else float(solver.split()[1])
            )
        elif solver == "auction":
            T = transport.auction_map(a, b, gap=1e-3)
        else:
            T = transport.semidual_map(
                a.float(), b.float(), rng=torch.Generator(device).manual_seed(0)
            )
        return {
            "cost": T.primal,
            "gap": T.relative_gap,
            "certified": T.certified,
            "removed": T.removed,
            "rounds": T.steps,
            "edges": T.edges / len(x),
            "phases": {k: round(v, 3) for k, v in T.seconds.items()},
        }
    assert len(np.unique(match)) == len(x)
    return {"cost": float(((x - y[match]) ** 2).sum(1).mean())}


def peak() -> float:
    """Largest resident memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(solver: str, cloud: str, n: int, d: int, device: str) -> dict[str, object]:
    """One row."""
    torch.set_num_threads(THREADS)
    x, y = clouds(cloud, n, d)
    r = np.random.default_rng(0)
    small = r.normal(size=(2, 300, max(d, 2)))
    solve(solver, small[0], small[1], device)  # warm up
    before, begin = peak(), time.perf_counter()
    row = solve(solver, x, y, device)
    seconds = time.perf_counter() - begin
    head = {"solver": solver, "cloud": cloud, "n": n, "d": d}
    return head | {"seconds": round(seconds, 3), "MiB": round(peak() - before)} | row


def warm(n: int, d: int) -> list[dict[str, object]]:
    """The corrections of one run, each from the last potentials and from a cold start."""
    from mcmcot_lite.transport import exact_map

    torch.set_num_threads(THREADS)
    kept = np.load(LATENTS / f"mnist_{n}_{d}.npz")
    z = torch.from_numpy(kept["z"])
    rows: list[dict[str, object]] = []
    before = exact_map(torch.from_numpy(kept["corrections"][0]), z)
    for number, found in enumerate(kept["corrections"][1:], start=2):
        z_hat = torch.from_numpy(found)
        # These prove the last map optimal for the latents as it left them, alpha = 1/2 of the way.
        h = (before.h - z.double().square().sum(1) / 2) / 2
        T = before
        for name, start in (("cold", None), ("warm", h)) * 3:
            begin = time.perf_counter()
            T = exact_map(z_hat, z, h0=start)
            seconds = round(time.perf_counter() - begin, 3)
            head = {"solver": f"exact, {name}", "cloud": f"mnist {number}", "n": n, "d": d}
            rows.append(head | {"seconds": seconds, "cost": T.primal, "rounds": T.steps})
        same = float((T.index == before.index).double().mean())
        rows[-1]["same"] = same  # pairs that the last correction had too
        before = T
    return rows


def on_graph(n: int, d: int) -> list[dict[str, object]]:
    """One assignment on the first sparse graph: POT's network simplex against lapx's lapmod."""
    import lap
    import ot  # noqa: F401  # loads slowly

    from mcmcot_lite.transport.clock import Clock
    from mcmcot_lite.transport.scores import Scores
    from mcmcot_lite.transport.simplex import flow
    from mcmcot_lite.transport.start import first_graph

    torch.set_num_threads(THREADS)
    scores = Scores(*(torch.from_numpy(t) for t in clouds("blobs", n, d)))
    at = first_graph(scores.x, scores.y, None, Clock())
    graph, ones = at.graph, np.ones(n)
    reduced = np.repeat(graph.row_best(at.h), np.diff(graph.first)) - graph.scores(at.h)

    def pot() -> float:
        edges, _ = flow(graph, at.h, ones, ones, Clock())
        return float(graph.benefit[edges].mean())

    def lapmod() -> float:
        _, match, _ = lap.lapmod(n, reduced, graph.first, graph.column)
        return float((scores.x * scores.y[torch.as_tensor(match).long()]).sum(1).mean())

    rows: list[dict[str, object]] = []
    for name, run in (("POT, sparse", pot), ("lapmod", lapmod)) * 2:
        begin = time.perf_counter()
        gain = run()
        seconds = round(time.perf_counter() - begin, 3)
        head = {"solver": name, "cloud": "blobs", "n": n, "d": d}
        rows.append(head | {"seconds": seconds, "gain": gain, "edges": len(graph.row) / n})
    return rows


PEERS = ("ot.emd", "lapjvs", "ot lazy", "scipy")
GROUPS: dict[str, list[tuple[str, str, int, int]]] = {
    "peers": [
        *((s, "blobs", 1_000, d) for d in (2, 30, 64) for s in ("exact", "exact 1e-3", *PEERS)),
        *((s, "blobs", 5_000, 2) for s in ("exact", "exact 1e-3", "auction", "ot.emd", "ot lazy")),
        *(
            (s, "blobs", 5_000, d)
            for d in (30, 64)
            for s in ("exact", "exact 1e-3", "auction", "semidual", "ot.emd", "lapjvs", "scipy")
        ),
        *((s, "blobs", 10_000, 2) for s in ("exact", "exact 1e-3", "auction", "ot.emd")),
        *(
            (s, "blobs", 10_000, d)
            for d in (30, 64)
            for s in ("exact", "exact 1e-3", "auction", "ot.emd", "lapjvs")
        ),
    ],
    "low": [
        *((s, "blobs", 10_000, 3) for s in ("exact", "ot.emd")),
        *(
            (s, cloud, n, 2)
            for n in (20_000, 60_000)
            for cloud in ("ring", "clusters", "blobs", "gauss")
            for s in ("exact 1e-3", "exact")
        ),
        *(
            ("exact 1e-3", cloud, n, 3)
            for n in (10_000, 20_000, 60_000)
            for cloud in ("ring", "clusters", "blobs", "gauss")
        ),
        ("auction", "blobs", 20_000, 2),
    ],
    "large": [
        *(
            (s, cloud, 60_000, 64)
            for cloud in ("blobs", "gauss", "heavy", "clusters")
            for s in ("exact", "exact 1e-3")
        ),
        ("exact", "blobs", 60_000, 30),
        ("exact 1e-3", "blobs", 60_000, 30),
    ],
    "growth": [
        ("exact", "blobs", n, d)
        for d in (2, 30, 64)
        for n in (1_250, 2_500, 5_000, 10_000, 20_000, 40_000)
    ],
    "mnist": [
        (s, f"mnist {when}", n, 64)
        for n in (10_000, 60_000)
        for when in ("start", "middle", "end")
        for s in ("exact", "exact 1e-3")
    ],
    "gpu": [  # on a GPU only: --only gpu --device cuda
        *((s, "blobs", 60_000, 64) for s in ("exact", "exact 1e-3", "auction")),
        ("exact 1e-3", "blobs", 202_599, 64),  # as many points as CelebA has faces
    ],
    "warm": [("warm", "mnist", 10_000, d) for d in (2, 8, 64)],
    "graph": [("on graph", "blobs", n, d) for n in (10_000, 60_000) for d in (2, 64)],
}


def environment(device: str) -> dict[str, object]:
    """Machine, versions, date."""
    torch.set_num_threads(THREADS)
    packages = ["torch", "numpy", "scipy", "pot"]
    packages += ["lapx"] if importlib.util.find_spec("lap") else []
    return {
        "machine": machine.name(),
        "device": machine.name("cuda") if device == "cuda" else "cpu",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=GROUPS, action="append", help="groups to measure")
    parser.add_argument("--device", default="cpu", help="where our solvers run")
    parser.add_argument("--limit", type=float, default=600, help="seconds a measurement may take")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        solver, cloud, n, d = args.one[0], args.one[1], int(args.one[2]), int(args.one[3])
        if solver in ("warm", "on graph"):
            rows = (warm if solver == "warm" else on_graph)(n, d)
        else:
            rows = [measure(solver, cloud, n, d, args.device)]
        print(json.dumps(rows))
        return
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"groups": {}}
    for group in args.only or [name for name in GROUPS if name != "gpu"]:
        rows: list[dict[str, object]] = []
        for solver, cloud, n, d in GROUPS[group]:
            if solver in ("lapjvs", "on graph") and not importlib.util.find_spec("lap"):
                continue
            command = [sys.executable, __file__, "--device", args.device]
            command += ["--one", solver, cloud, str(n), str(d)]
            env = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
            head: dict[str, object] = {"solver": solver, "cloud": cloud, "n": n, "d": d}
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=args.limit, env=env, check=True
                )
                new = json.loads(done.stdout.splitlines()[-1])
            except subprocess.TimeoutExpired:
                new = [head | {"failed": f"over {args.limit:g} s"}]
            except subprocess.CalledProcessError as error:
                new = [head | {"failed": (error.stderr.splitlines() or ["killed"])[-1][:200]}]
            rows += new
            for row in new:
                print(json.dumps({k: v for k, v in row.items() if k != "phases"}), flush=True)
            kept["groups"][group] = {"environment": environment(args.device), "rows": rows}
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
