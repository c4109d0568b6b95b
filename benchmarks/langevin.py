"""Image-steps per second of Langevin inference, against the loops of public code and the floor.

    python benchmarks/langevin.py                  # this CPU
    python benchmarks/langevin.py --device cuda    # a GPU, each option alone and together
    python benchmarks/langevin.py --batchnorm batch --nets mnist svhn celeba  # a batch's statistics

All loops start at the same latents, take K steps for one batch and run in turns in one process, in
a random order each turn; a row holds the median over the turns, ratios are medians of the ratios of
a turn. Ours folds BatchNorm anew in each turn, as a run does after each learning step.

(a) `torch.autograd.grad` of the log-joint each step, PyTorch's defaults, the whole batch at once.
(b) the same with TF32 off (differs from (a) on a GPU only).
(c) `loss.backward()` with parameters that require gradients.
(d) the floor: operations of a step, counted, over the rate of a large matrix product measured here.

On a CPU there are two batches for each network, a small one and one on the way to the paper's
2,000, and (a) runs in the chunks of our engine as well: so much of the gain is theirs.

Every row of ours has a Compute; its chunk is the engine's choice. Its latents after K = 50 steps
are compared with float32's. The networks have learned a little before, from digits blown up to
their size, so that the data pull at the latents; how much, says the row "no network", where only
the prior pulls.

With `--batchnorm batch` every loop normalises by the statistics of the batch, as the paper's script
does and the presets paper and t4: nothing is folded then, and the batch stays whole. These rows are
kept beside the others, under "batch".
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import machine
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mcmcot_lite import (
    MLP,
    Compute,
    Settings,
    celeba_generator,
    data,
    fit,
    mnist_generator,
    svhn_generator,
)
from mcmcot_lite.engine import LOW, Engine
from mcmcot_lite.freezing import frozen
from mcmcot_lite.memory import chosen_chunk

RESULTS = Path(__file__).resolve().parent.parent / "results"
SIGMA, S = 0.3, 0.03
Sizes = tuple[int, ...]
NETS: dict[str, tuple[Callable[[], nn.Module], int, Sizes, Sizes]] = {  # d, batches on a CPU, a GPU
    "mlp": (lambda: MLP(2), 2, (500, 4000), (20_000,)),
    "mnist": (mnist_generator, 30, (250, 2000), (10_000,)),
    "svhn": (svhn_generator, 64, (128, 1000), (5_000,)),
    "celeba": (celeba_generator, 64, (32, 128), (2_000,)),
}
GPU = {
    "fp32": Compute(precision="fp32", channels_last=False),
    "fp32, channels last": Compute(precision="fp32"),
    "tf32": Compute(precision="tf32"),
    "bf16, channels first": Compute(precision="bf16", channels_last=False),
    "bf16": Compute(precision="bf16"),
    "bf16, compiled": Compute(precision="bf16", compile=True),
    "bf16, graphs": Compute(precision="bf16", graphs=True),
    "bf16, compiled, graphs": Compute(precision="bf16", compile=True, graphs=True),
    "fp16": Compute(precision="fp16"),
}
CPU = {
    "fp32, channels first": Compute(channels_last=False),
    "fp32": Compute(),
    "bf16": Compute(precision="bf16"),
}


def wait(device: str) -> None:
    """Until the device has done all work."""
    if device == "cuda":
        torch.cuda.synchronize()


def usual(g: nn.Module, x: Tensor, z: Tensor, K: int, backward: bool) -> Tensor:
    """What most public code does: (a), or (c) with ``backward``."""
    for _ in range(K):
        z = z.detach().requires_grad_(True)
        loss = (x - g(z)).square().sum() / (2 * SIGMA**2) + z.square().sum() / 2
        if backward:
            g.zero_grad(set_to_none=True)
            loss.backward()
            grad = z.grad
        else:
            (grad,) = torch.autograd.grad(loss, z)
        z = z - S**2 / 2 * grad + S * torch.randn_like(z)
    return z.detach()


def in_chunks(g: nn.Module, x: Tensor, z: Tensor, K: int, chunk: int) -> Tensor:
    """(a), chunk after chunk."""
    parts = zip(x.split(chunk), z.split(chunk), strict=True)
    return torch.cat([usual(g, images, latents, K, backward=False) for images, latents in parts])


def without_tf32(work: Callable[[], object]) -> None:
    """Runs it with TF32 off."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = False
    work()
    for flag, was in zip(flags, before, strict=True):
        flag.allow_tf32 = was


