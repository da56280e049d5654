"""The loops that run programs, one instruction after another over whole rows of numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

from numba import njit

from symreg.arrays import Booleans, Floats, Integers
from symreg.fit.programs.elementary import FASTMATH, exp, log
from symreg.language.operators import OPERATORS

_ADD, _SUB = OPERATORS["add"].code, OPERATORS["sub"].code
_MUL, _DIV = OPERATORS["mul"].code, OPERATORS["div"].code
_NEG, _POWI, _POW = OPERATORS["neg"].code, OPERATORS["powi"].code, OPERATORS["pow"].code
_EXP, _LOG, _SQRT = OPERATORS["exp"].code, OPERATORS["log"].code, OPERATORS["sqrt"].code


class Registers(NamedTuple):
    """Scratch of one thread for programs over W points at a time, R rows and D directions."""

    program: Integers
    """Shape (MAX_NODES, INSTRUCTION)."""
    rows: Floats
    """Shape (R, W)."""
    tangents: Floats
    """Shape (R, D, W)."""
    active: Booleans
    """Shape (R, D)."""
    partials: Floats
    """Shape (2, W)."""


@njit(inline="always")
def is_binary(op: int) -> bool:
    """Whether an instruction has two operands."""
    return op in (_ADD, _SUB, _MUL, _DIV, _POW)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def integer_power(base: Floats, exponent: int, out: Floats, square: Floats) -> None:
    """Write base^exponent by repeated squaring; ``square`` is scratch of the same length."""
    n = abs(exponent)
    for k in range(out.size):
        square[k] = base[k]
    if n & 1:
        for k in range(out.size):
            out[k] = base[k]
    else:
        for k in range(out.size):
            out[k] = 1.0
    n >>= 1
    while n > 0:
        if n & 1:
            for k in range(out.size):
                squared = square[k] * square[k]
                square[k] = squared
                out[k] *= squared
        else:
            for k in range(out.size):
                square[k] *= square[k]
        n >>= 1
    if exponent < 0:
        for k in range(out.size):
            out[k] = 1.0 / out[k]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def run_values(scratch: Registers, n_instructions: int) -> None:
    """Run a program from ``assemble``: fill the rows that its instructions write."""
    program, rows, square = scratch.program, scratch.rows, scratch.partials[0]
    for step in range(n_instructions):
        op = program[step, 0]
        out, a, b = rows[program[step, 1]], rows[program[step, 2]], rows[program[step, 3]]
        if op == _ADD:
            for k in range(out.size):
                out[k] = a[k] + b[k]
        elif op == _SUB:
            for k in range(out.size):
                out[k] = a[k] - b[k]
        elif op == _MUL:
            for k in range(out.size):
                out[k] = a[k] * b[k]
        elif op == _DIV:
            for k in range(out.size):
                out[k] = a[k] / b[k]
        elif op == _POWI:
            integer_power(a, program[step, 4], out, square)
        elif op == _EXP:
            for k in range(out.size):
                out[k] = exp(a[k])
        elif op == _POW:
            for k in range(out.size):
                # Neighbour sums of an atom alone are zero, and powers of them too.
                out[k] = 0.0 if a[k] == 0.0 and b[k] > 0.0 else exp(b[k] * log(a[k]))
        elif op == _LOG:
            for k in range(out.size):
                out[k] = log(a[k])
        elif op == _SQRT:
            for k in range(out.size):
                out[k] = math.sqrt(a[k])
        elif op == _NEG:
            for k in range(out.size):
                out[k] = -a[k]
        else:  # never another function than the one that was meant
            for k in range(out.size):
                out[k] = math.nan


@njit(inline="always", error_model="numpy")
def _value_and_partials(
    op: int, exponent: int, a: Floats, b: Floats, out: Floats, da: Floats, db: Floats
) -> None:
    """One instruction with its derivatives by both operands; + - * are handled by the caller."""
    if op == _DIV:
        for k in range(out.size):
            inverse = 1.0 / b[k]
            quotient = a[k] * inverse
            out[k] = quotient
            da[k] = inverse
            db[k] = -quotient * inverse
    elif op == _POWI:
        integer_power(a, exponent - 1, da, db)
        for k in range(out.size):
            power = da[k]
            out[k] = power * a[k]
            da[k] = exponent * power
    elif op == _EXP:
        for k in range(out.size):
            value = exp(a[k])
            out[k] = value
            da[k] = value
    elif op == _POW:
        for k in range(out.size):
            logarithm = log(a[k])
            value = 0.0 if a[k] == 0.0 and b[k] > 0.0 else exp(b[k] * logarithm)
            out[k] = value
            da[k] = b[k] * value / a[k]
            db[k] = value * logarithm
    elif op == _LOG:
        for k in range(out.size):
            out[k] = log(a[k])
            da[k] = 1.0 / a[k]
    elif op == _SQRT:
        for k in range(out.size):
            root = math.sqrt(a[k])
            out[k] = root
            da[k] = 0.5 / root
    else:
        for k in range(out.size):
            out[k] = math.nan
            da[k] = math.nan


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def run_tangents(scratch: Registers, n_instructions: int, directions: int) -> None:
    """Run a program with derivatives along ``directions``, of which there is room for more.

    Leaves are filled: their rows, which directions they are active in, and tangents of those.
    """
    program, rows, partials = scratch.program, scratch.rows, scratch.partials
    tangents, active, da, db = scratch.tangents, scratch.active, partials[0], partials[1]
    for step in range(n_instructions):
        op = program[step, 0]
        written, left, right = program[step, 1], program[step, 2], program[step, 3]
        out, a, b = rows[written], rows[left], rows[right]
        binary = is_binary(op)
        pa, pb = da, db
        if op == _ADD:
            for k in range(out.size):
                out[k] = a[k] + b[k]
        elif op == _SUB:
            for k in range(out.size):
                out[k] = a[k] - b[k]
        elif op == _NEG:
            for k in range(out.size):
                out[k] = -a[k]
        elif op == _MUL:
            for k in range(out.size):
                out[k] = a[k] * b[k]
            pa, pb = b, a
        else:
            _value_and_partials(op, program[step, 4], a, b, out, da, db)
        for d in range(directions):
            left_moves = active[left, d]
            right_moves = binary and active[right, d]
            active[written, d] = left_moves or right_moves
            if not active[written, d]:
                continue
            t, ta, tb = tangents[written, d], tangents[left, d], tangents[right, d]
            if op in (_ADD, _SUB, _NEG):
                _add_tangents(op, left_moves, right_moves, ta, tb, t)
            elif left_moves and right_moves:
                for k in range(t.size):
                    t[k] = pa[k] * ta[k] + pb[k] * tb[k]
            elif left_moves:
                for k in range(t.size):
                    t[k] = pa[k] * ta[k]
            else:
                for k in range(t.size):
                    t[k] = pb[k] * tb[k]
            if op == _DIV and right_moves:
                # What saturates, as 1/(1 + exp), has no slope there; it would be 0 times infinity.
                for k in range(t.size):
                    t[k] = 0.0 if abs(b[k]) == math.inf else t[k]


@njit(inline="always", error_model="numpy")
def _add_tangents(op: int, left: bool, right: bool, ta: Floats, tb: Floats, t: Floats) -> None:
    a, b = -1.0 if op == _NEG else 1.0, -1.0 if op == _SUB else 1.0
    if left and right:
        for k in range(t.size):
            t[k] = a * ta[k] + b * tb[k]
    elif left:
        for k in range(t.size):
            t[k] = a * ta[k]
    else:
        for k in range(t.size):
            t[k] = b * tb[k]
