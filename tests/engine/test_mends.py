"""What once went wrong in long runs, each in the smallest form that showed it."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from engine.test_engine import Small
from engine.test_resume import stopped_after, train
from helpers import SHAPE, images, net, same_runs, seeded, settings
from torch import nn

from mcmcot_lite import Compute, checkpoint, engine, fit, mnist_generator, schedules, snapshot
from mcmcot_lite.checkpoint import Checkpoints, as_folder, read_checkpoint
from mcmcot_lite.density import raw_score
from mcmcot_lite.engine import Engine, out_of_memory
from mcmcot_lite.freezing import frozen
from mcmcot_lite.learning import raw_learn
from mcmcot_lite.schedules import SCHEDULE, Run, State, batches_in
from mcmcot_lite.synced import _forward
from mcmcot_lite.train import _Saver
from mcmcot_lite.world import ALONE, World

SQUARE = (1, 28, 28)


def faces(n=20):
    return torch.rand(n, *SQUARE, generator=seeded())


def conv(seed=0):
    return mnist_generator(3, width=0.02, rng=seeded(seed))


# ---- going on


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("batches", [1, 2, 5, 6])
def test_a_batch_that_is_one_smaller_does_not_decide_how_inference_is_done(
    batches, masked, tmp_path, monkeypatch
):
    """K times the batch was 1,000 for one batch and 990 for the next: folded, and not folded."""
    st = settings(d=3, s=0.02, K=10, batch_size=100, iterations=2, L2=1)
    x = faces(199)
    mask = x < 0.7 if masked else None
    whole = train(None, st, conv(), x, mask=mask)
    stopped_after(monkeypatch, batches, out=tmp_path, st=st, g=conv(), x=x, mask=mask)
    assert same_runs(whole, train(tmp_path, st, conv(1), x, mask=mask))


def as_from_a_gpu(data):
    """The optimiser's state as a GPU would have stored it: fused, in another memory layout."""
    for group in data["optimiser"]["param_groups"]:
        group["fused"] = True
    for state in data["optimiser"]["state"].values():
        for name, value in state.items():
            if value.ndim == 4:
                other = torch.channels_last if value.is_contiguous() else torch.contiguous_format
                state[name] = value.contiguous(memory_format=other)
    return data


@pytest.mark.parametrize("channels_last", [False, True])
def test_adam_goes_on_whatever_the_layout_in_the_file(channels_last, tmp_path, monkeypatch):
    st, compute = settings(d=3, s=0.02, batch_size=10), Compute(channels_last=channels_last)
    whole = train(None, st, conv(), faces(), compute=compute)
    stopped_after(monkeypatch, 9, out=tmp_path, st=st, g=conv(), x=faces(), compute=compute)
    folder = Checkpoints(tmp_path)
    folder.save(as_from_a_gpu(folder.load()[0]))
    assert same_runs(whole, train(tmp_path, st, conv(1), faces(), compute=compute))


@pytest.mark.filterwarnings("ignore:The device ran out of memory")
def test_a_run_that_ran_short_of_memory_goes_on_in_parts(tmp_path, monkeypatch):
    """With BatchNorm the parts of a learning batch are part of the mathematics."""

    def made(seed):
        torch.manual_seed(seed)
        layers = nn.Linear(2, 12), nn.BatchNorm1d(12), nn.Unflatten(1, SHAPE)
        return Small(6, nn.Sequential(*layers))

    st = settings(batch_size=12, schedule="released", iterations=2, regression=1)
    whole = train(None, st, made(0))
    stopped_after(monkeypatch, 3, out=tmp_path, st=st, g=made(0))
    kept = Checkpoints(tmp_path).load()[0]
    assert kept["shortage"] == {"chunk": 6, "parts": 2, "short": True}
    assert same_runs(whole, train(tmp_path, st, made(1)))