def draws(z: Tensor, K: int) -> Iterator[Tensor]:
    """The same noise for all."""
    rng = torch.Generator(z.device).manual_seed(0)
    return (torch.randn(z.shape, generator=rng, device=z.device) for _ in range(K))


def ours(engine: Engine, g: nn.Module, x: Tensor, z: Tensor, st: Settings) -> Tensor:
    """The engine's inference after a learning step, noise drawn on the way."""
    engine.weights_changed()
    with engine.running(g):
        return engine.infer(g, z, x, None, draws(z, st.K), st)


def without_network(z: Tensor, K: int) -> Tensor:
    """Where the chains go when only the prior pulls."""
    for e in draws(z, K):
        z = z - S**2 / 2 * z + S * e
    return z


def images(shape: Sizes, n: int) -> Tensor:
    """n digits of MNIST, blown up to this shape; repeated where there are too few."""
    x = data.mnist5k().images()
    x = F.interpolate(x, shape[1:], mode="bilinear").expand(-1, shape[0], -1, -1)
    return (x[torch.arange(n) % len(x)] * 255).byte()


def taught(g: nn.Module, d: int, x: Tensor) -> None:
    """Lets g learn a little: 40 steps of Adam."""
    st = Settings(d=d, K=5, L2=5, iterations=8, batch_size=len(x), lr=2e-3, alpha=0.0, s=S)
    fit(g, x, st, rng=torch.Generator(x.device).manual_seed(0), progress=False)
    g.eval()


