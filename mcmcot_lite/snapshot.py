"""A run as plain data, and back: what a checkpoint holds.

Weights, Adam's state, chains, targets, potentials, the place in the schedule, the state of every
random generator, settings, history and a fingerprint of the images. In a run of several processes
the chains are gathered, so any number of processes can go on from it.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.schedules import Run, State
from mcmcot_lite.transport import TransportMap

__all__ = [
    "Progress",
    "check_snapshot",
    "fingerprint",
    "other_network",
    "restore",
    "snapshot",
    "snapshot_bytes",
]

FORMAT = 1
PLAIN = ("k", "stage", "batch", "errors", "seconds")  # of the state


@dataclass
class Progress:
    """What a run has to tell besides its state: the history so far, and the seconds it took."""

    history: list[dict[str, float]]
    seconds: float = 0.0


def snapshot(run: Run, progress: Progress, images: int) -> dict[str, Any]:
    """Everything that :func:`restore` needs. All processes of the run must call it.

    Args:
        run: between two batches.
        progress: its history and seconds.
        images: :func:`fingerprint` of the images.
    """
    now, gather = run.state, run.world.gather
    return {
        "format": FORMAT,
        "settings": asdict(run.settings),
        "n": run.n,
        "images": images,
        "device": run.state.z_hat.device.type,
        "torch": str(torch.__version__),
        "g": run.g.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "shortage": run.engine.shortage(),
        "scaler": {} if run.engine.scaler is None else run.engine.scaler.state_dict(),
        "z_hat": gather(now.z_hat, run.n),
        "inferred": None if now.inferred is None else gather(now.inferred, run.n),
        "z": now.z,
        "h": now.h,
        "order": now.order,
        "T": None if now.T is None else {f.name: getattr(now.T, f.name) for f in fields(now.T)},
        "at": {name: getattr(now, name) for name in PLAIN},
        "rng": run.rng.get_state(),
        "global_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state() if run.rng.device.type == "cuda" else None,
        "history": progress.history,
        "seconds": progress.seconds,
    }


def restore(run: Run, data: dict[str, Any], images: int) -> Progress:
    """Puts a run into the state of a checkpoint; returns its history and seconds.

    Raises:
        ValueError: other settings, images or network; lists the differences. Nothing is changed.
    """
    _check_same(run, data, images)
    st, device = run.settings, run.state.z_hat.device
    run.g.load_state_dict(data["g"])
    _restore_optimiser(run, data["optimiser"])
    if run.engine.scaler is not None and data["scaler"]:
        run.engine.scaler.load_state_dict(data["scaler"])

    def own(full: Tensor | None) -> Tensor | None:
        return None if full is None else run.world.rows(full).clone().to(device)

    def moved(t: Any) -> Any:
        return t.to(device) if isinstance(t, Tensor) else t

    z_hat = own(data["z_hat"])
    assert z_hat is not None
    T = data["T"]
    run.state = State(
        z_hat=z_hat,
        z=moved(data["z"]),
        h=moved(data["h"]),
        order=moved(data["order"]),
        inferred=own(data["inferred"]),
        T=None if T is None else TransportMap(**{k: moved(v) for k, v in T.items()}),
        **data["at"],
    )
    if data["device"] == device.type:
        run.engine.restore(data.get("shortage", run.engine.shortage()))
        run.rng.set_state(data["rng"])
        torch.set_rng_state(data["global_rng"])
        if data["cuda_rng"] is not None:
            torch.cuda.set_rng_state(data["cuda_rng"])
    else:  # another kind of generator: a seed from the place in the run
        at = data["at"]
        run.rng.manual_seed(zlib.crc32(repr((st.K, at["k"], at["stage"], at["batch"])).encode()))
    return Progress(list(data["history"]), data["seconds"])


def _restore_optimiser(run: Run, saved: dict[str, Any]) -> None:
    """Adam's state; how it computes stays what suits this device, and so does the memory layout.

    A fused step pairs the entries of a weight and its moments by their place in memory.
    """
    own = [group.get("fused") for group in run.optimiser.param_groups]
    run.optimiser.load_state_dict(saved)
    for group, fused in zip(run.optimiser.param_groups, own, strict=True):
        group["fused"] = fused
    for p, state in run.optimiser.state.items():
        for name, value in state.items():
            if name == "step" and isinstance(value, Tensor):
                state[name] = value.to(p.device if _fused(run.optimiser) else "cpu")
            elif isinstance(value, Tensor) and value.shape == p.shape:
                state[name] = torch.empty_like(p).copy_(value)


def _fused(optimiser: torch.optim.Optimizer) -> bool:
    return any(group.get("fused") for group in optimiser.param_groups)


def snapshot_bytes(run: Run) -> int:
    """About what a checkpoint of the run takes on the disk at its largest, with a margin."""
    weights = sum(v.numel() * v.element_size() for v in run.g.state_dict().values())
    learned = sum(p.numel() * p.element_size() for p in run.g.parameters() if p.requires_grad)
    latents = 3 * run.state.z.numel() * run.state.z.element_size()  # chains, inferred, targets
    small = 5 * 8 * run.n  # order, potentials, the map
    rows = 400 * run.settings.iterations if run.settings.iterations < 10**5 else 0  # history
    return int(1.1 * (weights + 2 * learned + latents + small + rows)) + (64 << 10)


KINDS = {
    "settings": dict,
    "n": int,
    "images": int,
    "device": str,
    "g": dict,
    "optimiser": dict,
    "scaler": dict,
    "z_hat": Tensor,
    "z": Tensor,
    "order": Tensor,
    "at": dict,
    "rng": Tensor,
    "global_rng": Tensor,
    "history": list,
    "seconds": (int, float),
}


def check_snapshot(data: dict[str, Any]) -> None:
    """The data of a checkpoint are those of a run, of a format that is known here.

    Raises:
        ValueError: they are not.
    """
    remedy = "Use the version that made it, or another folder."
    rule = f"must hold a run of format {FORMAT}"
    checks.require(data.get("format") == FORMAT, "out", rule, data.get("format"), remedy)
    wrong = [name for name, kind in KINDS.items() if not isinstance(data.get(name), kind)]
    checks.require(not wrong, "out", f"{rule}, whole", f"none or another {wrong}", remedy)
    n, at = data["n"], data["at"]
    rows = [len(data[name]) for name in ("z_hat", "z")]
    places = [at.get(name) for name in ("k", "stage", "batch")]
    ok = rows == [n, n] and all(isinstance(place, int) and place >= 0 for place in places)
    got = f"{rows} latents of {n} images, at {places}"
    checks.require(ok, "out", f"{rule}, consistent", got, remedy)


def _check_same(run: Run, data: dict[str, Any], images: int) -> None:
    """The checkpoint belongs to this run."""
    check_snapshot(data)
    now, then = asdict(run.settings), data["settings"]
    longer = now["iterations"] >= max(then["iterations"], data["at"]["k"] - 1)
    differ = [
        f"{name}: {then.get(name)!r} there, {now[name]!r} here"
        for name in now
        if now[name] != then.get(name) and not (name == "iterations" and longer)
    ]
    differ += other_network(run.g, data["g"])
    if data["n"] != run.n:
        differ.append(f"images: {data['n']} there, {run.n} here")
    elif data["images"] != images:
        differ.append("images: others there (same number, another content)")
    rule = "must hold a run with these settings, network and images"
    remedy = "Choose another folder, or the settings of that run (iterations may grow)."
    checks.require(not differ, "out", rule, "; ".join(differ), remedy)


def other_network(net: nn.Module, saved: dict[str, Tensor]) -> list[str]:
    """How the network differs from the saved one in names, shapes and dtypes; empty if it fits."""
    here = {k: (tuple(v.shape), v.dtype) for k, v in net.state_dict().items()}
    there = {k: (tuple(v.shape), v.dtype) for k, v in saved.items()}
    names = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))

    def told(tensors: dict[str, tuple[tuple[int, ...], torch.dtype]], name: str, other: Any) -> str:
        if name not in tensors:
            return "none"
        shape, dtype = tensors[name]
        return str(dtype) if other is not None and other[0] == shape else str(shape)

    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    shown = [
        f"{k}: {told(there, k, here.get(k))} there, {told(here, k, there.get(k))} here"
        for k in names[:3]
    ]
    return [f"g: {', '.join(shown)}{more}"] if names else []


def fingerprint(run: Run) -> int:
    """A number that changes with the images or the mask; hidden pixels have no say.

    The sum of the CRC-32 of each image times its place: every process sums its own.
    """
    total = images_sum(run.x, run.mask, run.world.rank, run.world.size)
    whole = torch.tensor([total], device=run.state.z_hat.device)
    run.world.add(whole)
    return int(whole)


def images_sum(x: Tensor, mask: Tensor | None = None, first: int = 0, step: int = 1) -> int:
    """The part of :func:`fingerprint` of images number first, first + step, ..."""
    total = np.int64(0)
    images = x
    with np.errstate(over="ignore"):
        for begin in range(0, len(images), 1024):
            x = images[begin : begin + 1024]
            parts = [x]
            if mask is not None:
                m = mask[begin : begin + 1024]
                parts = [x.masked_fill(~m, 0), m]
            rows = [part.flatten(1).contiguous().cpu().numpy() for part in parts]
            for i in range(len(x)):
                crc = 0
                for row in rows:
                    crc = zlib.crc32(row[i].tobytes(), crc)
                total += np.int64(first + step * (begin + i) + 1) * np.int64(crc)
    return int(total)