def test_every_checkpoint_of_a_diverging_run_can_be_gone_on_with(tmp_path, monkeypatch):
    st = settings(d=3, s=0.02, batch_size=10, schedule="released", lr=1e29, L2=1, regression=1)
    with pytest.raises(FloatingPointError, match=r"Iteration 1: g must .* lr = 1e\+29"):
        train(tmp_path, st, conv(), faces())
    for path in Checkpoints(tmp_path).files():
        data = read_checkpoint(path)
        g = conv()
        g.load_state_dict(data["g"])
        with torch.no_grad():
            assert torch.isfinite(g.eval()(data["z_hat"])).all()


def test_a_finite_loss_with_infinite_gradients_does_not_train_on_in_fp16():
    class Scaler:
        def scale(self, loss):
            return loss

        def step(self, optimiser):
            pass  # skipped: gradients overflowed

        def update(self):
            pass

        def get_scale(self):
            return 1e-4

    g = net()
    adam = torch.optim.Adam(g.parameters())
    with pytest.raises(FloatingPointError, match="g must have finite gradients; got NaN or inf"):
        raw_learn(g, images(), torch.zeros(23, 2), adam, 0.3, None, scaler=Scaler())


def test_processes_that_see_other_checkpoints_are_told(tmp_path):
    class Far(World):
        def share(self, *tensors):
            for t in tensors:
                t.fill_(-1)  # process 0 found none

        def any(self, flag, device="cpu"):
            return flag

    saver = object.__new__(_Saver)
    g = net()
    adam = torch.optim.Adam(g.parameters())
    state = State(torch.zeros(23, 2), torch.zeros(23, 2))
    engine = Engine(Compute(), torch.device("cpu"), torch.float32)
    saver.run = Run(g, images(), None, 23, settings(), seeded(), adam, engine, state, Far(1, 2))
    saver._agree(None)
    train(tmp_path)
    with pytest.raises(RuntimeError, match="must show all processes the same checkpoint"):
        saver._agree(Checkpoints(tmp_path).load())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_batchnorm_over_processes_counts_beyond_sixteen_bits(dtype):
    layer = nn.BatchNorm2d(4).train()
    twin = nn.BatchNorm2d(4).train()
    v = torch.randn(271, 4, 32, 32, generator=seeded()) + 1
    got, want = _forward(layer, ALONE, v.to(dtype)), twin(v.to(dtype).float())
    assert got.dtype == dtype
    assert torch.allclose(got.float(), want, atol=0.02)
    assert torch.allclose(layer.running_var, twin.running_var, rtol=1e-3)


def test_adams_steps_of_a_cpu_follow_the_weights_to_another_device():
    g = net()
    adam = torch.optim.Adam(g.parameters())
    raw_learn(g, images(), torch.zeros(23, 2), adam, 0.3, None)
    there = net().to("meta")
    fused = torch.optim.Adam(there.parameters())
    fused.param_groups[0]["fused"] = True
    run = namedtuple("Run", "optimiser")(fused)
    snapshot._restore_optimiser(run, adam.state_dict())
    assert fused.param_groups[0]["fused"] is True
    for state in fused.state.values():
        assert {v.device.type for v in state.values()} == {"meta"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 1; got 2"),
        ({"z_hat": None}, "z_hat"),
        ({"history": "x"}, "history"),
        ({"settings": 5}, "settings"),
        ({"z_hat": torch.zeros(5, 2)}, r"\[5, 23\] latents of 23 images"),
        ({"at": {"k": 1}}, r"at \[1, None, None\]"),
    ],
)
def test_a_checkpoint_of_another_making_is_refused_in_one_line(change, words, tmp_path):
    train(tmp_path)
    folder = Checkpoints(tmp_path)
    folder.save(folder.load()[0] | change)
    with pytest.raises(ValueError, match=f"out must hold a run of .*{words}"):
        train(tmp_path)


def test_infinite_moments_of_adam_are_found():
    st = settings(sigma=1e-11, s=1e-12, K=1, L=1, alpha=0.0, iterations=3)
    with pytest.raises(FloatingPointError, match="NaN or infinity in weights, Adam"):
        train(None, st)