def rate(device: str, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product."""
    n = 8192 if device == "cuda" else 2048
    a, b = torch.randn(2, n, n, device=device).to(dtype)
    best = float("inf")
    for _ in range(8):
        wait(device)
        begin = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - begin)
    return 2 * n**3 / best


def operations(g: nn.Module, d: int, device: str) -> float:
    """Of one image and step: the products forwards, counted, and as many backwards to z."""
    with torch.no_grad(), frozen(g), FlopCounterMode(display=False) as counter:
        g(torch.randn(8, d, device=device))
    return 2 * counter.get_total_flops() / 8


def in_turns(
    loops: dict[str, Callable[[], object]], a: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of each loop in each turn, and what failed."""
    seconds: dict[str, list[float]] = {label: [] for label in loops}
    failed: dict[str, str] = {}
    order = random.Random(0)
    for turn in range(a.turns + 1):
        for label in order.sample(list(loops), len(loops)):
            if label in failed:
                continue
            try:
                wait(a.device)
                begin = time.perf_counter()
                loops[label]()
                wait(a.device)
            except Exception as error:  # an option that does not work here is a result, too
                failed[label] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
                continue
            if turn:  # the first one warms up
                seconds[label].append(time.perf_counter() - begin)
    return seconds, failed


def row(name: str, n: int, a: argparse.Namespace, rates: dict[str, float]) -> dict[str, object]:
    """One network and batch: everything in turns."""
    make, d, _, _ = NETS[name]
    torch.manual_seed(0)
    g = make().to(a.device)
    with torch.no_grad():
        x = images(tuple(g(torch.zeros(2, d, device=a.device)).shape[1:]), n).to(a.device)
    taught(g, d, x[:64])
    if a.batchnorm == "batch":
        g.train()  # the usual loops; ours takes its word from the settings
    z, floats = torch.randn(n, d, device=a.device), x.float() / 255
    last = copy.deepcopy(g).to(memory_format=torch.channels_last)  # a run does so once
    K = a.K
    st = Settings(d=d, K=K, s=S, sigma=SIGMA, batch_size=n, batchnorm=a.batchnorm)
    loops: dict[str, Callable[[], object]] = {
        "(a)": lambda: usual(g, floats, z, K, backward=False),
        "(c)": lambda: usual(g, floats, z, K, backward=True),
    }
    if a.device == "cuda":
        loops["(b)"] = lambda: without_tf32(lambda: usual(g, floats, z, K, backward=False))
    engines = {}
    for label, compute in (GPU if a.device == "cuda" else CPU).items():
        engine = engines[label] = Engine(compute, x.device, torch.float32)
        low = LOW.get(engine.precision, torch.float32)
        if a.batchnorm == "running":
            engine.chunk = chosen_chunk(g, n, tuple(x.shape[1:]), st, x.device, low)
        f = last if compute.channels_last else g
        loops[f"ours, {label}"] = lambda engine=engine, f=f: ours(engine, f, x, z, st)
    chunk = engines["fp32"].chunk or n  # with a batch's statistics, all
    if chunk < n:
        loops["(a), in our chunks"] = lambda: in_chunks(g, floats, z, K, chunk)
    seconds, failed = in_turns(loops, a)
    flop = operations(g, d, a.device)
    long = replace(st, K=50)
    few = 32 if a.device == "cpu" else n
    plain = Compute(precision="fp32", channels_last=False)
    exact = ours(Engine(plain, x.device, torch.float32), g, x[:few], z[:few], long)

    def away(got: Tensor) -> float:
        return float((got - exact).abs().mean() / exact.std())

    table = {"no network": {"difference_after_50": away(without_network(z[:few], 50))}}
    for label, times in seconds.items():
        if not times:
            table[label] = {"failed": failed[label]}
            continue
        speed = n * K / median(times)
        entry = {"image_steps_per_second": speed, "seconds": times}
        for other in ("(a)", "(b)", "(c)"):
            if seconds.get(other):
                pairs = zip(seconds[other], times, strict=True)
                entry[f"times_{other[1]}"] = median(x / y for x, y in pairs)
        low = "bf16" if "bf16" in label else "fp16" if "fp16" in label else "fp32"
        entry["share_of_matrix_rate"] = speed * flop / rates[low]
        if label.startswith("ours"):
            engine = engines[label.removeprefix("ours, ")]
            f = last if engine.compute.channels_last else g
            got = ours(engine, f, x[:few], z[:few], long)
            entry["difference_after_50"] = away(got)
        table[label] = entry
    print(name, n, {k: {i: round(j, 3) for i, j in v.items() if isinstance(j, float)}
                 for k, v in table.items()}, flush=True)  # fmt: skip
    return {"net": name, "batch": n, "chunk": chunk, "K": K, "flop": flop, "loops": table}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=list(NETS))
    parser.add_argument("--batchnorm", default="running", choices=("running", "batch"))
    parser.add_argument("--batch", type=int, help="images; by default a size for each network")
    parser.add_argument("--K", type=int, default=5)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS / "langevin.json")
    a = parser.parse_args()
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    if a.device == "cuda":
        kinds["fp16"] = torch.float16
    rates = {name: rate(a.device, dtype) for name, dtype in kinds.items()}
    sizes = {
        name: [a.batch] if a.batch else NETS[name][2 if a.device == "cpu" else 3] for name in a.nets
    }
    if a.batchnorm == "batch":
        sizes = {name: batches[-1:] for name, batches in sizes.items()}
    found = {
        **machine.record(a.device),
        "seed": 0,
        "turns": a.turns,
        "matrix_rate": rates,
        "nets": {f"{name}, {n}": row(name, n, a, rates) for name in sizes for n in sizes[name]},
    }
    record = json.loads(a.out.read_text()) if a.out.exists() else {}
    mine = record.setdefault(a.device, {})
    if a.batchnorm == "batch":
        mine["batch"] = found
    else:
        kept = {"batch": mine["batch"]} if "batch" in mine else {}
        record[a.device] = found | kept
    a.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
