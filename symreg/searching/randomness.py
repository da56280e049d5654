"""A random stream for DEAP, which draws from Python's global one.

Other threads draw from the global stream too, those of a worker of dask for one, and nothing that
uses it is reproducible then. So DEAP gets one that a thread can have for itself.
"""

from __future__ import annotations

import random as global_random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from deap import gp


class _Random(global_random.Random):
    """Python's generator with the same choices, which are half of all draws, in one call."""

    def choice(self, seq: Any) -> Any:
        n = len(seq)
        bits = n.bit_length()
        k = self.getrandbits(bits)
        while k >= n > 0:
            k = self.getrandbits(bits)
        return seq[k]


class _Stream(threading.local):
    """Stands for the module ``random``; within ``seeded`` it is a stream of this thread alone."""

    def __getattr__(self, name: str) -> Any:
        return getattr(global_random, name)

    @contextmanager
    def seeded(self, rng: np.random.Generator) -> Iterator[None]:
        """Give this thread a stream of its own, seeded from a generator."""
        gp.random = self  # at the first use: to import a module changes nothing
        own, before = _Random(int(rng.integers(2**63))), dict(self.__dict__)
        # Methods as attributes: to look them up for every draw would take most of its time.
        self.__dict__.update({name: getattr(own, name) for name in _DRAWS})
        try:
            yield
        finally:
            self.__dict__.clear()
            self.__dict__.update(before)


_DRAWS = [name for name in dir(global_random.Random) if not name.startswith("_")]
random = _Stream()
