"""Peak memory of a process that trains, over what `predict_memory` told of it.

    MALLOC_MMAP_THRESHOLD_=100000 python benchmarks/memory_process.py '{"net": "svhn", "d": 64}'

Prints JSON: the ratio, and both numbers in MiB. Linux only. The tests run it, too.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from mcmcot_lite import (
    MLP,
    Compute,
    Settings,
    celeba_generator,
    fit,
    mnist_generator,
    predict_memory,
    svhn_generator,
)

STATM = Path("/proc/self/statm")
NETS = {
    "mlp": (lambda d, width: MLP(d), (1, 28, 28)),
    "wide": (lambda d, width: MLP(d, hidden=(4000, 4000)), (1, 28, 28)),
    "mnist": (mnist_generator, (1, 28, 28)),
    "svhn": (svhn_generator, (3, 32, 32)),
    "celeba": (celeba_generator, (3, 64, 64)),
}
CASE = {
    "K": 1,
    "width": 1.0,
    "n": 500,
    "batch": 10**6,
    "stored": 1,
    "alpha": 0.0,
    "batchnorm": "running",
    "dtype": "float32",
    "precision": "auto",
    "channels_last": True,
    "transport": "exact",
    "fresh": False,  # nothing is loaded or run before
    "saved": False,  # a checkpoint after each batch
}


def resident() -> int:
    """Bytes of this process."""
    return int(STATM.read_text().split()[1]) * 4096


class Watch:
    """Context that keeps the largest resident size seen."""

    def __enter__(self) -> Watch:
        self.base = self.peak = resident()
        self.on = True
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self) -> None:
        while self.on:
            self.peak = max(self.peak, resident())
            time.sleep(0.0005)

    def __exit__(self, *_: object) -> None:
        self.on = False
        self.thread.join()

    @property
    def grown(self) -> int:
        """Bytes at the peak beyond those at the beginning."""
        return self.peak - self.base


def main() -> None:
    """One case."""
    torch.set_num_threads(1)
    case = CASE | json.loads(sys.argv[1])
    make, shape = NETS[case["net"]]
    dtype = getattr(torch, case["dtype"])

    def network() -> torch.nn.Module:
        return make(case["d"], width=case["width"]).to(dtype)

    def settings(size: int) -> Settings:
        names = ("d", "K", "alpha", "batchnorm", "transport")
        own = {name: case[name] for name in names}
        return Settings(L=1, L2=1, iterations=2, batch_size=size, **own)

    compute = Compute(precision=case["precision"], channels_last=case["channels_last"])
    x = torch.randint(0, 256, (case["n"], *shape), dtype=torch.uint8)
    x = x if case["stored"] == 1 else x.to(dtype).div_(255)
    g, st = network(), settings(min(case["batch"], case["n"]))
    there = sum(p.numel() for p in g.parameters()) * dtype.itemsize + x.numel() * x.element_size()

    def told() -> float:
        return predict_memory(g, len(x), shape, st, compute, stored=x.element_size()).total

    def run(g: torch.nn.Module, x: torch.Tensor, st: Settings, **out: object) -> None:
        fit(g, x, st, rng=torch.Generator(), compute=compute, progress=False, **out)

    if not case["fresh"]:  # libraries take their memory
        run(network(), x[:8], settings(8))
        told()
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        expected = told()
        run(g, x, st, **({"out": folder, "every": 0.0} if case["saved"] else {}))
    taken = watch.grown + there
    print(json.dumps({"ratio": taken / expected, "taken": taken / 2**20, "told": expected / 2**20}))


if __name__ == "__main__":
    main()
