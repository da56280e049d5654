"""Speed of evaluating trees: node evaluations per second on one core, 10,000 points, float64.

The same random trees of about 17 nodes and 4 constants go to symreg's compiled programs (values;
values and slopes; values and derivatives by all constants), to NumPy functions compiled by DEAP,
and to pyoperon and gplearn where they are installed (extra ``bench``). All take turns in one
process. A node is an operator, an x or a number; each counts once however many derivatives are
computed with it.

    python benchmarks/evaluation.py [--trees 60] [--points 10000] [--turns 15]
    python benchmarks/evaluation.py --compile     # seconds to compile, function by function

Comes out: a Markdown table of 10^9 node evaluations per second, median and best turn; or the CPU
seconds of compiling all that a search needs, in a new process with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from common import CUTOFF, R0, argon, deap_function, interleaved, machine
from numpy.typing import NDArray

from symreg.fit.programs.batch import encoded
from symreg.fit.programs.evaluation import differentiate, evaluate
from symreg.language.canonical import X, tree_of
from symreg.language.operators import OPERATORS
from symreg.language.text import Nested

Floats = NDArray[np.float64]

PLAIN = {"add": 25, "sub": 15, "mul": 30, "div": 15, "exp": 5, "log": 5, "sqrt": 5}
POWERS = {**PLAIN, "powi": 15, "pow": 10}
EXPONENTS = (-12, -6, -4, -3, -2, 2, 3, 4, 6)
SIZES = range(13, 22)


def grow(operators: dict[str, int], depth: int) -> Nested:
    """Random tree in nested form; no operator has numbers alone as operands."""
    if depth == 0:
        return X
    op = random.choices(list(operators), list(operators.values()))[0]
    operands = [grow(operators, depth - 1)]
    if op == "powi":
        return (op, random.choice(EXPONENTS), *operands)
    if op == "pow":
        return (op, *operands, number())
    if OPERATORS[op].arity == 2:
        other = random.randrange(depth)
        leaf = number() if other == 0 and random.random() < 0.75 else None
        operands.append(leaf or grow(operators, other))
        random.shuffle(operands)
    return (op, *operands)


def number() -> Nested:
    """A constant."""
    return ("const", random.uniform(0.5, 3.0))


def draw(operators: dict[str, int], count: int, x: Floats) -> list[Nested]:
    """Trees of the wanted sizes that are finite on all points and hold x and constants."""
    random.seed(0)
    found: list[Nested] = []
    while len(found) < count:
        nested = grow(operators, random.choice((4, 5, 6)))
        tree = tree_of(nested)
        ops = [node[0] for node in tree.shape.nodes()]
        if len(ops) in SIZES and "x" in ops and 3 <= len(tree.constants) <= 7:
            with np.errstate(all="ignore"):
                values = np.asarray(tree(x))
            if np.abs(values).max() < 1e30:
                found.append(nested)
    return found


def operon_action(trees: Sequence[Nested], x: Floats) -> Callable[[], object] | None:
    """Evaluate all trees with pyoperon on one thread, in its float32; None without pyoperon."""
    try:
        import pyoperon
    except ImportError:
        return None
    types = pyoperon.NodeType
    kinds = {name: getattr(types, name.capitalize()) for name in PLAIN} | {"pow": types.Pow}
    data = pyoperon.Dataset(np.asfortranarray(x[:, None]))

    def convert(u: Nested, nodes: list[Any]) -> None:
        if u == X:
            leaf = pyoperon.Node.Variable(1.0)
            leaf.HashValue = leaf.CalculatedHashValue = data.VariableHashes[0]
            nodes.append(leaf)
        elif u[0] == "const":
            nodes.append(pyoperon.Node.Constant(u[1]))
        else:
            # Postfix, and the first operand stands last.
            operands = (u[2], ("const", float(u[1]))) if u[0] == "powi" else u[1:]
            for operand in reversed(operands):
                convert(operand, nodes)
            nodes.append(pyoperon.Node(kinds["pow" if u[0] == "powi" else u[0]]))

    programs = []
    for nested in trees:
        nodes: list[Any] = []
        convert(nested, nodes)
        programs.append(pyoperon.Tree(nodes).UpdateNodes())
    rows, result = pyoperon.Range(0, x.size), np.zeros(len(trees) * x.size, dtype=np.float32)
    expected = np.concatenate([np.asarray(tree_of(nested)(x)) for nested in trees])
    pyoperon.EvaluateTrees(programs, data, rows, result, 1)
    agree = np.isclose(result, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert agree.mean() > 0.99, "pyoperon computes something else"
    return lambda: pyoperon.EvaluateTrees(programs, data, rows, result, 1)


def gplearn_action(trees: Sequence[Nested], x: Floats) -> Callable[[], object] | None:
    """Evaluate all trees with gplearn's programs, their operators not protected; None without."""
    try:
        from gplearn._program import _Program
        from gplearn.functions import _Function
    except ImportError:
        return None
    ufuncs = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
    ufuncs |= {"pow": np.power, "exp": np.exp, "log": np.log, "sqrt": np.sqrt}
    functions = {name: _Function(f, name, f.nin) for name, f in ufuncs.items()}

    def convert(u: Nested) -> list[Any]:
        if u == X:
            return [0]
        if u[0] == "const":
            return [u[1]]
        if u[0] == "powi":
            return [functions["pow"], *convert(u[2]), float(u[1])]
        return [functions[u[0]], *(node for operand in u[1:] for node in convert(operand))]

    bare = [_Program.__new__(_Program) for _ in trees]
    for program, nested in zip(bare, trees, strict=True):
        program.program, program.feature_names = convert(nested), None
    data = x[:, None]
    return lambda: drop(program.execute(data) for program in bare)


