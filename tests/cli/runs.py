"""Runs on small images that take a second, as command lines; and what they leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from mcmcot_lite.checkpoint import Checkpoints
from mcmcot_lite.cli import main

TINY = {
    "n": 40,
    "width": 0.02,
    "d": 3,
    "iterations": 3,
    "K": 2,
    "L": 2,
    "L2": 1,
    "regression": 1,
    "batch-size": 20,
    "every": 0,
}


def words(out, preset="svhn-quick", *more, **values):
    """A command line."""
    options = {k.replace("_", "-"): v for k, v in values.items()}
    pairs = [str(w) for k, v in (TINY | options).items() for w in (f"--{k}", v)]
    named = [] if preset is None else [preset]
    quiet = ["--no-progress", "--no-pictures"]
    return ["train", *named, "--out", str(out), *pairs, *quiet, *map(str, more)]


def train(out, preset="svhn-quick", *more, **values):
    assert main(words(out, preset, *more, **values)) == 0


def start(arguments, warnings="error"):
    """The command line in a process of its own."""
    command = [sys.executable, "-W", warnings, "-m", "mcmcot_lite", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ))


def log(out):
    return [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]


def iterations(out):
    return [row["k"] for row in log(out) if row["event"] == "iteration"]


def last(out):
    return Checkpoints(Path(out)).load()[0]


def same_runs(a, b):
    """Whether two folders hold the same run, to the bit."""
    a, b = last(a), last(b)

    def drop(rows):
        return [{k: v for k, v in r.items() if not k.endswith("seconds")} for r in rows]

    return (
        all(torch.equal(v, b["g"][k]) for k, v in a["g"].items())
        and torch.equal(a["z_hat"], b["z_hat"])
        and torch.equal(a["rng"], b["rng"])
        and drop(a["history"]) == drop(b["history"])
    )
