"""One process of a run that several share; started by test_world.py with torchrun's variables.

Arguments: a JSON of what to do, and the file for what comes out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parent.parent))

from helpers import history, images, net, seeded, settings  # noqa: E402

from mcmcot_lite import fit, mnist_generator  # noqa: E402
from mcmcot_lite.transport import exact_map, semidual_map  # noqa: E402
from mcmcot_lite.transport.scan import shared  # noqa: E402
from mcmcot_lite.world import joined  # noqa: E402


def train(task, world):
    """The run of the task, on this process's images."""
    values = dict(task["settings"])
    if task.get("normed"):
        x = torch.rand(21, 1, 28, 28, generator=seeded(1))
        g = mnist_generator(2, width=0.02, rng=seeded(0))
    else:
        x, g = images(), net()
    mask = torch.rand(x.shape, generator=seeded(9)) < 0.6 if task.get("masked") else None
    st = settings(**values)

    def die(step):
        if task.get("dies") == step.k:
            os.kill(os.getpid(), signal.SIGKILL)

    run = fit(
        g,
        world.rows(x),
        st,
        rng=seeded(3),
        mask=None if mask is None else world.rows(mask),
        progress=False,
        callbacks=[die],
        out=task.get("out"),
        every=0.0,
        world=world,
    )
    return {"g": run.g.state_dict(), "z_hat": run.z_hat, "z": run.z, "history": history(run)}


def transport(task, world):
    """Both solvers on two clouds, with the passes over all pairs shared."""
    rng = seeded(4)
    a = torch.randn(task["n"], task["d"], generator=rng) * 1.5 + 0.3
    b = torch.randn(task["n"], task["d"], generator=rng)
    with shared(world):
        T, S = exact_map(a, b), semidual_map(a, b, rng=seeded(5))
    numbers = [T.primal, T.dual, float(T.certified), S.primal, S.dual, S.removed, float(S.steps)]
    return {"exact": T.index, "semidual": S.index, "h": S.h, "numbers": numbers}


def turns(task, world):
    """Whether this process made the file that all of them want."""

    def work():
        time.sleep(0.3 * (world.rank == 0))  # the first is the slowest
        path = Path(task["path"])
        if path.exists():
            return False
        path.write_text("")
        return True

    try:
        made = world.in_turn(work)
    except FileNotFoundError:
        made = "failed"
    return {"made": made}


def main() -> None:
    task = json.loads(sys.argv[1])
    with joined("cpu") as world:
        out = {"train": train, "transport": transport, "turns": turns}[task["do"]](task, world)
        torch.save(out, f"{sys.argv[2]}.{world.rank}")


if __name__ == "__main__":
    main()
