"""Python's global random stream, which DEAP draws from, for one user at a time."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

_lock = threading.RLock()


@contextmanager
def global_stream(rng: np.random.Generator) -> Iterator[None]:
    """Seed the global stream from a generator; other threads wait, and find it as it was.

    Examples
    --------
    >>> with global_stream(np.random.default_rng(0)):
    ...     random.randrange(1000)
    148
    """
    with _lock:
        before = random.getstate()
        random.seed(int(rng.integers(2**63)))
        try:
            yield
        finally:
            random.setstate(before)
