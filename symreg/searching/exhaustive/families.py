"""Normal forms of families of functions, so that each family is enumerated once.

A form with constants stands for all functions that it becomes as they vary. ``Families`` rewrites
it as a sum of products of powers: addends and factors in order, powers of products and logarithms
of products split up, constants that only scale a constant merged. Two forms of one normal form are
one family. The converse does not hold: powers of sums are not multiplied out, nor are fractions
brought together, so that a few families remain that have two normal forms.

Signs under roots and real powers are taken as they come: sqrt(u^2) counts as u, and a scale taken
out of a root as positive.
"""

from __future__ import annotations

import math
from typing import Any

from symreg.language.operators import FUNCTIONS
from symreg.language.text import Nested

FREE = math.inf
"""Stands for a number that is fitted."""

Mono = tuple[tuple[int, float], ...]
"""A product of powers: numbers of bases, each with its exponent, in order."""
Sum = tuple[tuple[Mono, float], ...]
"""Addends with their coefficients, in order; those with fitted numbers inside may recur."""
_DIGITS = 12
_ONE: Mono = ()
_SCALE: Sum = ((_ONE, FREE),)


def _times(a: float, b: float) -> float:
    return FREE if FREE in (abs(a), abs(b)) else a * b


def _plus(a: float, b: float) -> float:
    return FREE if FREE in (abs(a), abs(b)) else a + b


def _divided(addends: Sum, number: float) -> Sum:
    """A sum without a factor; rounded, so that equal ratios are equal."""
    return tuple((mono, c if c == FREE else round(c / number, _DIGITS)) for mono, c in addends)


def _generic(addends: Sum) -> Sum:
    """Addends with free ratios."""
    return tuple((mono, FREE if k else 1.0) for k, (mono, _) in enumerate(addends))


def _single(base: int, exponent: float = 1.0, scale: float = 1.0) -> Sum:
    """A power of one base."""
    return ((((base, exponent),), scale),)


def _is_generic(addends: Sum) -> bool:
    """Whether a free scale makes all coefficients free."""
    return sum(coefficient != FREE for _, coefficient in addends) <= 1


