"""What operations, libraries and corrections take of a CPU's memory: the terms of `predict_memory`.

    python benchmarks/memory.py     # Linux; 10 minutes

Each measurement is a process of its own, with one thread and an allocator that returns freed blocks
at once (MALLOC_MMAP_THRESHOLD_=100000). Resident sizes are read every half millisecond. Groups:

operations   what a convolution takes besides its result, beside :func:`~mcmcot_lite.meter.scratch`
kernels      what stays after an operation on tensors of a new shape
imports      what libraries take that are loaded when first needed
corrections  the peak of a correction, beside `correction_bytes`
processes    whole runs over what was told of them, with that allocator and with glibc's as it comes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import machine
import torch
from memory_process import Watch, resident
from torch import nn

HERE = Path(__file__).resolve().parent
MIB = 2**20
CONVOLUTIONS = [  # transposed, images, channels in and out, side, window
    (True, 250, 512, 256, 4, 5),
    (True, 250, 256, 128, 8, 5),
    (True, 250, 128, 3, 16, 5),
    (True, 250, 128, 64, 7, 2),
    (False, 100, 64, 128, 16, 3),
    (False, 100, 512, 512, 4, 3),
]
CORRECTIONS = [(m, n, d) for m in ("exact", "semidual", "auction")
               for n in (3000, 12_000) for d in (30, 64)]  # fmt: skip
CORRECTIONS += [("exact", 20_000, 2), ("exact", 20_000, 64), ("exact", 4000, 200)]
RUNS = [
    {"net": "svhn", "d": 64},
    {"net": "svhn", "d": 64, "width": 0.5, "batch": 250},
    {"net": "svhn", "d": 64, "width": 0.5, "dtype": "float64"},
    {"net": "mnist", "d": 30, "n": 1500},
    {"net": "mlp", "d": 30, "n": 20_000, "batch": 1000, "alpha": 0.5},
    {"net": "celeba", "d": 64, "n": 100, "width": 0.5},
]


def taken(work: object) -> float:
    """MiB that a call takes at its peak, its result included; the largest of three."""
    work()
    seen = []
    for _ in range(3):
        with Watch() as watch:
            result = work()
        del result
        seen.append(watch.grown / MIB)
    return max(seen)


def operation(transposed: bool, n: int, a: int, b: int, side: int, k: int,
              kind: str, last: bool) -> dict[str, float]:  # fmt: skip
    """A convolution forwards, and backwards to its input and to its weights."""
    from mcmcot_lite.meter import scratch

    dtype, pad = getattr(torch, kind), k // 2
    if transposed:
        pad, extra = (2, 1) if k == 5 else (0, 0)
        conv = nn.ConvTranspose2d(a, b, k, 2, pad, extra)
    else:
        conv, extra = nn.Conv2d(a, b, k, 1, pad), 0
    conv, x = conv.to(dtype), torch.randn(n, a, side, side).to(dtype)
    if last:
        conv, x = (
            conv.to(memory_format=torch.channels_last),
            x.to(memory_format=torch.channels_last),
        )
    aten, w, how = torch.ops.aten, conv.weight, (list(conv.stride), [pad, pad], [1, 1], transposed)
    out = {}
    with torch.no_grad():
        y = conv(x)
        size = {"y": y, "x": x, "w": w}
        size = {name: t.numel() * t.element_size() / MIB for name, t in size.items()}
        gradient = torch.ones_like(y)
        tail = (*how, [extra, extra], 1)
        out["forward"] = taken(lambda: conv(x)) - size["y"]
        out["told forward"] = scratch(
            aten.convolution.default, (x, w, None, *tail), y, channels_last=last) / MIB  # fmt: skip
        for name, mask in (("input", [True, False, False]), ("both", [True, True, True])):
            args = (gradient, x, w, [b], *tail, mask)
            made = size["x"] + (size["w"] if mask[1] else 0)
            out[name] = taken(lambda args=args: aten.convolution_backward(*args)) - made
            told = scratch(aten.convolution_backward.default, args, y, channels_last=last)
            out[f"told {name}"] = told / MIB
    return out


def kernels(kind: str) -> dict[str, float]:
    """MiB kept for each operation, forwards and backwards, on tensors of a new shape."""
    dtype, found = getattr(torch, kind), {}
    for name, layer in (
        ("convolution", nn.ConvTranspose2d(32, 16, 5, 2, 2, 1)),
        ("product", nn.Linear(128, 784)),
    ):
        layer = layer.to(dtype)
        if name == "convolution":
            layer = layer.to(memory_format=torch.channels_last)
        tail = (32, 8, 8) if name == "convolution" else (128,)
        grown = []
        for n in range(40, 60):
            before = resident()
            x = torch.randn(n, *tail).to(dtype)
            if name == "convolution":
                x = x.contiguous(memory_format=torch.channels_last)
            x.requires_grad_()
            layer(x).sum().backward()
            layer.zero_grad(set_to_none=True)
            del x
            grown.append((resident() - before) / MIB / 3)  # three operations
        found[name] = median(grown[2:])
    return found


def imports() -> dict[str, float]:
    """MiB of what a first run and a first correction load."""
    from mcmcot_lite import MLP, Settings, fit

    found, before = {}, resident()
    x = torch.randint(0, 256, (8, 1, 28, 28), dtype=torch.uint8)
    st = Settings(d=2, K=1, L=1, L2=1, iterations=2, batch_size=8, alpha=0.0)
    fit(MLP(2), x, st, rng=torch.Generator(), progress=False)
    found["a first run"], before = (resident() - before) / MIB, resident()
    import scipy.sparse  # noqa: F401

    found["scipy.sparse"], before = (resident() - before) / MIB, resident()
    import ot  # noqa: F401

    found["ot"] = (resident() - before) / MIB
    return found


def correction(method: str, n: int, d: int) -> dict[str, object]:
    """The peak of one, beside what is told."""
    from mcmcot_lite.transport import transport
    from mcmcot_lite.transport.footprint import correction_bytes

    rng = torch.Generator().manual_seed(0)

    def clouds(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = torch.randn(2, n, d, generator=rng)
        return 1.1 * a + 0.1 * a.tanh(), b

    pair = clouds(n)
    for small in (500, 3000):  # libraries take their memory
        for kind in {method, "exact"}:
            transport(*clouds(small), method=kind, rng=rng)
    with Watch() as watch:
        T = transport(*pair, method=method, rng=rng)
    told = correction_bytes(n, d, method, 0.05, "cpu") / MIB
    return {"method": method, "n": n, "d": d, "mib": watch.grown / MIB, "told": told,
            "status": T.status}  # fmt: skip


PARTS = {"operation": operation, "kernels": kernels, "imports": imports, "correction": correction}


def child(*words: str, kept: bool = False) -> dict:
    """The answer of a process of its own; ``kept``: with the allocator as it comes."""
    env = dict(os.environ)
    env.pop("MALLOC_MMAP_THRESHOLD_", None)
    if not kept:
        env["MALLOC_MMAP_THRESHOLD_"] = "100000"
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True,
                          check=True)  # fmt: skip
    return json.loads(done.stdout)


def part(name: str, *arguments: object) -> dict:
    """One of this file's measurements."""
    found = child(str(HERE / "memory.py"), "--part", name, "--arguments", json.dumps(arguments))
    print(name, arguments, found, flush=True)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=list(PARTS), help="one measurement, in this process")
    parser.add_argument("--arguments", default="[]")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "memory.json")
    a = parser.parse_args()
    torch.set_num_threads(1)
    if a.part:
        print(json.dumps(PARTS[a.part](*json.loads(a.arguments))))
        return
    names = ("transposed", "n", "in", "out", "side", "window", "dtype", "channels_last")
    found = {**machine.record(), "unit": "MiB", "seed": 0, "operations": [], "processes": []}
    for conv in CONVOLUTIONS:
        for kind in ("float32", "bfloat16", "float64", "float16"):
            for last in (True, False):
                row = dict(zip(names, (*conv, kind, last), strict=True))
                found["operations"].append(row | part("operation", *conv, kind, last))
    found["kernels"] = {kind: part("kernels", kind) for kind in ("float32", "bfloat16")}
    found["imports"] = part("imports")
    found["corrections"] = [part("correction", *row) for row in CORRECTIONS]
    for case in RUNS:
        words = str(HERE / "memory_process.py"), json.dumps(case)
        row = {"case": case, "returned": child(*words), "kept": child(*words, kept=True)}
        print(row, flush=True)
        found["processes"].append(row)
    a.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