# ---- files


Usage = namedtuple("Usage", "total used free")


def test_a_disk_without_room_for_three_checkpoints_is_found_before_the_run(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 2000))
    with pytest.raises(OSError, match=r"3 of about \d+ KiB are needed, 1 KiB are free") as caught:
        train(tmp_path / "run", callbacks=[calls.append])
    assert caught.value.errno == errno.ENOSPC
    assert calls == []


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 no zip", "text", {"format": 1}, {"g": {}}, [1, 2]],
    ids=["empty", "broken zip", "text", "no weights", "no format", "list"],
)
def test_other_content_with_a_right_sum_is_passed_over(content, tmp_path):
    train(tmp_path)
    good, body = Checkpoints(tmp_path).files()[0], io.BytesIO()
    if isinstance(content, bytes):
        body.write(content)
    else:
        torch.save(content, body)
    path = good.with_name("checkpoint-0000009999.pt")
    sum_ = checkpoint.hashlib.sha256(body.getbuffer()).hexdigest().encode()
    path.write_bytes(body.getvalue() + checkpoint.MARK + sum_)
    with pytest.raises(ValueError, match=str(path)):
        read_checkpoint(path)
    with pytest.warns(UserWarning, match="passed over") as said:
        assert Checkpoints(tmp_path).load()[1] == good
    assert f"Going on from {good.name}" in str(said[1].message)


def test_a_run_of_another_dtype_is_refused_and_nothing_changes(tmp_path):
    """Bytes have one fingerprint in every dtype; so the network must tell."""
    x = (images() * 255).byte()
    st = settings(iterations=2)
    fit(net(), x, st, rng=seeded(), progress=False, out=tmp_path)
    g, rng = net().double(), seeded()
    before, state = {k: v.clone() for k, v in g.state_dict().items()}, rng.get_state()
    with pytest.raises(ValueError, match=r"torch.float32 there, torch.float64 here"):
        fit(g, x, settings(iterations=3), rng=rng, progress=False, out=tmp_path)
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    assert torch.equal(rng.get_state(), state)


def test_a_checkpoint_is_written_without_a_copy_of_it(tmp_path):
    """Piece by piece: no piece is larger than the largest tensor, and the sum is that of all."""
    tensors = {"format": 1, "g": {str(i): torch.full((1000,), float(i)) for i in range(50)}}
    pieces, real = [], checkpoint._Summed.write

    def write(self, piece):
        pieces.append(len(piece))
        return real(self, piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint._Summed, "write", write)
        path = Checkpoints(tmp_path).save(tensors)
    assert max(pieces) <= 4000 + 4096
    assert sum(pieces) > 50 * 4000
    held = read_checkpoint(path)["g"]
    assert all(torch.equal(v, held[k]) for k, v in tensors["g"].items())


@pytest.mark.parametrize("after", [0, 1, 5, 60])
def test_a_disk_that_fills_while_a_checkpoint_is_written(after, tmp_path, monkeypatch):
    tensors = {"format": 1, "g": {str(i): torch.zeros(1000) for i in range(50)}}
    store = Checkpoints(tmp_path)
    first = store.save(tensors)
    count, real = iter(range(10**6)), checkpoint._Summed.write

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, piece):
            if next(count) >= after:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(piece)

    def write(self, piece):
        self.file = self.file if isinstance(self.file, Full) else Full(self.file)
        return real(self, piece)

    monkeypatch.setattr(checkpoint._Summed, "write", write)
    with pytest.raises(OSError, match="could not be written: No space left on device"):
        store.save(tensors)
    assert store.files() == [first]
    assert list(tmp_path.iterdir()) == [first]


def test_a_folder_with_the_name_of_a_part_is_left_alone(tmp_path):
    (tmp_path / "mine.part").mkdir()
    fit(net(), images(), settings(iterations=1), rng=seeded(), progress=False, out=tmp_path)
    assert (tmp_path / "mine.part").is_dir()