def drop(results: Iterable[object]) -> None:
    """Compute everything and keep nothing."""
    deque(results, maxlen=0)


def actions(trees: Sequence[Nested], x: Floats) -> dict[str, Callable[[], object]]:
    """Functions that take turns."""
    plain = [tree_of(nested) for nested in trees]
    programs = [(*encoded(tree.shape), np.array(tree.constants), x[None, :]) for tree in plain]
    functions = [(deap_function(tree), tree.constants) for tree in plain]
    # Results are dropped at once: keeping them would measure how the system hands out memory.
    chosen: dict[str, Callable[[], object]] = {
        "symreg, value": lambda: drop(evaluate(*p) for p in programs),
        "symreg, value and d/dr": lambda: drop(differentiate(*p, False) for p in programs),
        "symreg, value and d/dconstants": lambda: drop(differentiate(*p, True) for p in programs),
        "DEAP gp.compile, NumPy, value": lambda: drop(f(x, *c) for f, c in functions),
    }
    peers = {"pyoperon, float32, value": operon_action, "gplearn, value": gplearn_action}
    for name, make in peers.items():
        action = make(trees, x)
        if action:
            chosen[name] = action
    return chosen


def measure_speed(options: argparse.Namespace) -> None:
    """Print the table of speeds."""
    x = np.linspace(0.7, 2.0, options.points)
    sets = {"+ - * / exp log sqrt": PLAIN, "the same and powers": POWERS}
    table: dict[str, list[str]] = {}
    for operators in sets.values():
        trees = draw(operators, options.trees, x)
        plain = [tree_of(nested) for nested in trees]
        work = sum(1 for tree in plain for _ in tree.shape.nodes()) * x.size
        print(
            f"{len(plain)} trees of {work / x.size / len(plain):.1f} nodes and "
            f"{np.mean([len(tree.constants) for tree in plain]):.1f} constants"
        )
        for name, seconds in interleaved(actions(trees, x), options.turns).items():
            median, best = work / np.median(seconds) / 1e9, work / min(seconds) / 1e9
            table.setdefault(name, []).append(f"{median:.2f} ({best:.2f})")
    print(f"\n| 10^9 nodes per second, median (best) | {' | '.join(sets)} |")
    print("|---" * (1 + len(sets)) + "|")
    for name, cells in table.items():
        print(f"| {name} | {' | '.join(cells)} |")


def compile_all() -> None:
    """Compile what a search needs and print where the time goes; run in a new process."""
    from numba.core import event

    from symreg.fit.design import build_design
    from symreg.fit.loss import LossSettings
    from symreg.fit.projected.fitter import Fitter
    from symreg.searching.variation import Variation, VariationSettings
    from symreg.terms.lengths import Lengths

    own: dict[str, float] = {}
    open_: list[list[Any]] = []

    class Listener(event.Listener):  # type: ignore[misc]
        def on_start(self, happened: Any) -> None:
            open_.append([happened.data["dispatcher"].py_func, time.process_time(), 0.0])

        def on_end(self, happened: Any) -> None:  # noqa: ARG002
            function, start, children = open_.pop()
            spent = time.process_time() - start
            name = function.__name__ if "symreg" in function.__module__ else "parts of numba"
            own[name] = own.get(name, 0.0) + spent - children
            if open_:
                open_[-1][2] += spent

    event.register("numba:compile", Listener())
    began = time.process_time()
    structures = argon(2)  # its labels come from the exact path: slopes and sums over pairs
    design = build_design(structures, Lengths(CUTOFF, None, R0), loss=LossSettings())
    candidates = Variation(VariationSettings(), design.keys).random(20, np.random.default_rng(0))
    fitter = Fitter(design)
    fitter.fit(candidates)
    total = time.process_time() - began
    print("| function | CPU seconds of its own |\n|---|---|")
    for name, seconds in sorted(own.items(), key=lambda item: -item[1]):
        print(f"| {name} | {seconds:.2f} |")
    print(f"| all, compiled and run | {total:.2f} |")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trees", type=int, default=60)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--compile", action="store_true", help="time the compiler instead")
    options = parser.parse_args()
    if "SYMREG_COMPILE_HERE" in os.environ:
        compile_all()
        return
    print(machine())
    if not options.compile:
        measure_speed(options)
        return
    with tempfile.TemporaryDirectory() as cache:
        here = {**os.environ, "SYMREG_COMPILE_HERE": "1", "NUMBA_CACHE_DIR": cache}
        subprocess.run([sys.executable, __file__], env=here, check=True)


if __name__ == "__main__":
    main()
