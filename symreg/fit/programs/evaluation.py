"""Programs: expression trees as instructions over rows of numbers, and the loops that run them.

A program works on a register file of rows. The first rows hold the variables: x or x1, x2, and c.
Then come the constants and integers, then results. Every instruction reads whole rows and writes a
row that neither operand uses, so that LLVM vectorises each loop. One interpreter step costs a few
nanoseconds for a whole row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.programs.interpreter import ARITY, run_tangents, run_values
from symreg.language.operators import PRIMITIVES

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_NODES = 256
"""Largest tree, in nodes."""
MAX_CONSTANTS = 16
"""Most constants of one tree."""
INPUTS = 3
"""Rows of variables: x or x1, x2, and c; a function of one variable has it in all of them."""
MAX_ROWS = MAX_NODES + MAX_CONSTANTS + INPUTS
TOGETHER = 512
"""Points evaluated together: a program's rows then stay in the first-level cache."""
INSTRUCTION = 5
"""Fields of an instruction: operator, row written, left row, right row, integer."""

_CONST, _INT = PRIMITIVES["const"].code, PRIMITIVES["int"].code
_X, _X1 = PRIMITIVES["x"].code, PRIMITIVES["x1"].code
_X2, _COSINE = PRIMITIVES["x2"].code, PRIMITIVES["c"].code


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
    are used again once read, so that these rows stay in the first-level cache.
    """
    stack = np.empty(MAX_NODES, np.int64)
    free = np.empty(MAX_NODES, np.int64)
    depth = n_free = n_instructions = 0
    n_rows = INPUTS + constants.size
    for c in range(constants.size):
        for k in range(width):
            rows[INPUTS + c, k] = constants[c]
    for node in range(code.size):
        if code[node] == _INT:
            n_rows += 1
    first_result = n_rows
    next_integer = INPUTS + constants.size
    for node in range(code.size - 1, -1, -1):
        op = code[node]
        if op in (_X, _X1, _X2, _COSINE):
            stack[depth] = 1 if op == _X2 else 2 if op == _COSINE else 0
            depth += 1
            continue
        if op == _CONST:
            stack[depth] = INPUTS + arg[node]
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
    """Scratch of one thread for programs over W points at a time, R rows and D directions."""

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
def _fill(x: Floats, rows: Floats) -> None:
    """Write the one variable of a function into every row of variables."""
    for row in range(INPUTS):
        _copy(x, rows[row])


@njit(inline="always", error_model="numpy")
def _mark_constants(
    directions: int, n_rows: int, tangents: Floats, active: NDArray[np.bool_]
) -> None:
    """Say that direction d differentiates by constant d."""
    for d in range(directions):
        for row in range(n_rows):
            active[row, d] = row == INPUTS + d
        for k in range(tangents.shape[2]):
            tangents[INPUTS + d, d, k] = 1.0


@njit(inline="always", error_model="numpy")
def _mark_variables(
    directions: int, n_rows: int, tangents: Floats, active: NDArray[np.bool_]
) -> None:
    """Say that direction d differentiates by variable d, or the only one by all of them."""
    for d in range(directions):
        for row in range(n_rows):
            active[row, d] = row == d or (directions == 1 and row < INPUTS)
        for row in range(INPUTS):
            for k in range(tangents.shape[2]):
                tangents[row, d, k] = 1.0


@njit(inline="always", error_model="numpy")
def tree_values(
    code: Integers, arg: Integers, constants: Floats, x: Floats, scratch: Registers, out: Floats
) -> None:
    """Write the values of one tree of one variable at no more than W points."""
    program, rows = scratch.program, scratch.rows
    n_instructions, result = assemble(code, arg, constants, rows.shape[1], program, rows)
    _fill(x, rows)
    run_values(program, n_instructions, rows, scratch.partials[0])
    _copy(rows[result, : x.size], out)


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
    """Write values and derivatives by all constants (K, points) of one tree of one variable."""
    _fill(x, scratch.rows)
    filled_slopes(code, arg, constants, scratch, out, slopes)


@njit(cache=True, nogil=True, error_model="numpy")
def filled_slopes(
    code: Integers,
    arg: Integers,
    constants: Floats,
    scratch: Registers,
    out: Floats,
    slopes: Floats,
) -> None:
    """The same with the rows of variables filled."""
    program, rows, directions = scratch.program, scratch.rows, constants.size
    tangents, active = scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, rows.shape[1], program, rows)
    _mark_constants(directions, INPUTS + directions + code.size, tangents, active)
    run_tangents(program, n_instructions, rows, tangents, active, directions, scratch.partials)
    for c in range(directions):
        _copy_active(active[result, c], tangents[result, c, : out.size], slopes[c])
    _copy(rows[result, : out.size], out)


@njit(inline="always", error_model="numpy")
def _width(points: int) -> int:
    """Points at a time, such that the last are nearly as many."""
    parts = max(-(-points // TOGETHER), 1)
    return 8 * max(-(-points // (8 * parts)), 1)


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
    if by_x:
        return evaluate_triplets(code, arg, constants, x, x, x, 1)
    directions = constants.size
    values, slopes = np.empty(x.size), np.empty((directions, x.size))
    width = _width(x.size)
    scratch = registers(INPUTS + constants.size + code.size, directions, width)
    for start in range(0, x.size, width):
        stop = min(start + width, x.size)
        _fill(x[start:stop], scratch.rows)
        filled_slopes(code, arg, constants, scratch, values[start:stop], slopes[:, start:stop])
    return values, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate_triplets(
    code: Integers,
    arg: Integers,
    constants: Floats,
    x1: Floats,
    x2: Floats,
    c: Floats,
    directions: int = INPUTS,
) -> tuple[Floats, Floats]:
    """Values (R,) and derivatives by x1, x2 and c (3, R) of one tree, in the order given.

    With one direction the derivative is by the variable that all three arrays hold.
    """
    values, slopes = np.empty(x1.size), np.empty((directions, x1.size))
    width = _width(x1.size)
    n_rows = INPUTS + constants.size + code.size
    scratch = registers(n_rows, directions, width)
    rows, tangents, active = scratch.rows, scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, width, scratch.program, rows)
    _mark_variables(directions, n_rows, tangents, active)
    for start in range(0, x1.size, width):
        stop = min(start + width, x1.size)
        _copy(x1[start:stop], rows[0])
        _copy(x2[start:stop], rows[1])
        _copy(c[start:stop], rows[2])
        run_tangents(
            scratch.program, n_instructions, rows, tangents, active, directions, scratch.partials
        )
        _copy(rows[result, : stop - start], values[start:stop])
        for d in range(directions):
            _copy_active(
                active[result, d], tangents[result, d, : stop - start], slopes[d, start:stop]
            )
    return values, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate_values(code: Integers, arg: Integers, constants: Floats, x: Floats) -> Floats:
    """Value of one tree at any number of points; arguments as for ``evaluate``."""
    values = np.empty(x.size)
    width = _width(x.size)
    scratch = registers(INPUTS + constants.size + code.size, 0, width)
    rows = scratch.rows
    n_instructions, result = assemble(code, arg, constants, width, scratch.program, rows)
    for start in range(0, x.size, width):
        stop = min(start + width, x.size)
        _fill(x[start:stop], rows)
        run_values(scratch.program, n_instructions, rows, scratch.partials[0])
        _copy(rows[result, : stop - start], values[start:stop])
    return values
