"""Programs: expression trees as instructions over rows of numbers, and the loops that run them.

A program works on a register file of rows: first the variables of the function, then constants and
integers, then results. Every instruction reads whole rows and writes a row that neither operand
uses, so that LLVM vectorises each loop. One step costs a few nanoseconds for a whole row.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from symreg.arrays import Floats, Integers
from symreg.fit.programs.batch import MAX_CONSTANTS, MAX_NODES, ROWS
from symreg.fit.programs.interpreter import Registers as Registers
from symreg.fit.programs.interpreter import is_binary, run_tangents, run_values
from symreg.language.operators import CONST, INT, VARIABLE

MAX_ROWS = MAX_NODES + MAX_CONSTANTS + 3
"""Rows that any function of up to three variables needs."""
TOGETHER = 512
"""Points evaluated together: a program's rows then stay in the first-level cache."""
INSTRUCTION = 5
"""Fields of an instruction: operator, row written, left row, right row, integer."""

_CONST, _INT, _VARIABLE, _ROWS = CONST, INT, VARIABLE, ROWS


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(source: Floats, target: Floats) -> None:
    # A loop over whole arrays vectorises, one with an offset in its indices does not; and
    # ``target[:] = source`` makes Numba compile an error message with text, which takes seconds.
    for k in range(source.size):
        target[k] = source[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(value: float, target: Floats) -> None:
    for k in range(target.size):
        target[k] = value


@njit(cache=True, nogil=True, error_model="numpy")
def assemble(
    code: Integers, arg: Integers, constants: Floats, inputs: int, scratch: Registers
) -> tuple[int, int]:
    """Turn prefix nodes into instructions; fill the rows of constants and integers.

    The first ``inputs`` rows are those of the variables. Returns the number of instructions and the
    row of the result. Rows of intermediate results are used again once read, so that these rows
    stay in the first-level cache.
    """
    program, rows = scratch.program, scratch.rows
    stack, free = np.empty(MAX_NODES, np.int64), np.empty(MAX_NODES, np.int64)
    depth = n_free = n_instructions = 0
    next_integer = n_rows = inputs + constants.size
    for c in range(constants.size):
        _fill(constants[c], rows[inputs + c])
    for node in range(code.size):
        if code[node] == _INT:
            n_rows += 1
    first_result = n_rows
    for node in range(code.size - 1, -1, -1):
        op = code[node]
        if op == _VARIABLE:
            row = arg[node] % _ROWS
        elif op == _CONST:
            row = inputs + arg[node]
        elif op == _INT:
            row = next_integer
            next_integer += 1
            _fill(float(arg[node]), rows[row])
        else:
            if n_free > 0:
                n_free -= 1
                row = free[n_free]
            else:
                row = n_rows
                n_rows += 1
            last = 1 if is_binary(op) else 0
            depth -= 1 + last
            for operand in range(depth, depth + 1 + last):
                if stack[operand] >= first_result:
                    free[n_free] = stack[operand]
                    n_free += 1
            step = program[n_instructions]
            n_instructions += 1
            step[0], step[1], step[4] = op, row, arg[node]
            step[2], step[3] = stack[depth + last], stack[depth]
        stack[depth] = row
        depth += 1
    # Written last: an unknown operator leaves operands below it, which must not be taken for it.
    return n_instructions, stack[depth - 1]


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


@njit(inline="always", error_model="numpy")
def _copy_active(moves: bool, tangent: Floats, slope: Floats) -> None:
    """Copy a tangent; zeros where nothing depends on its direction."""
    if moves:
        _copy(tangent, slope)
    else:
        _fill(0.0, slope)


@njit(inline="always", error_model="numpy")
def _mark(first: int, directions: int, n_rows: int, scratch: Registers) -> None:
    """Say that direction d differentiates by what the row first + d holds."""
    tangents, active = scratch.tangents, scratch.active
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
    n_instructions, result = assemble(code, arg, constants, 1, scratch)
    _copy(x, scratch.rows[0])
    run_values(scratch, n_instructions)
    _copy(scratch.rows[result, : x.size], out)


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
    directions, tangents, active = constants.size, scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, inputs, scratch)
    _mark(inputs, directions, inputs + directions + code.size, scratch)
    run_tangents(scratch, n_instructions, directions)
    for c in range(directions):
        _copy_active(active[result, c], tangents[result, c, : out.size], slopes[c])
    _copy(scratch.rows[result, : out.size], out)


@njit(inline="always", error_model="numpy")
def _width(points: int) -> int:
    """Points at a time, such that the last are nearly as many."""
    parts = max(-(-points // TOGETHER), 1)
    return 8 * max(-(-points // (8 * parts)), 1)


@njit(cache=True, nogil=True, error_model="numpy")
def differentiate(
    code: Integers, arg: Integers, constants: Floats, x: Floats, by_constants: bool
) -> tuple[Floats, Floats]:
    """Values (R,) of one tree of V variables at R points, shape (V, R), and its derivatives.

    These are by constants, shape (K, R), or else by variables, (V, R). Nodes have prefix order.
    """
    inputs, points = x.shape
    first, directions = (inputs, constants.size) if by_constants else (0, inputs)
    values, slopes = np.empty(points), np.empty((directions, points))
    width, n_rows = _width(points), inputs + constants.size + code.size
    scratch = registers(n_rows, directions, width)
    rows, tangents, active = scratch.rows, scratch.tangents, scratch.active
    n_instructions, result = assemble(code, arg, constants, inputs, scratch)
    _mark(first, directions, n_rows, scratch)
    for start in range(0, points, width):
        stop = min(start + width, points)
        for v in range(inputs):
            _copy(x[v, start:stop], rows[v])
        run_tangents(scratch, n_instructions, directions)
        _copy(rows[result, : stop - start], values[start:stop])
        for d in range(directions):
            tangent = tangents[result, d, : stop - start]
            _copy_active(active[result, d], tangent, slopes[d, start:stop])
    return values, slopes


@njit(cache=True, nogil=True, error_model="numpy")
def evaluate(code: Integers, arg: Integers, constants: Floats, x: Floats) -> Floats:
    """Values of one tree, shape (R,); arguments as for ``differentiate``."""
    inputs, points = x.shape
    values, width = np.empty(points), _width(points)
    scratch = registers(inputs + constants.size + code.size, 0, width)
    rows = scratch.rows
    n_instructions, result = assemble(code, arg, constants, inputs, scratch)
    for start in range(0, points, width):
        stop = min(start + width, points)
        for v in range(inputs):
            _copy(x[v, start:stop], rows[v])
        run_values(scratch, n_instructions)
        _copy(rows[result, : stop - start], values[start:stop])
    return values
