"""The processes that share one run, and the few things that they tell each other.

Process r of W holds the images r, r + W, r + 2 W, ...: a batch in order is spread evenly, a random
one nearly. All of them draw the same random numbers and use their rows of them, so a run does not
depend on how many there are, up to the order of floating-point sums. :data:`ALONE` is the one
process that most runs have; nothing is sent there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from mcmcot_lite import checks

__all__ = ["ALONE", "World", "WorldError", "joined", "several"]

T = TypeVar("T")


class WorldError(RuntimeError):
    """Another process of the run is gone, or does not answer."""


@dataclass(frozen=True)
class World:
    """One of ``size`` processes, the one with number ``rank``.

    Attributes:
        rank: its number, 0 to size - 1. Process 0 writes files and shows progress.
        size: how many there are.
        local: its number among those on its machine.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and shows."""
        return self.rank == 0

    def rows(self, x: Tensor) -> Tensor:
        """The rows of x that this process holds."""
        return x[self.rank :: self.size]

    def count(self, n: int) -> int:
        """How many of n rows this process holds."""
        return len(range(self.rank, n, self.size))

    def add(self, *tensors: Tensor) -> None:
        """Replaces each tensor by its sum over the processes, in one message per dtype."""
        if self.size == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for t in tensors:
            kinds.setdefault(t.dtype, []).append(t)
        # All memory first: who runs short of it between two messages could not try again.
        flats = [torch.cat([t.reshape(-1) for t in group]) for group in kinds.values()]
        for flat, group in zip(flats, kinds.values(), strict=True):
            with self._talking():
                dist.all_reduce(flat)
            begin = 0
            for t in group:
                t.copy_(flat[begin : begin + t.numel()].view_as(t))
                begin += t.numel()

    def any(self, flag: bool, device: torch.device | str = "cpu") -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        votes = torch.tensor([float(flag)], device=device)
        self.add(votes)
        return bool(votes[0] > 0)

    def gather(self, rows: Tensor, n: int) -> Tensor:
        """All n rows, in their order, from the rows that each process holds."""
        if self.size == 1:
            return rows
        most = -(-n // self.size)
        mine = rows.new_zeros(most, *rows.shape[1:])
        mine[: len(rows)] = rows
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        with self._talking():
            dist.all_gather(parts, mine)
        return torch.stack(parts, 1).flatten(0, 1)[:n]

    def share(self, *tensors: Tensor) -> None:
        """Replaces each tensor by that of process 0."""
        for t in tensors if self.size > 1 else ():
            with self._talking():
                dist.broadcast(t, 0)

    def wait(self) -> None:
        """Returns when all processes have come here."""
        if self.size > 1:
            with self._talking():
                dist.barrier()

    def in_turn(self, work: Callable[[], T]) -> T:
        """The result of ``work()``, first in one process of each machine, then in the others.

        What the first one stores on the disk the others find there.
        """
        done: list[T] = []
        try:
            if self.local == 0:
                done.append(work())
        finally:  # after an error as well: the others then meet it themselves
            self.wait()
        return done[0] if done else work()

    @contextmanager
    def _talking(self) -> Generator[None]:
        """Context of a message: says who got no answer."""
        try:
            yield
        except RuntimeError as error:
            raise WorldError(
                f"Process {self.rank} of {self.size}: another process does not answer "
                f"({str(error).splitlines()[0]})."
            ) from error


ALONE = World()


def several() -> bool:
    """Whether this process is one of several that talk to each other."""
    return dist.is_available() and dist.is_initialized()


PATIENCE = timedelta(minutes=30)  # without an answer; a transport step may take minutes


@contextmanager
def joined(device: str) -> Generator[World]:
    """Context of the world that ``torchrun`` has started, or of one process alone.

    Args:
        device: ``"cpu"`` (the processes talk through gloo) or ``"cuda"`` (NCCL, one GPU each).
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    if any(name not in os.environ for name in names):
        yield ALONE
        return
    rank, size, local = (int(os.environ[name]) for name in names)
    if device == "cuda":
        there = torch.cuda.device_count()
        rule, got = "must not exceed the GPUs of a machine", f"{local + 1} or more for {there}"
        checks.require(local < there, "nproc_per_node", rule, got, f"Use {there}.")
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(rank, size, local)
    finally:
        dist.destroy_process_group()
