"""A run that is stopped, killed or damaged goes on as if nothing had been, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import SHAPE, images, net, same_runs, seeded, settings
from torch import nn

from mcmcot_lite import checkpoint, fit, mnist_generator
from mcmcot_lite.checkpoint import Checkpoints, read_checkpoint
from mcmcot_lite.signals import Stopped


def train(out, st=None, g=None, x=None, seed=3, every=0.0, **values):
    g = net() if g is None else g
    x = images() if x is None else x
    st = st or settings()
    return fit(g, x, st, rng=seeded(seed), progress=False, out=out, every=every, **values)


CASES = {
    "printed": {},
    "released": {"schedule": "released", "iterations": 2, "regression": 2},
    "abp": {"alpha": 0.0},
    "exact": {"transport": "exact", "targets": "fresh", "L": 1},
    "noise": {"chains": "noise", "L": 1},
}


class Enough(Exception):
    pass


def stopped_after(monkeypatch, batches, **values):
    """A run that breaks after so many saved batches."""
    real, left = Checkpoints.save, [batches]

    def save(self, data):
        real(self, data)
        left[0] -= 1
        if left[0] < 0:
            raise Enough

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", save)
        with pytest.raises(Enough):
            train(**values)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_a_run_stopped_after_any_batch_goes_on_to_the_same_bits(
    values, masked, tmp_path, monkeypatch
):
    st = settings(**values)
    mask = torch.rand(SHAPE, generator=seeded(9)) < 0.6 if masked else None
    whole = train(None, st, mask=mask)
    seen = []
    train(tmp_path / "all", st, mask=mask, callbacks=[lambda s: seen.append(s.k)])
    assert seen == list(range(1, st.iterations + 1))
    for batches in (0, 1, 3, 5, 6, 8, 9, 13, 17, 20):
        out = tmp_path / str(batches)
        stopped_after(monkeypatch, batches, out=out, st=st, mask=mask)
        torch.manual_seed(batches)
        run = train(out, st, seed=99, g=net(seed=5), mask=mask)  # all comes from the checkpoint
        assert same_runs(whole, run)
        again = train(out, st, seed=98, g=net(seed=6), mask=mask)  # finished: nothing to do
        assert same_runs(whole, again)


@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_batchnorm_dropout_and_bytes(schedule, tmp_path, monkeypatch):
    def made(seed):
        return nn.Sequential(mnist_generator(3, width=0.02, rng=seeded(seed)), nn.Dropout(0.1))

    x = torch.randint(0, 256, (20, 1, 28, 28), generator=seeded(), dtype=torch.uint8)
    st = settings(d=3, s=0.02, schedule=schedule, batch_size=5, iterations=2, batchnorm="batch")
    torch.manual_seed(0)  # dropout draws from the global generator
    whole = train(None, st, made(0), x)
    torch.manual_seed(0)
    stopped_after(monkeypatch, 7, out=tmp_path, st=st, g=made(0), x=x)
    torch.manual_seed(8)
    assert same_runs(whole, train(tmp_path, st, made(1), x))


def test_callbacks_go_on_where_they_stopped(tmp_path, monkeypatch):
    seen = []
    keep = lambda s: seen.append((s.k, s.T is not None, float(s.inferred.sum())))  # noqa: E731
    train(tmp_path / "a", callbacks=[keep])
    want, seen[:] = list(seen), []
    stopped_after(monkeypatch, 18, out=tmp_path / "b", callbacks=[keep])
    first = len(seen)
    train(tmp_path / "b", callbacks=[keep])
    assert seen == want
    assert 0 < first < len(want)


def test_more_iterations_may_be_asked_for(tmp_path):
    whole = train(None, settings(iterations=6))
    train(tmp_path, settings(iterations=4))
    assert same_runs(whole, train(tmp_path, settings(iterations=6)))
    with pytest.raises(ValueError, match="iterations: 6 there, 5 here"):
        train(tmp_path, settings(iterations=5))


DIFFERENT = {
    "K": ({"st": settings(K=4)}, "K: 3 there, 4 here"),
    "two": ({"st": settings(K=4, lr=0.1)}, r"K: 3 there, 4 here; lr: 0\.001 there, 0\.1 here"),
    "images": ({"x": images(seed=2)}, "others there"),
    "order": ({"x": images().flip(0)}, "others there"),
    "number": ({"x": images(24)}, "images: 23 there, 24 here"),
    "network": ({"g": nn.Sequential(net())}, "g: "),
    "mask": ({"mask": torch.arange(12).view(SHAPE) > 1}, "others there"),
}


@pytest.mark.parametrize(("change", "words"), DIFFERENT.values(), ids=DIFFERENT.keys())
def test_another_run_is_refused_and_nothing_changes(change, words, tmp_path):
    train(tmp_path)
    files = {p: p.read_bytes() for p in tmp_path.iterdir()}
    g = change.get("g", net())
    before = {k: v.clone() for k, v in g.state_dict().items()}
    rng, x, st = seeded(7), change.get("x", images()), change.get("st", settings())
    with pytest.raises(ValueError, match=f"^out must hold a run with these settings.*{words}"):
        fit(g, x, st, rng=rng, mask=change.get("mask"), progress=False, out=tmp_path)
    assert torch.equal(rng.get_state(), seeded(7).get_state())
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    assert files == {p: p.read_bytes() for p in tmp_path.iterdir()}


def test_hidden_pixels_do_not_make_another_run(tmp_path):
    mask = torch.rand(23, *SHAPE, generator=seeded(5)) < 0.6
    a = train(tmp_path, mask=mask)
    b = train(tmp_path, x=images().masked_fill(~mask, float("nan")), mask=mask)
    assert same_runs(a, b)


# ---- the files


def test_the_last_two_are_kept_and_nothing_else(tmp_path):
    train(tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert len(names) == 2
    assert all(checkpoint.NAME.fullmatch(name) for name in names)


def damage(path, kind):
    data = bytearray(path.read_bytes())
    if kind == "cut":
        data = data[: len(data) // 2]
    elif kind == "empty":
        data = bytearray()
    elif kind == "zeros":
        data = bytearray(len(data))
    elif kind == "sum":
        data[-3] ^= 1
    else:
        place = {"start": 10, "middle": len(data) // 2, "end": len(data) - 120}[kind]
        data[place] ^= 0x10
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", ["cut", "empty", "zeros", "sum", "start", "middle", "end"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(kind, tmp_path, monkeypatch):
    whole = train(None)
    stopped_after(monkeypatch, 9, out=tmp_path)
    old, new = sorted(tmp_path.glob("*.pt"))
    damage(new, kind)
    with pytest.warns(UserWarning, match=new.name):
        run = train(tmp_path)
    assert same_runs(whole, run)
    assert old.name != new.name


def test_when_all_are_damaged_the_run_is_refused(tmp_path):
    train(tmp_path)
    for path in tmp_path.glob("*.pt"):
        damage(path, "middle")
    files = {p: p.read_bytes() for p in tmp_path.iterdir()}
    with (
        pytest.warns(UserWarning, match="checksum"),
        pytest.raises(ValueError, match="only damaged ones"),
    ):
        train(tmp_path)
    assert files == {p: p.read_bytes() for p in tmp_path.iterdir()}


def test_every_single_byte_is_covered_by_the_sum(tmp_path):
    train(tmp_path, settings(iterations=1))
    path = max(tmp_path.glob("*.pt"))
    data = path.read_bytes()
    rng = random.Random(0)
    for place in rng.sample(range(len(data)), 200):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with pytest.raises(ValueError, match="must"):
            read_checkpoint(path)


def test_loading_runs_no_code(tmp_path):
    """A checkpoint whose pickle would run a function is refused, though its sum is right."""
    import hashlib
    import io

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    body = io.BytesIO()
    torch.save({"format": 1, "g": Evil()}, body)
    raw = body.getvalue()
    path = tmp_path / "checkpoint-0000000001.pt"
    path.write_bytes(raw + checkpoint.MARK + hashlib.sha256(raw).hexdigest().encode())
    with pytest.raises(ValueError, match="plain data"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_leaves_the_files_of_before(tmp_path, monkeypatch):
    train(tmp_path, settings(iterations=2))
    files = {p: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"could not be written: No space.*Free some space"):
        train(tmp_path, settings(iterations=4))
    assert files == {p: p.read_bytes() for p in tmp_path.iterdir()}


def test_a_folder_that_cannot_be_written_is_found_before_the_run(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    calls = []
    with pytest.raises(ValueError, match="must be a folder"):
        train(tmp_path / "file", callbacks=[calls.append])
    with pytest.raises(OSError, match="could not be written"):
        train(tmp_path / "file" / "below", callbacks=[calls.append])
    for bad, kind in ((3, TypeError), ("", ValueError), (b"x", TypeError)):
        with pytest.raises(kind, match=r"^out must"):
            train(bad, callbacks=[calls.append])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path / "full", callbacks=[calls.append])
    assert not calls


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs a disk that is always full: /dev/full, on Linux"
)
def test_a_really_full_device(tmp_path):
    def write():
        with checkpoint.write_whole(tmp_path / "a") as f:
            f.write(b"x")
            with Path("/dev/full").open("wb") as full:
                full.write(b"x" * 100_000)

    with pytest.raises(OSError, match="Free some space"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused(tmp_path):
    def second(step):
        with pytest.raises(RuntimeError, match="another process writes"):
            train(tmp_path)

    train(tmp_path, callbacks=[second])
    train(tmp_path)  # and the lock is gone


# ---- processes that are killed

SCRIPT = """
import os, random, signal, sys, time, torch
out, schedule, times, tests = sys.argv[1:]
sys.path.insert(0, tests)
torch.set_num_threads(1)
from helpers import images, net, seeded, settings
from mcmcot_lite import fit
st = settings(schedule=schedule, iterations=40, L=2, regression=int(schedule == "released"))
torch.optim.Adam(net().parameters())  # all is imported: the children only run
rng = random.Random(schedule)
for _ in range(int(times)):
    child = os.fork()
    if not child:
        fit(net(), images(), st, rng=seeded(3), progress=False, out=out, every=0.0)
        os._exit(0)
    time.sleep(rng.uniform(0.0, 0.6))
    os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_killed_at_20_random_moments(schedule, tmp_path):
    """SIGKILL, without warning, of a process that writes a checkpoint after every batch."""
    more = {"regression": 1} if schedule == "released" else {}
    st = settings(schedule=schedule, iterations=40, **more)
    whole = train(None, st)
    tests = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), schedule, "20", tests]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends = [int(line) for line in done.stdout.split()]
    assert len(ends) == 20
    assert ends.count(-signal.SIGKILL) > 10  # or nothing was tested
    assert set(ends) <= {0, -signal.SIGKILL}
    at = Checkpoints(tmp_path).load()[0]["at"]
    assert (at["k"], at["stage"], at["batch"]) > (1, 1, 0)
    assert same_runs(whole, train(tmp_path, st))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def hangups():
    """SIGHUP as a terminal has it; under nohup it comes ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_an_ignored_hangup_stays_ignored(tmp_path, hangups):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = train(tmp_path, callbacks=[lambda step: os.kill(os.getpid(), signal.SIGHUP)])
    assert same_runs(train(None), run)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_asked_to_stop(number, tmp_path, hangups):
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    whole = train(None)

    def ask(step):
        if step.k == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match=r"Stopped in iteration 3 of 4; saved in .*goes on") as caught:
        train(tmp_path, callbacks=[ask], every=1e9)
    assert caught.value.signal == number
    assert isinstance(caught.value, KeyboardInterrupt)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert same_runs(whole, train(tmp_path))


def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    def ask(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        train(tmp_path, callbacks=[ask])
    assert not isinstance(caught.value, Stopped)


def test_without_a_folder_signals_are_left_alone():
    seen = []
    before = signal.getsignal(signal.SIGINT)
    train(None, callbacks=[lambda s: seen.append(signal.getsignal(signal.SIGINT))])
    assert all(handler is before for handler in seen)


def test_divergence_keeps_the_last_good_checkpoint(tmp_path):
    g = net()

    def poison(step):
        if step.k == 2:
            with torch.no_grad():
                g.net[0].weight.fill_(float("nan"))

    with pytest.raises(FloatingPointError, match=r"Iteration 3: .*finite"):
        train(tmp_path, g=g, callbacks=[poison], every=1e9)
    assert read_checkpoint(max(tmp_path.glob("*.pt")))["at"]["k"] == 1
    assert same_runs(train(None), train(tmp_path))


def test_every_is_seconds(tmp_path):
    train(tmp_path, every=1e9)
    names = sorted(p.name for p in tmp_path.glob("*.pt"))
    assert names == ["checkpoint-0000000001.pt", "checkpoint-0000000002.pt"]  # start and end
    with pytest.raises(ValueError, match="every"):
        train(tmp_path, every=-1.0)
    with pytest.raises(TypeError, match="every"):
        train(tmp_path, every="often")


def test_history_is_json(tmp_path):
    train(tmp_path)
    data = read_checkpoint(max(tmp_path.glob("*.pt")))
    assert json.loads(json.dumps([data["history"], data["settings"], data["at"]]))