def test_what_a_killed_process_left_among_the_pictures_goes(tmp_path):
    (tmp_path / "pictures").mkdir()
    left = tmp_path / "pictures" / "000001.png.part"
    left.touch()
    train(tmp_path)
    assert not left.exists()


def test_a_home_of_nobody():
    with pytest.raises(ValueError, match="out must be a path that exists for a known user"):
        as_folder("out", "~nobodyatall/x")


# ---- the schedule


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_batches_are_counted_without_going_through_them(schedule, alpha):
    extra = {"regression": 2} if schedule == "released" else {}
    st = settings(schedule=schedule, alpha=alpha, iterations=7, L=3, **extra)
    state = State(torch.zeros(23, 2), torch.zeros(23, 2))
    run = Run(net(), images(), None, 23, st, seeded(), None, None, state)
    places = [
        (k, i, batch)
        for k in range(1, st.iterations + 1)
        for i, stage in enumerate(SCHEDULE[schedule](st, k))
        for batch in range(schedules._parts(run, stage))
    ]
    for done, (state.k, state.stage, state.batch) in enumerate(places):
        assert batches_in(run) == (len(places), done)
    state.k, state.stage, state.batch = st.iterations + 1, 0, 0
    assert batches_in(run) == (len(places), len(places))


def test_a_run_without_an_end_begins_at_once():
    st = settings(schedule="released", iterations=2**31 - 1, L=2**31 - 1, regression=2**31 - 1)

    class Enough(Exception):
        pass

    class Stops(nn.Module):
        def __init__(self):
            super().__init__()
            self.g, self.calls = net(), 0

        def forward(self, z):
            self.calls += 1
            if self.calls > 40:
                raise Enough
            return self.g(z)

    with pytest.raises(Enough):
        fit(Stops(), images(), st, rng=seeded(), progress=False)


# ---- the device


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_small_sigma_stays_inside_the_range_of_sixteen_bits(precision):
    g, z, x = net(), torch.randn(23, 2, generator=seeded()), images()
    work = Engine(Compute(precision=precision), torch.device("cpu"), torch.float32)
    sigma = 1e-3  # residual over sigma^2: a million
    with frozen(g), work.autocast():
        low = raw_score(g, z, x, sigma, None)
    with frozen(g):
        exact = raw_score(g, z, x, sigma, None)
    assert torch.isfinite(low).all()
    assert float((low - exact).abs().mean() / exact.abs().mean()) < 0.02


