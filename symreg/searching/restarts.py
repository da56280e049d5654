"""When a search that may have lost its way begins anew."""

from __future__ import annotations


def begins_anew(generation: int, unit: int) -> bool:
    """Whether a population that is restarted for ever begins anew after this generation.

    Runs last 1, 1, 2, 1, 1, 2, 4, 1, ... units: whatever the best length is, which nobody knows, so
    little more is lost than a factor of its logarithm (M. Luby, A. Sinclair and D. Zuckerman, Inf.
    Process. Lett. 47, 173, 1993).

    >>> [n for n in range(9) if begins_anew(10 * n, unit=10)]
    [0, 1, 2, 4, 5, 6, 8]
    """
    done, run = 0, 1
    while done < generation:
        done += unit * _luby(run)
        run += 1
    return done == generation


def _luby(n: int) -> int:
    """Element n = 1, 2, ... of Luby's sequence."""
    power = 1 << n.bit_length() - 1
    return power if n == 2 * power - 1 else _luby(n - power + 1)
