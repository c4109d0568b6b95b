"""Predicted memory: exact for what tensors take, and near what a process really takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers import net, seeded, settings
from torch import nn

from mcmcot_lite import (
    MLP,
    Compute,
    celeba_generator,
    mnist_generator,
    predict_memory,
    svhn_generator,
)
from mcmcot_lite.memory import chosen_chunk, pass_bytes

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


SCRIPT = """
import sys, tempfile, threading, time, torch
torch.set_num_threads(1)
from mcmcot_lite import MLP, Settings, fit, mnist_generator, predict_memory, svhn_generator
kind, d, n, batch, bytes_, alpha, batchnorm, *saved = sys.argv[1:]
make, shape = {
    "mlp": (lambda: MLP(int(d)), (1, 28, 28)),
    "wide": (lambda: MLP(int(d), hidden=(4000, 4000)), (1, 28, 28)),
    "mnist": (mnist_generator, (1, 28, 28)),
    "svhn": (svhn_generator, (3, 32, 32)),
}[kind]
def settings(size):
    return Settings(
        d=int(d), K=1, L=1, L2=1, iterations=2, batch_size=size, batchnorm=batchnorm,
        alpha=float(alpha), transport="exact",
    )
x = torch.randint(0, 256, (int(n), *shape), dtype=torch.uint8)
x = x if bytes_ == "1" else x.float().div_(255)
g, st = make(), settings(int(batch))
held = sum(p.numel() for p in g.parameters()) * 4 + x.numel() * x.element_size()  # there before
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
# Libraries take their memory.
fit(make(), x[:8], settings(8), rng=torch.Generator(), progress=False)
base = peak = resident()
on = True
def watch():
    global peak
    while on:
        peak = max(peak, resident())
        time.sleep(0.001)
thread = threading.Thread(target=watch)
thread.start()
with tempfile.TemporaryDirectory() as folder:
    out = dict(out=folder, every=0.0) if saved else {}
    fit(g, x, st, rng=torch.Generator(), progress=False, **out)
on = False
thread.join()
told = predict_memory(g, len(x), shape, st, stored=x.element_size()).total
print((peak - base + held) / told)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "case",
    [
        "mlp 30 20000 20000 1 0 running",
        "mlp 2 20000 500 4 0 running",
        "mlp 2 20000 1000 4 0.5 running",
        "mlp 2 8000 1000 1 0.5 running",
        "mnist 30 1500 1500 1 0 running",
        "mnist 30 1500 1500 1 0 batch",
        "mnist 30 3000 64 1 0.5 running",
        "svhn 64 500 500 1 0 running",
        "svhn 64 500 500 1 0 batch",
        "svhn 64 3000 250 1 0.5 running",
        "wide 10 1000 100 1 0 running saved",
        "svhn 64 500 64 1 0 batch saved",
    ],
)
def test_a_process_takes_what_was_told(case, tmp_path):
    """Within 15 %. Small blocks are mapped, so that what is freed leaves the process at once."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *case.split()],
        env={"MALLOC_MMAP_THRESHOLD_": "100000", "PATH": "", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) == pytest.approx(1.0, abs=0.15)


def test_processes_share_a_batch():
    g, st = svhn_generator(), settings(d=64, batch_size=2000)
    one = predict_memory(g, 8000, (3, 32, 32), st, Compute(chunk=10_000))
    each = predict_memory(g, 1000, (3, 32, 32), st, Compute(chunk=10_000), processes=8)
    assert each.inference < one.inference / 4
    assert each.weights == one.weights


@pytest.mark.parametrize(
    ("values", "kind"),
    [({"n": 0}, ValueError), ({"n": 1.5}, TypeError), ({"stored": 0}, ValueError)],
)
def test_bad_input(values, kind):
    arguments = {"n": 10, "stored": 1} | values
    with pytest.raises(kind, match="must be"):
        predict_memory(net(), arguments["n"], (1, 3, 4), settings(), stored=arguments["stored"])


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
