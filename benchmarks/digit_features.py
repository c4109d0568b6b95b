"""Trains the networks behind `mcmcot_lite.features.digit_features` and `fashion_features`.

    MCMCOT_DATA=folder-with-mnist python benchmarks/digit_features.py
    MCMCOT_DATA=folder-with-mnist python benchmarks/digit_features.py --fashion

Adam on the cross-entropy of the 60,000 training images, each moved by up to two pixels, with a rate
that falls to zero. Writes the weights into the library, in float32, and the accuracy on the 10,000
test images to `results/digit_features.json` (or `fashion_features.json`). Then the checksum in
`mcmcot_lite/features/digits.py` must be that of the new file; it is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import time
from pathlib import Path

import machine
import torch
from torch import Tensor, nn

from mcmcot_lite import data
from mcmcot_lite.checkpoint import write_whole
from mcmcot_lite.features.digits import FASHION_FILE, FILE, digit_network

RESULTS = Path(__file__).resolve().parent.parent / "results"


def moved(x: Tensor, rng: torch.Generator) -> Tensor:
    """The batch, shifted by up to two pixels each way."""
    by = torch.randint(-2, 3, (2,), generator=rng).tolist()
    return torch.roll(x, by, (2, 3))  # the rim is mostly empty


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fashion", action="store_true", help="Fashion-MNIST in place of MNIST")
    a = parser.parse_args()
    load, weights, name = data.mnist, FILE, "digit_features.json"
    if a.fashion:
        load, weights, name = data.fashion_mnist, FASHION_FILE, "fashion_features.json"
    torch.manual_seed(a.seed)
    rng = torch.Generator().manual_seed(a.seed)
    train, test = load(split="train"), load(split="test")
    net, begin = digit_network(), time.perf_counter()
    steps = a.epochs * -(-len(train) // a.batch)
    adam = torch.optim.Adam(net.parameters(), a.lr)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for epoch in range(a.epochs):
        for i in torch.randperm(len(train), generator=rng).split(a.batch):
            adam.zero_grad()
            scores = net(moved(train.x[i].float() / 255, rng))
            loss = nn.functional.cross_entropy(scores, train.y[i])
            loss.backward()
            adam.step()
            falling.step()
        print(epoch, float(loss.detach()), flush=True)
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        right = (net(test.x.float() / 255).argmax(1) == test.y).double().mean()
    held = io.BytesIO()
    torch.save(net.state_dict(), held)
    with write_whole(weights) as file:
        file.write(held.getvalue())
    digest = hashlib.sha256(held.getvalue()).hexdigest()
    record = {
        **machine.record("cpu"),
        "seed": a.seed,
        "epochs": a.epochs,
        "batch": a.batch,
        "lr": a.lr,
        "seconds": seconds,
        "test_accuracy": float(right),
        "sha256": digest,
    }
    (RESULTS / name).write_text(json.dumps(record, indent=1) + "\n")
    print(f"accuracy {right:.4f}, sha256 {digest}")


if __name__ == "__main__":
    main()
