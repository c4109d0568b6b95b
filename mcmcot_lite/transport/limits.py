"""What a user may ask of a solver: a gap, a time limit, a limit of memory."""

from __future__ import annotations

from mcmcot_lite import checks
from mcmcot_lite.transport.gaussian import MOST

__all__ = ["check_enough", "check_gap", "check_memory", "check_time_limit", "memory_needed"]

# Bytes of memory_needed: at all, for a coordinate, for a point, for a pair of the graph.
BASE, COORDINATE, POINT, PAIR = 40 << 20, 80, 1_500, 400
FIRST = 25  # pairs a point in the first graph: 16 of its own, some of the columns


def check_gap(gap: float, name: str = "gap") -> float:
    """A relative gap: in [0, 1)."""
    return checks.number(
        name,
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


def check_memory(memory: float | None) -> float | None:
    """MiB, or None."""
    if memory is None:
        return None
    return checks.number("memory", memory, above=0.0, remedy="Give MiB, or None for no limit.")


def check_enough(memory: float | None, n: int, d: int) -> None:
    """At least what is needed to begin."""
    need = memory_needed(n, d)
    if memory is not None and need > memory:
        raise checks.fail(
            "memory",
            f"must be at least {need:.0f} MiB for n = {n} and d = {d}",
            f"{memory:g}",
            "Allow more, use semidual_map, or map a random subset of both clouds.",
        )


def memory_needed(n: int, d: int, edges: int | None = None) -> float:
    """MiB that :func:`exact_map` allocates at most beyond its inputs.

    Bytes grow like n (a d + b) + c edges: the clouds in two precisions, the bounds of a look at all
    pairs, covariances, and for each pair of the sparse graph its ends, benefit, orders, and a place
    in POT's network simplex. Rounds that add many pairs, as for sources in tight clusters, need
    more: hence ``exact_map(memory=)`` asks again before each.

    Args:
        n, d: of the clouds.
        edges: pairs in the graph; None for as many as the first graph may have.

    The factors were measured: ``results/transport.json`` holds the peak of each solve.
    """
    edges = FIRST * n if edges is None else edges
    few = min(d, MOST)  # directions whose covariances are made
    shapes = 160 * few**2 + (24 * d * MOST if d > MOST else 0)
    return (BASE + n * (COORDINATE * d + POINT) + shapes + PAIR * edges) / 2**20
