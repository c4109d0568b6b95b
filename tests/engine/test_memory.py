"""Predicted memory: exact for what tensors take, and near what a process really takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import net, seeded, settings
from torch import nn

from mcmcot_lite import (
    MLP,
    Compute,
    celeba_generator,
    meter,
    mnist_generator,
    predict_memory,
    svhn_generator,
)
from mcmcot_lite.memory import chosen_chunk
from mcmcot_lite.meter import pass_bytes, scratch
from mcmcot_lite.transport.footprint import correction_bytes

F32 = torch.float32


class Square(nn.Module):
    """(n, d) -> (n, D): one product, whose bytes can be counted by hand."""

    def __init__(self, d, D):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(d, D))

    def forward(self, z):
        return z @ self.w


def test_a_linear_pass_by_hand():
    """Inference holds g(z) and the residual, 2 D for each image; z, its copy and gradients."""
    n, d, D = 1000, 4, 4096
    got = pass_bytes(Square(d, D), n, d, (D,), F32)
    assert 2 * 4 * n * D <= got <= 2 * 4 * n * D + 5 * 4 * n * d
    more = pass_bytes(Square(d, D), 2 * n, d, (D,), F32)
    assert more == pytest.approx(2 * got, rel=0.01)


def test_nothing_is_run_or_drawn_or_changed():
    g = mnist_generator(2, width=0.05, rng=seeded())
    before = {k: v.clone() for k, v in g.state_dict().items()}
    state, mode = torch.get_rng_state(), g.training
    predict_memory(g, 60_000, (1, 28, 28), settings(batch_size=2000))
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert g.training == mode
    assert all(p.requires_grad for p in g.parameters())


def test_what_it_grows_with():
    def total(n=10_000, batch=1000, g=None, shape=(1, 28, 28), **values):
        g = MLP(2) if g is None else g
        return predict_memory(g, n, shape, settings(batch_size=batch, alpha=0.0), **values)

    a, whole = total(), Compute(chunk=10_000)
    one, two = (total(batch=m, compute=whole) for m in (1000, 2000))
    assert two.inference == pytest.approx(2 * one.inference, rel=0.02)
    assert total(batch=2000).inference < 1.1 * a.inference  # taken in two chunks
    assert total(batch=2000).learning == pytest.approx(2 * a.learning, rel=0.02)
    assert total(n=20_000).images == 2 * a.images
    assert total(stored=4).images == 4 * a.images
    assert a.images == 10_000 * 784
    assert a.total >= a.weights + a.images + a.latents
    assert "MiB (weights" in str(a)
    assert a.transport == 0


CPU = torch.device("cpu")


def chunk(g, rows, shape, dtype=F32, **values):
    return chosen_chunk(g, rows, shape, settings(d=g.d, **values), CPU, dtype)


@pytest.mark.parametrize(
    ("make", "shape", "low", "high"),
    [
        (lambda: MLP(2), (1, 28, 28), 1000, 1000),
        (mnist_generator, (1, 28, 28), 200, 300),
        (svhn_generator, (3, 32, 32), 128, 256),
        (celeba_generator, (3, 64, 64), 64, 64),
    ],
)
def test_a_cpu_takes_as_many_images_as_its_caches_serve(make, shape, low, high):
    """The best of a sweep, see mcmcot_lite.memory."""
    g = make()
    most = chunk(g, 10_000, shape)
    parts = -(-10_000 // most)
    assert 0.95 * low <= most <= high
    assert most == -(-10_000 // parts)  # parts of one size
    assert chunk(g, 64, shape) is None
    assert chunk(g, 10_000, shape, torch.float64) <= most


def test_no_chunk_is_chosen_where_it_would_change_the_run_or_cannot_be_known():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.d, self.g = 2, net()

        def forward(self, z):
            return self.g(z) if float(z.sum()) < 1e9 else z

    assert chunk(Asks(), 10_000, (1, 3, 4)) is None
    g = mnist_generator()
    assert chunk(g, 10_000, (1, 28, 28), batchnorm="batch") is None
    assert chunk(MLP(2), 5000, (1, 28, 28), batchnorm="batch") == 1000  # nothing is coupled


PROCESS = Path(__file__).parents[2] / "benchmarks" / "memory_process.py"
STORED = PROCESS.parents[1] / "results" / "memory.json"


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc, which Linux alone has"
)
@pytest.mark.parametrize(
    "case",
    [
        {"net": "mlp", "d": 30, "n": 20_000},
        {"net": "mlp", "d": 2, "n": 20_000, "batch": 500, "stored": 4},
        {"net": "mlp", "d": 2, "n": 20_000, "batch": 1000, "stored": 4, "alpha": 0.5},
        {"net": "mlp", "d": 2, "n": 8000, "batch": 1000, "alpha": 0.5},
        {"net": "mlp", "d": 30, "n": 6000, "batch": 1000, "alpha": 0.5, "transport": "semidual"},
        {"net": "mlp", "d": 30, "n": 10_000, "batch": 1000, "alpha": 0.5, "transport": "auction"},
        {"net": "mlp", "d": 30, "n": 3000, "batch": 500, "alpha": 0.5, "fresh": True},
        {"net": "mlp", "d": 10, "n": 5000, "batch": 2000, "precision": "bf16"},
        {"net": "mlp", "d": 10, "n": 5000, "batch": 2000, "dtype": "float64"},
        {"net": "mnist", "d": 30, "n": 1500},
        {"net": "mnist", "d": 30, "n": 1500, "batchnorm": "batch"},
        {"net": "mnist", "d": 30, "n": 3000, "batch": 64, "alpha": 0.5},
        {"net": "mnist", "d": 30, "width": 0.5, "batch": 250, "channels_last": False},
        {"net": "mnist", "d": 30, "width": 0.25, "batch": 250, "fresh": True},
        {"net": "svhn", "d": 64},
        {"net": "svhn", "d": 64, "batchnorm": "batch"},
        {"net": "svhn", "d": 64, "n": 3000, "batch": 250, "alpha": 0.5},
        {"net": "svhn", "d": 64, "width": 0.5, "batch": 250},
        {"net": "svhn", "d": 64, "n": 128, "precision": "bf16"},
        {"net": "svhn", "d": 64, "width": 0.5, "precision": "bf16", "batchnorm": "batch"},
        {"net": "svhn", "d": 64, "width": 0.5, "dtype": "float64"},
        {"net": "celeba", "d": 64, "n": 100, "width": 0.5, "channels_last": False},
        {"net": "celeba", "d": 64, "n": 48, "width": 0.5, "precision": "bf16"},
        {"net": "mlp", "d": 100, "n": 1000, "K": 100},
        {"net": "mlp", "d": 128, "n": 4000, "batch": 1000, "alpha": 0.5},
        {"net": "svhn", "d": 64, "n": 32, "precision": "fp16"},
        {"net": "wide", "d": 10, "n": 1000, "batch": 100, "saved": True},
        {"net": "svhn", "d": 64, "batch": 64, "batchnorm": "batch", "saved": True},
    ],
    ids=lambda case: " ".join(str(v) for v in case.values()),
)
def test_a_process_takes_what_was_told(case, tmp_path):
    """Within 15 %. Small blocks are mapped, so that what is freed leaves the process at once."""
    done = subprocess.run(
        [sys.executable, str(PROCESS), json.dumps(case)],
        env={"MALLOC_MMAP_THRESHOLD_": "100000", "PATH": "", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["ratio"] == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("able", [True, False], ids=["bf16 in the CPU", "not"])
def test_what_a_convolution_takes_for_itself_by_hand(able, monkeypatch):
    """Of 10 images (6, 8, 8), transposed to (4, 16, 16) by 5 x 5 windows, in each dtype."""
    theirs = (F32, torch.bfloat16) if able else (F32,)
    monkeypatch.setattr(meter, "onednn", lambda dtype: dtype in theirs)
    n, a, b, k, side = 10, 6, 4, 5, 8

    def bytes_of(dtype, last, transposed=True, mask=None):
        conv = (
            torch.nn.ConvTranspose2d(a, b, k, 2, 2, 1) if transposed else nn.Conv2d(a, b, k, 1, 2)
        )
        x = torch.zeros(n, a, side, side, dtype=dtype, device="meta")
        w = conv.weight.to("meta", dtype)
        y = torch.zeros(n, b, *(2 * [side * (2 if transposed else 1)]), dtype=dtype, device="meta")
        aten = torch.ops.aten
        how = ([1, 1], [2, 2], [1, 1], transposed, [0, 0], 1)
        if mask is None:
            args, func = (x, w, None, *how), aten.convolution.default
        else:
            args, func = (y, x, w, None, *how, mask), aten.convolution_backward.default
        got = scratch(func, args, y, channels_last=last)
        return got, *(t.numel() * t.element_size() for t in (x, y, w))

    for dtype in theirs:
        got, X, Y, W = bytes_of(dtype, True)
        assert got == W
        assert bytes_of(dtype, True, mask=[True, False, False])[0] == W
        assert bytes_of(dtype, True, mask=[True, True, False])[0] == 2 * W
        assert bytes_of(dtype, False)[0] == max(X + W, 2 * Y)
        assert bytes_of(dtype, False, mask=[True, False, False])[0] == max(Y + W, X)
        extra = 2 * W if dtype != F32 else 0
        assert bytes_of(dtype, False, mask=[True, True, False])[0] == X + Y + extra
    columns = n * side * side * b * k * k * 8
    assert bytes_of(torch.float64, True)[0] == columns
    assert bytes_of(torch.float16, True)[0] == columns / 4
    if not able:
        assert bytes_of(torch.bfloat16, True)[0] == columns / 4
    assert bytes_of(torch.float64, True, mask=[True, True, False])[0] == 0
    columns = n * side * side * a * k * k * 8
    assert bytes_of(torch.float64, True, transposed=False)[0] == columns
    assert bytes_of(torch.float64, True, transposed=False, mask=[False, True, False])[0] == columns


def test_who_computes_a_dtype():
    """float32 oneDNN, float64 PyTorch; the others as the CPU has instructions for them."""
    assert meter.onednn(F32)
    assert not meter.onednn(torch.float64)
    linux = sys.platform.startswith("linux")
    flags = Path("/proc/cpuinfo").read_text() if linux else "avx512bw"
    if "avx" in flags and "avx512bw" not in flags and "avx_ne_convert" not in flags:
        assert not meter.onednn(torch.float16)
        assert not meter.onednn(torch.bfloat16)


def test_a_correction_by_each_solver():
    """What was measured of single solves of 12,000 points, within a quarter."""
    rows = [r for r in json.loads(STORED.read_text())["corrections"] if r["n"] == 12_000]
    assert {r["method"] for r in rows} == {"exact", "semidual", "auction"}
    for r in rows:
        told = correction_bytes(r["n"], r["d"], r["method"], 0.05, "cpu") / 2**20
        assert told == pytest.approx(r["mib"], rel=0.25)
    assert correction_bytes(100, 2, "exact", 0.05, "cpu") < 2 << 20


def test_processes_share_a_batch():
    g, st = svhn_generator(), settings(d=64, batch_size=2000)
    one = predict_memory(g, 8000, (3, 32, 32), st, Compute(chunk=10_000))
    each = predict_memory(g, 1000, (3, 32, 32), st, Compute(chunk=10_000), processes=8)
    assert each.inference < one.inference / 4
    assert each.weights == one.weights
    assert each.transport == one.transport  # a correction is everybody's
    assert each.images == one.images / 8


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"n": 0}, ValueError),
        ({"n": 1.5}, TypeError),
        ({"stored": 0}, ValueError),
        ({"stored": 2}, ValueError),
        ({"processes": 0}, ValueError),
        ({"g": None}, TypeError),
        ({"g": lambda z: z}, TypeError),
        ({"g": nn.ReLU()}, ValueError),
        ({"g": net().requires_grad_(False)}, ValueError),
        ({"g": MLP(5, (1, 3, 4))}, ValueError),
        ({"settings": {}}, TypeError),
        ({"compute": "bf16"}, TypeError),
        ({"device": "gpu"}, ValueError),
        ({"device": "meta"}, ValueError),
        ({"device": 5}, TypeError),
        ({"device": None}, TypeError),
        ({"shape": 28}, TypeError),
        ({"shape": ()}, TypeError),
        ({"shape": (1, -3, 4)}, ValueError),
        ({"shape": (1, 3, 5)}, ValueError),
    ],
)
def test_bad_input(values, kind):
    """Named, with the rule, what came and what to do."""
    arguments = {"g": net(), "n": 10, "shape": (1, 3, 4), "settings": settings()} | values
    with pytest.raises(kind, match=r"(?s)^\S.* must .*got .*\. \S") as error:
        predict_memory(**arguments)
    if "g" not in values and values != {"shape": (1, 3, 5)}:
        assert next(iter(values)) in str(error.value)


def test_a_network_that_reads_its_data_cannot_be_metered():
    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.g = net()

        def forward(self, z):
            return self.g(z) if float(z.sum()) < 1e9 else z

    with pytest.raises(ValueError, match="without data"):
        predict_memory(Asks(), 10, (1, 3, 4), settings())


def test_networks_of_table_1_need_no_data():
    big = predict_memory(svhn_generator(), 73_257, (3, 32, 32), settings(d=64, batch_size=5000))
    assert 2e9 < big.total < 8e9


def test_a_gpu_that_is_not_here_computes_in_bf16():
    g, st = svhn_generator(), settings(d=64, batch_size=500)
    whole = predict_memory(g, 500, (3, 32, 32), st, Compute(chunk=500))
    half = predict_memory(g, 500, (3, 32, 32), st, Compute(precision="bf16"), device="cuda")
    assert half.inference < 0.8 * whole.inference
    if not torch.cuda.is_available():
        assert predict_memory(g, 500, (3, 32, 32), st, device="cuda") == half
