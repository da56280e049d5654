"""Programs: expression trees as instructions over rows of numbers, and the loops that run them.

A program works on a register file of rows. The first rows hold the variables of the function, as
many as it has. Then come the constants and integers, then results. Every instruction reads whole
rows and writes a row that neither operand uses, so that LLVM vectorises each loop. One interpreter
step costs a few nanoseconds for a whole row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from symreg.fit.programs.batch import MAX_CONSTANTS, MAX_NODES, ROWS
from symreg.fit.programs.interpreter import is_binary, run_tangents, run_values
from symreg.language.operators import CONST, INT, VARIABLE

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_ROWS = MAX_NODES + MAX_CONSTANTS + 3
"""Rows that any function of up to three variables needs."""
TOGETHER = 512
"""Points evaluated together: a program's rows then stay in the first-level cache."""
INSTRUCTION = 5
"""Fields of an instruction: operator, row written, left row, right row, integer."""

_CONST, _INT, _VARIABLE, _ROWS = CONST, INT, VARIABLE, ROWS


@njit(cache=True, nogil=True, error_model="numpy")
def assemble(
    code: Integers,
    arg: Integers,
    constants: Floats,
    inputs: int,
    width: int,
    program: Integers,
    rows: Floats,
) -> tuple[int, int]:
    """Turn prefix nodes into instructions; fill the rows of constants and integers.

    The first ``inputs`` rows are those of the variables. Returns the number of instructions and the
    row of the result. Rows of intermediate results are used again once read, so that these rows
    stay in the first-level cache.
    """
    stack = np.empty(MAX_NODES, np.int64)
    free = np.empty(MAX_NODES, np.int64)
    depth = n_free = n_instructions = 0
    n_rows = inputs + constants.size
    for c in range(constants.size):
        for k in range(width):
            rows[inputs + c, k] = constants[c]
    for node in range(code.size):
        if code[node] == _INT:
            n_rows += 1
    first_result = n_rows
    next_integer = inputs + constants.size
    for node in range(code.size - 1, -1, -1):
        op = code[node]
        if op == _VARIABLE:
            stack[depth] = arg[node] % _ROWS
            depth += 1
            continue
        if op == _CONST:
            stack[depth] = inputs + arg[node]
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
        if is_binary(op):
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
    # Written last: an unknown operator leaves operands below it, which must not be taken for it.
    return n_instructions, stack[depth - 1]


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
def _mark(
    first: int, directions: int, n_rows: int, tangents: Floats, active: NDArray[np.bool_]
) -> None:
    """Say that direction d differentiates by what the row first + d holds."""
    for d in range(directions):
        for row in range(n_rows):
            active[row, d] = row == first + d
        for k in range(tangents.shape[2]):
            tangents[first + d, d, k] = 1.0


@njit(inline="always", error_model="numpy")
def tree_values(
    code: Integers, arg: Integers, constants: Floats, x: Floats, scratch: Registers, out: Floats
) -> None:
    """Write the values of one tree of one variable at no more than W points."""
    program, rows = scratch.program, scratch.rows
    n_instructions, result = assemble(code, arg, constants, 1, rows.shape[1], program, rows)
    _copy(x, rows[0])
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
    _copy(x, scratch.rows[0])
    filled_slopes(code, arg, constants, 1, scratch, out, slopes)


@njit(cache=True, nogil=True, error_model="numpy")
def filled_slopes(
    code: Integers,
    arg: Integers,
    constants: Floats,
    inputs: int,
    scratch: Registers,
    out: Floats,
    slopes: Floats,
) -> None:
    """Write both where the rows of variables, ``inputs`` of them, are filled."""
    program, rows, directions = scratch.program, scratch.rows, constants.size
    tangents, active = scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, inputs, rows.shape[1], program, rows)
    _mark(inputs, directions, inputs + directions + code.size, tangents, active)
    run_tangents(program, n_instructions, rows, tangents, active, directions, scratch.partials)
    for c in range(directions):
        _copy_active(active[result, c], tangents[result, c, : out.size], slopes[c])
    _copy(rows[result, : out.size], out)


@njit(inline="always", error_model="numpy")
def _width(points: int) -> int:
    """Points at a time, such that the last are nearly as many."""
    parts = max(-(-points // TOGETHER), 1)
    return 8 * max(-(-points // (8 * parts)), 1)


@njit(cache=True, nogil=True, error_model="numpy")
def differentiate(
    code: Integers, arg: Integers, constants: Floats, x: Floats, by_constants: bool
) -> tuple[Floats, Floats]:
    """Values and derivatives of one tree of V variables at R points.

    Parameters
    ----------
    code, arg
        Nodes in prefix order, shape (nodes,).
    constants
        Shape (K,).
    x
        Variables at the points, shape (V, R).
    by_constants
        Whether to differentiate by constants, else by variables.

    Returns
    -------
    Values, shape (R,), and derivatives, shape (K, R) or (V, R).
    """
    inputs, points = x.shape
    directions = constants.size if by_constants else inputs
    first = inputs if by_constants else 0
    values, slopes = np.empty(points), np.empty((directions, points))
    width, n_rows = _width(points), inputs + constants.size + code.size
    scratch = registers(n_rows, directions, width)
    rows, tangents, active = scratch.rows, scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, inputs, width, scratch.program, rows)
    _mark(first, directions, n_rows, tangents, active)
    for start in range(0, points, width):
        stop = min(start + width, points)
        for v in range(inputs):
            _copy(x[v, start:stop], rows[v])
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
def evaluate(code: Integers, arg: Integers, constants: Floats, x: Floats) -> Floats:
    """Values of one tree, shape (R,); arguments as for ``differentiate``."""
    inputs, points = x.shape
    values, width = np.empty(points), _width(points)
    scratch = registers(inputs + constants.size + code.size, 0, width)
    rows = scratch.rows
    n_instructions, result = assemble(code, arg, constants, inputs, width, scratch.program, rows)
    for start in range(0, points, width):
        stop = min(start + width, points)
        for v in range(inputs):
            _copy(x[v, start:stop], rows[v])
        run_values(scratch.program, n_instructions, rows, scratch.partials[0])
        _copy(rows[result, : stop - start], values[start:stop])
    return values
