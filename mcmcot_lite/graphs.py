"""A Langevin step recorded once as a CUDA graph and replayed: no kernel is launched one by one.

A small network's step is many short kernels, and a GPU waits for Python between them. Replaying
sends all of them at once. The recording keeps the addresses of its inputs, so the images are copied
into fixed places and the network may change only in place.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Recorded"]

Score = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # latents, images, mask -> gradient


class Recorded:
    """A score with its images in fixed places.

    Args:
        score: called with tensors of one shape; makes the same kernels each time.
        z, x, mask: of that shape; their values do not matter.
    """

    def __init__(self, score: Score, z: Tensor, x: Tensor, mask: Tensor | None) -> None:
        self.z, self.x = z.clone(), x.clone()
        self.mask = None if mask is None else mask.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose kernels and take memory before recording
            for _ in range(3):
                score(self.z, self.x, self.mask)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = score(self.z, self.x, self.mask)

    def load(self, x: Tensor, mask: Tensor | None) -> None:
        """Puts images into the recording's places."""
        self.x.copy_(x)
        if self.mask is not None and mask is not None:
            self.mask.copy_(mask)

    def __call__(self, z: Tensor) -> Tensor:
        """The score of the loaded images; the result is overwritten by the next call."""
        self.z.copy_(z)
        self.graph.replay()
        return self.out
