"""The log of a run: one JSON object a line, each iteration once however often the run stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcmcot_lite.checkpoint import write_whole

__all__ = ["Log", "now"]

OF_ITERATION = ("iteration", "correction")


def now() -> str:
    """Date and time, for people and machines."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Log:
    """``log.jsonl``. Only the process that holds the run's lock may write it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """What it holds; a line that a kill cut off is left out."""
        if not self.path.exists():
            return []
        found: list[dict[str, Any]] = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                found.append(row)  # pyright: ignore[reportUnknownArgumentType]
        return found

    def add(self, event: str, **values: Any) -> None:
        """Appends one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line({"event": event, **values}))

    def rewind(self, history: Sequence[dict[str, float]]) -> None:
        """Makes its iterations those of fit's history: later ones go, missing ones come."""
        last = len(history)
        kept: list[dict[str, Any]] = []
        seen: set[tuple[str, int]] = set()
        for row in self.rows():
            event, k = row.get("event"), row.get("k")
            if event in OF_ITERATION:
                if not isinstance(k, (int, float)) or k > last or (event, int(k)) in seen:
                    continue
                seen.add((event, int(k)))
                if event == "iteration":
                    row = {"event": event, **history[int(k) - 1]}
            kept.append(row)
        lost = [r for r in history if ("iteration", int(r["k"])) not in seen]
        kept += [{"event": "iteration", **row} for row in lost]
        with write_whole(self.path) as file:
            file.writelines(_line(row).encode() for row in kept)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"