class Families:
    """Normal forms of nested forms; only those of one instance can be compared."""

    def __init__(self) -> None:
        self._numbers, self._bases, self._fitted = dict[Any, int](), list[Any](), list[int]()
        self._known: dict[Nested, Sum] = {}

    def of(self, u: Nested) -> Sum:
        """Normal form of a function; the values of its constants do not matter."""
        return self._known[u] if u in self._known else self._make(u)

    def _part(self, u: Nested) -> Sum:
        """Normal form of a part, kept: it may be part of many functions."""
        if u not in self._known:
            self._known[u] = self._make(u)
        return self._known[u]

    def scaled(self, addends: Sum) -> tuple[bool, Sum]:
        """Normal form of a function whose scale is free, as that of a term is, from its own.

        The first entry tells a sum with fixed ratios from one whose addends are scaled each by
        itself, which is the sum of as many terms.
        """
        if _is_generic(addends):
            return False, self._product(_SCALE, addends)
        return True, _divided(addends, next(c for _, c in addends if c != FREE))

    def fitted(self, addends: Sum) -> int:
        """How many numbers of a normal form are fitted."""
        return sum((c == FREE) + self._inside(mono) for mono, c in addends)

    def _make(self, u: Nested) -> Sum:
        op = u[0]
        if op == "const":
            return _SCALE
        if op == "int":
            return ((_ONE, float(u[1])),)
        if len(u) == 1:
            return _single(self._number(u, 0))
        if op == "powi":
            return self._power(self._part(u[2]), float(u[1]))
        one = self._part(u[1])
        if op in ("exp", "log"):
            return self._exp(one) if op == "exp" else self._log(one)
        if op == "sqrt":
            return self._power(one, 0.5)
        if op == "pow":
            return self._power(one, FREE if u[2][0] == "const" else float(u[2][1]))
        if op in FUNCTIONS:  # nothing is known of it
            return _single(self._number((op, one), self.fitted(one)))
        two = self._part(u[2])
        if op in ("add", "sub"):
            sign = 1.0 if op == "add" else -1.0
            return self._sum([*one, *((mono, _times(sign, c)) for mono, c in two)])
        return self._product(one, two if op == "mul" else self._power(two, -1.0))

    def _number(self, base: Any, fitted: int) -> int:
        number = self._numbers.setdefault(base, len(self._bases))
        if number == len(self._bases):
            self._bases.append(base)
            self._fitted.append(fitted)
        return number

    def _inside(self, mono: Mono) -> int:
        """Fitted numbers in a product of powers."""
        return sum((exponent == FREE) + self._fitted[base] for base, exponent in mono)

    def _sum(self, addends: list[tuple[Mono, float]]) -> Sum:
        """Addends in order; equal ones are merged, unless numbers in them are fitted apart."""
        merged: dict[Mono, float] = {}
        apart = []
        for mono, c in addends:
            if self._inside(mono):
                apart.append((mono, c))
            else:
                merged[mono] = _plus(merged[mono], c) if mono in merged else c
        return tuple(sorted([*((m, c) for m, c in merged.items() if c != 0), *apart]))

    def _factor(self, addends: Sum, whole: bool = True) -> tuple[float, Mono]:
        """A sum as a number times a product of powers; signs stay in it if powers are not whole."""
        if len(addends) == 1:
            return addends[0][1], addends[0][0]
        common = self._common(addends)
        if common:
            addends = self._sum([(self._merged(mono, common, -1.0), c) for mono, c in addends])
        content = next((c for _, c in addends if c != FREE), FREE)
        content = content if whole else abs(content)
        addends = _generic(addends) if content == FREE else _divided(addends, content)
        return content, self._merged(((self._wrapped(addends), 1.0),), common, 1.0)

    def _common(self, addends: Sum) -> Mono:
        """The largest product of powers without fitted numbers that divides all addends."""
        least: dict[int, float] = {}
        for base, _ in {pair for mono, _ in addends for pair in mono}:
            exponents = [dict(mono).get(base, 0.0) for mono, _ in addends]
            plain = not self._fitted[base] and FREE not in exponents
            if plain and self._bases[base][0] != "exp":
                least[base] = min(exponents)
        return tuple(sorted((base, e) for base, e in least.items() if e))

    def _merged(self, one: Mono, two: Mono, power: float) -> Mono:
        """A product of powers times one without fitted numbers to a power."""
        exponents = {base: e * power for base, e in two}
        shared = [(base, _plus(e, exponents.pop(base, 0.0))) for base, e in one]
        return tuple(sorted((base, e) for base, e in [*shared, *exponents.items()] if e != 0))

    def _product(self, one: Sum, two: Sum) -> Sum:
        (a, first), (b, second) = self._factor(one), self._factor(two)
        scale, powers, exponents = _times(a, b), dict[int, float](), list[Sum]()
        apart = []
        for base, exponent in (*first, *second):
            if self._bases[base][0] == "exp":
                exponents.append(self._bases[base][1])
            elif self._fitted[base]:
                apart.append((base, exponent))
            else:
                powers[base] = _plus(powers.get(base, 0.0), exponent)
        factors = [*((base, e) for base, e in powers.items() if e != 0), *apart]
        if exponents:
            total = self._sum([addend for part in exponents for addend in part])
            if scale == FREE:
                total = tuple((mono, c) for mono, c in total if mono != _ONE)
            if total:
                factors.append((self._number(("exp", total), self.fitted(total)), 1.0))
        return self._expanded(scale, factors)

    def _expanded(self, scale: float, factors: list[tuple[int, float]]) -> Sum:
        """A product with its first power of a sum spread over the addends, where that is exact."""
        if scale == FREE:
            for place, (base, exponent) in enumerate(factors):
                kind, *inner = self._bases[base]
                if kind == "sum" and len(inner[0]) == 1 and 0 < inner[0][0][1] != 1.0:
                    rest = tuple(sorted((*factors[:place], *factors[place + 1 :])))
                    power = self._power(((inner[0][0][0], 1.0),), exponent)
                    return self._product(((rest, scale),), power)
            factors = [self._absorbing(*factor) for factor in factors]
        for place, (base, exponent) in enumerate(factors):
            kind, addends = self._bases[base][0], self._bases[base][1:]
            rest = tuple(sorted((*factors[:place], *factors[place + 1 :])))
            spread = kind == "sum" and exponent == 1.0 and not self._inside(rest)
            if not spread or (scale == FREE and not _is_generic(addends[0])):
                continue
            parts = [
                self._product(((mono, _times(c, scale)),), ((rest, 1.0),)) for mono, c in addends[0]
            ]
            return self._sum([addend for part in parts for addend in part])
        return ((tuple(sorted(factors)), scale),)

    def _absorbing(self, base: int, exponent: float) -> tuple[int, float]:
        """A factor beside a free scale, which takes over that of a sum."""
        kind, *inner = self._bases[base]
        if kind == "sum" and len(inner[0]) == 1:  # of negative scale
            return self._wrapped(((inner[0][0][0], -1.0),)), exponent
        if kind != "sum" or not _is_generic(inner[0]):
            return base, exponent
        return self._wrapped(_generic(inner[0])), exponent

    def _wrapped(self, addends: Sum) -> int:
        return self._number(("sum", addends), self.fitted(addends))

    def _power(self, u: Sum, exponent: float) -> Sum:
        whole = exponent != FREE and float(exponent).is_integer()
        if exponent == FREE and len(u) > 1:
            return _single(self._wrapped(u), FREE)
        scale, mono = self._factor(u, whole)
        if scale < 0 and not whole:
            scale, mono = self._turned(scale, mono)
        entangled = exponent == FREE and (len(mono) > 1 or scale not in (1.0, FREE))
        if entangled or (scale < 0 and not whole):
            return _single(self._wrapped(u), exponent)
        result: Sum = ((_ONE, scale if scale in (1.0, FREE) else scale**exponent),)
        for base, e in mono:
            result = self._product(result, self._to_the(base, e, exponent))
        return result

    def _turned(self, scale: float, mono: Mono) -> tuple[float, Mono]:
        """A negative number times a product, with the sign inside an odd power of a sum."""
        for place, (base, e) in enumerate(mono):
            kind, *inner = self._bases[base]
            if kind == "sum" and e % 2 == 1:
                turned = tuple((m, c if c == FREE else -c) for m, c in inner[0])
                factors = (*mono[:place], (self._wrapped(turned), e), *mono[place + 1 :])
                return -scale, tuple(sorted(factors))
        return scale, mono

    def _to_the(self, base: int, e: float, exponent: float) -> Sum:
        """A power of a base to another power."""
        kind, *inner = self._bases[base]
        if kind != "exp":
            return _single(base, _times(e, exponent))
        factor = _SCALE if exponent == FREE else ((_ONE, exponent),)
        return self._exp(self._product(factor, inner[0]))

    def _exp(self, u: Sum) -> Sum:
        scale, powers, left = 1.0, list[tuple[int, float]](), list[tuple[Mono, float]]()
        for mono, c in u:
            if mono == _ONE and c == FREE:
                scale = FREE
            elif len(mono) == 1 and self._bases[mono[0][0]][0] == "log" and mono[0][1] == 1:
                powers.append((self._bases[mono[0][0]][1], c))
            else:
                left.append((mono, c))
        result: Sum = ((_ONE, scale),)
        if left:
            inner = tuple(left)
            result = _single(self._number(("exp", inner), self.fitted(inner)), scale=scale)
        for base, c in powers:
            result = self._product(result, _single(base, c))
        return result

    def _log(self, u: Sum) -> Sum:
        scale, mono = self._factor(u, False)
        if scale < 0:
            return _single(self._number(("log", self._wrapped(u)), self.fitted(u)))
        addends = [] if scale == 1 else [(_ONE, FREE if scale == FREE else math.log(scale))]
        for base, e in mono:
            kind, *inner = self._bases[base]
            if kind == "exp":
                addends += [(m, _times(c, e)) for m, c in inner[0]]
            else:
                log = self._number(("log", base), self._fitted[base])
                addends.append((((log, 1.0),), e))
        return self._sum(addends)
