"""What a user may ask of a solver: a gap, a time limit, a limit of memory."""

from __future__ import annotations

from mcmcot_lite import checks

__all__ = ["check_gap", "check_memory", "check_time_limit", "memory_needed"]


def check_gap(gap: float) -> float:
    """A relative gap: in [0, 1)."""
    return checks.number(
        "gap",
        gap,
        above=0.0,
        below=1.0,
        closed=(True, False),
        why="it is a share of the primal cost",
        remedy="0 asks for the optimum, 1e-3 for a map at most 0.1 % dearer.",
    )


def check_time_limit(time_limit: float | None) -> None:
    """Seconds, or None."""
    if time_limit is not None:
        remedy = "Give seconds, or None for no limit."
        checks.number("time_limit", time_limit, above=0.0, closed=(True, False), remedy=remedy)


def check_memory(memory: float | None, n: int, d: int) -> None:
    """MiB, or None; at least what is needed."""
    if memory is None:
        return
    memory = checks.number("memory", memory, above=0.0, remedy="Give MiB, or None for no limit.")
    need = memory_needed(n, d)
    if need > memory:
        raise checks.fail(
            "memory",
            f"must be at least {need:.0f} MiB for n = {n} and d = {d}",
            f"{memory:g}",
            "Allow more, use semidual_map, or map a random subset of both clouds.",
        )


def memory_needed(n: int, d: int) -> float:
    """MiB to allow :func:`exact_map` beyond its inputs; an estimate, not a promise.

    Clouds in two precisions, candidates, the graph, and the network simplex: bytes that grow like
    n (90 d + 6,000). Sources in tight clusters need larger graphs, and up to twice as much in low
    dimension. ``benchmarks/transport.py`` measures it.
    """
    return 60 + n * (90 * d + 6_000) / 2**20
