"""Programs: expression trees as instructions over rows of numbers, and the loops that run them.

A program works on a register file of rows. Row 0 holds x, then come the constants and integers,
then results. Every instruction reads whole rows and writes a row that neither operand uses, so
that LLVM vectorises each loop. One interpreter step costs a few nanoseconds for a whole row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.kernels.interpreter import ARITY, run_tangents, run_values
from symreg.primitives import PRIMITIVES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_NODES = 256
"""Largest tree, in nodes."""
MAX_CONSTANTS = 16
"""Most constants of one tree."""
MAX_ROWS = MAX_NODES + MAX_CONSTANTS + 1
BLOCK = 512
"""Points evaluated together: a program's rows then stay in the first-level cache."""
INSTRUCTION = 5
"""Fields of an instruction: operator, row written, left row, right row, integer."""

_CONST, _INT = PRIMITIVES["const"].code, PRIMITIVES["int"].code
_X = PRIMITIVES["x"].code


@njit(cache=True, nogil=True, error_model="numpy")
def assemble(
    code: Integers,
    arg: Integers,
    constants: Floats,
    width: int,
    program: Integers,
    rows: Floats,
) -> tuple[int, int]:
    """Turn prefix nodes into instructions; fill the rows of constants and integers.

    Returns the number of instructions and the row of the result. Rows of intermediate results
    are used again once read, so that a block of rows stays in the first-level cache.
    """
    stack = np.empty(MAX_NODES, np.int64)
    free = np.empty(MAX_NODES, np.int64)
    depth = n_free = n_instructions = 0
    n_rows = 1 + constants.size
    for c in range(constants.size):
        for k in range(width):
            rows[1 + c, k] = constants[c]
    for node in range(code.size):
        if code[node] == _INT:
            n_rows += 1
    first_result = n_rows
    next_integer = 1 + constants.size
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
        if ARITY[op] == 2:
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


class Registers(NamedTuple):
    """Scratch of one thread for programs over blocks of W points, R rows and D directions."""

    program: Integers
    """Shape (MAX_NODES, INSTRUCTION)."""
    rows: Floats
    """Shape (R, W)."""
    tangents: Floats
    """Shape (R, D, W)."""
    active: NDArray[np.bool_]
    """Shape (R, D)."""
    partials: Floats
    """Shape (2, W)."""


@njit(inline="always", error_model="numpy")
def registers(n_rows: int, directions: int, width: int) -> Registers:
    """Allocate the scratch."""
    return Registers(
        np.empty((MAX_NODES, INSTRUCTION), np.int64),
        np.empty((n_rows, width)),
        np.empty((n_rows, directions, width)),
        np.empty((n_rows, directions), np.bool_),
        np.empty((2, width)),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(source: Floats, target: Floats) -> None:
    # A loop over whole arrays vectorises, one with an offset in its indices does not; and
    # ``target[:] = source`` makes Numba compile an error message with text, which takes seconds.
    for k in range(source.size):
        target[k] = source[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _copy_active(moves: bool, tangent: Floats, slope: Floats) -> None:
    """Copy a tangent; zeros where nothing depends on its direction."""
    if moves:
        for k in range(slope.size):
            slope[k] = tangent[k]
    else:
        for k in range(slope.size):
            slope[k] = 0.0


@njit(inline="always", error_model="numpy")
def _mark(
    first: int, n_rows: int, directions: int, tangents: Floats, active: NDArray[np.bool_]
) -> None:
    """Say that row ``first`` + d is what direction d differentiates by."""
    for d in range(directions):
        for row in range(1 + n_rows):
            active[row, d] = row == first + d
        for k in range(tangents.shape[2]):
            tangents[first + d, d, k] = 1.0


@njit(inline="always", error_model="numpy")
def tree_values(
    code: Integers, arg: Integers, constants: Floats, x: Floats, scratch: Registers, out: Floats
) -> None:
    """Write the values of one tree at W points."""
    program, rows = scratch.program, scratch.rows
    n_instructions, result = assemble(code, arg, constants, x.size, program, rows)
    _copy(x, rows[0])
    run_values(program, n_instructions, rows, scratch.partials[0])
    _copy(rows[result], out)


@njit(inline="always", error_model="numpy")
def tree_slopes(
    code: Integers,
    arg: Integers,
    constants: Floats,
    x: Floats,
    scratch: Registers,
    out: Floats,
    slopes: Floats,
) -> None:
    """Write values (W,) and derivatives by all constants (K, W) of one tree."""
    program, rows, directions = scratch.program, scratch.rows, constants.size
    tangents, active = scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, x.size, program, rows)
    _copy(x, rows[0])
    _mark(1, directions + code.size, directions, tangents, active)
    run_tangents(program, n_instructions, rows, tangents, active, directions, scratch.partials)
    for c in range(directions):
        _copy_active(active[result, c], tangents[result, c], slopes[c])
    _copy(rows[result], out)


@njit(inline="always", error_model="numpy")
def _width(points: int) -> int:
    """Block width that leaves the last block nearly full."""
    blocks = max(-(-points // BLOCK), 1)
    return 8 * max(-(-points // (8 * blocks)), 1)


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
    values, slopes = differentiate(code, arg, constants, x, True)
    return values, slopes[0]


@njit(cache=True, nogil=True, error_model="numpy")
def differentiate(
    code: Integers, arg: Integers, constants: Floats, x: Floats, by_x: bool
) -> tuple[Floats, Floats]:
    """Values (R,) and derivatives by x (1, R), or by all constants (K, R), of one tree."""
    directions = 1 if by_x else constants.size
    values, slopes = np.empty(x.size), np.empty((directions, x.size))
    width = _width(x.size)
    scratch = registers(1 + constants.size + code.size, directions, width)
    rows, tangents, active = scratch.rows, scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, width, scratch.program, rows)
    _mark(0 if by_x else 1, constants.size + code.size, directions, tangents, active)
    for start in range(0, x.size, width):
        stop = min(start + width, x.size)
        _copy(x[start:stop], rows[0])
        run_tangents(
            scratch.program, n_instructions, rows, tangents, active, directions, scratch.partials
        )
        _copy(rows[result, : stop - start], values[start:stop])
        for d in range(directions):
            _copy_active(active[result, d], tangents[result, d], slopes[d, start:stop])
    return values, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate_values(code: Integers, arg: Integers, constants: Floats, x: Floats) -> Floats:
    """Value of one tree at any number of points; arguments as for ``evaluate``."""
    values = np.empty(x.size)
    width = _width(x.size)
    scratch = registers(1 + constants.size + code.size, 0, width)
    rows = scratch.rows
    n_instructions, result = assemble(code, arg, constants, width, scratch.program, rows)
    for start in range(0, x.size, width):
        stop = min(start + width, x.size)
        _copy(x[start:stop], rows[0])
        run_values(scratch.program, n_instructions, rows, scratch.partials[0])
        _copy(rows[result, : stop - start], values[start:stop])
    return values