@pytest.mark.parametrize("schedule", ["printed", "released"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_folded_network_in_sixteen_bits_leaves_the_weights_alone(precision, schedule):
    """The folded copy shares its last layer with g, which once became 16 bits wide itself."""
    st = settings(d=3, s=0.02, K=60, batch_size=20, iterations=2, schedule=schedule)
    exact = train(None, st, conv(), faces(40))
    low = train(None, st, conv(), faces(40), compute=Compute(precision=precision))
    assert {p.dtype for p in low.g.parameters()} == {torch.float32}
    assert low.z_hat.dtype == torch.float32
    assert low.history[-1]["mse"] == pytest.approx(exact.history[-1]["mse"], rel=0.03)
    assert not torch.equal(low.z_hat, exact.z_hat)


def test_a_lack_of_memory_is_seen_behind_the_error_that_it_causes():
    def recording():
        try:
            raise torch.cuda.OutOfMemoryError("out of memory")
        finally:
            raise RuntimeError("capture failed")  # as the end of a recording does

    with pytest.raises(RuntimeError, match="capture failed") as caught:
        recording()
    assert out_of_memory(caught.value)
    assert not out_of_memory(RuntimeError("capture failed"))


@pytest.mark.parametrize("kind", [torch.cuda.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("method", ["exact", "semidual"])
def test_no_memory_for_the_map_is_said(kind, method, monkeypatch, tmp_path):
    """Nothing can be halved; the run ends with what to try, and goes on from its checkpoint."""

    def full(*args, **kwargs):
        raise kind("out of memory")

    st, x = settings(transport=method, L=2, iterations=4), images()
    want = fit(net(), x, st, rng=seeded(3), progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(schedules, "transport", full)
        words = rf"^transport must fit into the memory of cpu; .* 23 latents .* '{method}'\. Try "
        with pytest.raises(MemoryError, match=words) as caught:
            fit(net(), x, st, rng=seeded(3), progress=False, out=tmp_path, every=0)
    assert ("semidual'," in str(caught.value)) == (method == "exact")
    again = fit(net(), x, st, rng=seeded(3), progress=False, out=tmp_path, every=0)
    assert torch.equal(again.z_hat, want.z_hat)


# ---- what a reviewer broke


@pytest.mark.filterwarnings("ignore:/.* must be a whole checkpoint")
def test_a_second_damage_finds_the_checkpoint_before(tmp_path):
    """After a recovery the two newest whole ones stay, not a damaged one in place of a whole."""
    folder = Checkpoints(tmp_path)
    train(tmp_path, every=1e9)
    for iterations in (5, 6):  # both of them go on from the one before
        newest, before = folder.files()
        newest.write_bytes(newest.read_bytes()[:-10])
        with pytest.warns(UserWarning, match=f"Going on from {before.name} instead of: "):
            got = train(tmp_path, settings(iterations=iterations), every=1e9)
        assert newest not in folder.files()
        assert before in folder.files()
    assert same_runs(got, train(None, settings(iterations=6)))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "std::bad_alloc",
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
        "[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes",
    ],
)
def test_every_word_for_no_memory_is_known(text, monkeypatch):
    assert out_of_memory(RuntimeError(text))
    assert not out_of_memory(ValueError(text))
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access"))
    real = engine.raw_score

    def full(g, z, *args):
        if len(z) > 3:
            raise RuntimeError(text)
        return real(g, z, *args)

    want = fit(net(), images(), settings(), rng=seeded(3), progress=False)
    monkeypatch.setattr(engine, "raw_score", full)
    with pytest.warns(UserWarning, match="3 images are now taken at once, not 6"):
        got = fit(net(), images(), settings(), rng=seeded(3), progress=False)
    assert torch.allclose(got.z_hat, want.z_hat, atol=1e-5)


def test_a_terminal_that_is_gone_ends_the_bar_and_not_the_run(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    want = fit(net(), images(), settings(), rng=seeded(3), progress=False)
    for stream in (Gone(), None):
        monkeypatch.setattr("sys.stderr", stream)
        got = fit(net(), images(), settings(), rng=seeded(3), progress=True)
        assert torch.equal(got.z_hat, want.z_hat)


def test_whole_files_keep_links_and_refuse_devices(tmp_path):
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with checkpoint.write_whole(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    os.mkfifo(pipe)
    for special in (pipe, Path("/dev/null")):
        with (
            pytest.raises(OSError, match="it is not a regular file"),
            checkpoint.write_whole(special),
        ):
            pass
        assert not special.is_file()


@pytest.mark.filterwarnings("ignore:The device ran out of memory while learning")
@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_no_memory_while_adam_makes_its_moments(at, monkeypatch):
    """Its state holds a step without moments then, which PyTorch would not complete by itself."""
    want = fit(net(), images(), settings(), rng=seeded(3), progress=False)
    real, left = torch.zeros_like, [at]

    def zeros_like(*args, **options):
        left[0] -= 1
        if left[0] == 0:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return real(*args, **options)

    monkeypatch.setattr(torch, "zeros_like", zeros_like)
    got = fit(net(), images(), settings(), rng=seeded(3), progress=False)
    assert left[0] <= 0
    assert torch.allclose(got.z_hat, want.z_hat, atol=1e-4)
