"""Programs: expression trees as instructions over rows of numbers, and the loops that run them.

A program works on a register file of rows. Row 0 holds x, then come the constants and integers,
then results. Every instruction reads whole rows and writes a row that neither operand uses, so
that LLVM vectorises each loop. One interpreter step costs a few nanoseconds for a whole row.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.kernels.elementary import FASTMATH, exp, log
from symreg.primitives import PRIMITIVES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_NODES = 256
"""Largest tree, in nodes."""
MAX_CONSTANTS = 16
"""Most constants of one tree."""
MAX_ROWS = MAX_NODES + MAX_CONSTANTS + 1
INSTRUCTION = 5
"""Fields of an instruction: operator, row written, left row, right row, integer."""

_CONST, _INT = PRIMITIVES["const"].code, PRIMITIVES["int"].code
_X = PRIMITIVES["x"].code
_ADD, _SUB = PRIMITIVES["add"].code, PRIMITIVES["sub"].code
_MUL, _DIV = PRIMITIVES["mul"].code, PRIMITIVES["div"].code
_NEG, _POWI, _POW = PRIMITIVES["neg"].code, PRIMITIVES["powi"].code, PRIMITIVES["pow"].code
_EXP, _LOG, _SQRT = PRIMITIVES["exp"].code, PRIMITIVES["log"].code, PRIMITIVES["sqrt"].code
_ARITY = np.array(
    [p.arity for p in sorted(PRIMITIVES.values(), key=lambda p: p.code)], dtype=np.int64
)


@njit(cache=True, nogil=True, error_model="numpy")
def assemble(
    code: Integers,
    arg: Integers,
    n_constants: int,
    width: int,
    program: Integers,
    rows: Floats,
) -> tuple[int, int]:
    """Turn prefix nodes into instructions; fill the rows of integers.

    Returns the number of instructions and the row of the result. Rows of intermediate results
    are used again once read, so that a block of rows stays in the first-level cache.
    """
    stack = np.empty(MAX_NODES, np.int64)
    free = np.empty(MAX_NODES, np.int64)
    depth = n_free = n_instructions = 0
    n_rows = 1 + n_constants
    for node in range(code.size):
        if code[node] == _INT:
            n_rows += 1
    first_result = n_rows
    next_integer = 1 + n_constants
    for node in range(code.size - 1, -1, -1):
        op = code[node]
        if op == _X:
            stack[depth] = 0
            depth += 1
            continue
        if op == _CONST:
            stack[depth] = 1 + arg[node]
            depth += 1
            continue
        if op == _INT:
            for k in range(width):
                rows[next_integer, k] = arg[node]
            stack[depth] = next_integer
            next_integer += 1
            depth += 1
            continue
        if n_free > 0:
            n_free -= 1
            written = free[n_free]
        else:
            written = n_rows
            n_rows += 1
        left = stack[depth - 1]
        right = left
        depth -= 1
        if _ARITY[op] == 2:
            right = stack[depth - 1]
            depth -= 1
            if right >= first_result:
                free[n_free] = right
                n_free += 1
        if left >= first_result:
            free[n_free] = left
            n_free += 1
        program[n_instructions, 0] = op
        program[n_instructions, 1] = written
        program[n_instructions, 2] = left
        program[n_instructions, 3] = right
        program[n_instructions, 4] = arg[node]
        n_instructions += 1
        stack[depth] = written
        depth += 1
    return n_instructions, stack[0]


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
def run_values(program: Integers, n_instructions: int, rows: Floats, scratch: Floats) -> None:
    """Run a program: fill the rows that its instructions write."""
    for step in range(n_instructions):
        op = program[step, 0]
        out = rows[program[step, 1]]
        a = rows[program[step, 2]]
        b = rows[program[step, 3]]
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
            integer_power(a, program[step, 4], out, scratch)
        elif op == _EXP:
            for k in range(out.size):
                out[k] = exp(a[k])
        elif op == _POW:
            for k in range(out.size):
                out[k] = exp(b[k] * log(a[k]))
        elif op == _LOG:
            for k in range(out.size):
                out[k] = log(a[k])
        elif op == _SQRT:
            for k in range(out.size):
                out[k] = math.sqrt(a[k])
        else:
            for k in range(out.size):
                out[k] = -a[k]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
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
            value = exp(b[k] * logarithm)
            out[k] = value
            da[k] = b[k] * value / a[k]
            db[k] = value * logarithm
    elif op == _LOG:
        for k in range(out.size):
            out[k] = log(a[k])
            da[k] = 1.0 / a[k]
    else:
        for k in range(out.size):
            root = math.sqrt(a[k])
            out[k] = root
            da[k] = 0.5 / root


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def run_tangents(
    program: Integers,
    n_instructions: int,
    rows: Floats,
    tangents: Floats,
    active: NDArray[np.bool_],
    partials: Floats,
) -> None:
    """Run a program with forward derivatives along several directions.

    Parameters
    ----------
    program, n_instructions
        From ``assemble``.
    rows
        Register file, shape (rows, width); leaves are filled.
    tangents
        Shape (rows, directions, width); those of active leaves are filled.
    active
        Which rows depend on which direction, shape (rows, directions); leaves are filled.
    partials
        Scratch, shape (2, width).
    """
    da, db = partials[0], partials[1]
    for step in range(n_instructions):
        op = program[step, 0]
        written, left, right = program[step, 1], program[step, 2], program[step, 3]
        out, a, b = rows[written], rows[left], rows[right]
        binary = _ARITY[op] == 2
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
        for d in range(active.shape[1]):
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


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add_tangents(op: int, left: bool, right: bool, ta: Floats, tb: Floats, t: Floats) -> None:
    a = 0.0 if not left else (-1.0 if op == _NEG else 1.0)
    b = 0.0 if not right else (-1.0 if op == _SUB else 1.0)
    if left and right:
        for k in range(t.size):
            t[k] = a * ta[k] + b * tb[k]
    elif left:
        for k in range(t.size):
            t[k] = a * ta[k]
    else:
        for k in range(t.size):
            t[k] = b * tb[k]


BLOCK = 512
"""Rows evaluated together: a program's rows then stay in the first-level cache."""


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def evaluate(code: Integers, arg: Integers, constants: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Value and slope of one tree at any number of points.

    Parameters
    ----------
    code, arg
        Nodes in prefix order, shape (nodes,).
    constants
        Shape (K,).
    x
        Points, shape (R,).
    """
    value, slope = np.empty(x.size), np.empty(x.size)
    width = min(BLOCK, max(x.size, 1))
    n_rows = 1 + constants.size + code.size
    rows, tangents = np.empty((n_rows, width)), np.empty((n_rows, 1, width))
    active, partials = np.zeros((n_rows, 1), np.bool_), np.empty((2, width))
    program = np.empty((MAX_NODES, INSTRUCTION), np.int64)
    n_instructions, result = assemble(code, arg, constants.size, width, program, rows)
    for c in range(constants.size):
        rows[1 + c] = constants[c]
    active[0, 0] = True
    tangents[0] = 1.0
    rows[0] = 1.0
    for start in range(0, x.size, width):
        stop = min(start + width, x.size)
        rows[0, : stop - start] = x[start:stop]
        run_tangents(program, n_instructions, rows, tangents, active, partials)
        value[start:stop] = rows[result, : stop - start]
        for k in range(start, stop):
            slope[k] = tangents[result, 0, k - start] if active[result, 0] else 0.0
    return value, slope


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def evaluate_values(code: Integers, arg: Integers, constants: Floats, x: Floats) -> Floats:
    """Value of one tree at any number of points; arguments as for ``evaluate``."""
    value = np.empty(x.size)
    width = min(BLOCK, max(x.size, 1))
    rows, scratch = np.empty((1 + constants.size + code.size, width)), np.empty(width)
    program = np.empty((MAX_NODES, INSTRUCTION), np.int64)
    n_instructions, result = assemble(code, arg, constants.size, width, program, rows)
    for c in range(constants.size):
        rows[1 + c] = constants[c]
    rows[0] = 1.0
    for start in range(0, x.size, width):
        stop = min(start + width, x.size)
        rows[0, : stop - start] = x[start:stop]
        run_values(program, n_instructions, rows, scratch)
        value[start:stop] = rows[result, : stop - start]
    return value
