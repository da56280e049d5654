"""Expression trees of pair, three-body and many-body functions, and the text they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symreg.language.operators import PRIMITIVES, SUMS, VARIABLES


class Node(NamedTuple):
    """One node of a tree in prefix order."""

    op: str
    """Name of a primitive."""
    arg: int = 0
    """Index of a constant, value of an integer, or exponent of ``powi``."""


@dataclass(frozen=True)
class Tree:
    """A function of reduced distances x = r / r0 and of a cosine, as nodes in prefix order.

    It is a function of ``x`` (pair), of ``x1``, ``x2`` and ``c`` (three-body; it stands for its
    mean over both orders of the neighbours), a ``product`` of two factors (separable), or one of
    neighbour sums, each a ``sum`` of a function of ``x``, or of a ``product`` over every two
    neighbours (many-body; such a tree has no values of its own, but see ``embedding``).

    Examples
    --------
    >>> from symreg.language import parse
    >>> tree = parse("x^-12 - 0.5*x^-6")
    >>> tree.complexity, tree.constants
    (9, (0.5,))
    >>> tree(np.array([1.0]))
    array([0.5])
    """

    nodes: tuple[Node, ...]
    constants: tuple[float, ...] = ()
    """Fitted constants, in the order of their first appearance."""
    names: tuple[str, ...] = ()
    """A name for each constant; empty for one that is written as a number."""

    def __post_init__(self) -> None:
        """Give nameless constants an empty name each."""
        if not self.names:
            object.__setattr__(self, "names", ("",) * len(self.constants))

    @property
    def complexity(self) -> int:
        """Sum of the costs of all nodes."""
        return sum(PRIMITIVES[node.op].cost for node in self.nodes)

    @property
    def named(self) -> dict[str, float]:
        """Values of the named constants."""
        named = zip(self.names, self.constants, strict=True)
        return {name: value for name, value in named if name}

    def with_constants(self, constants: Sequence[float]) -> Tree:
        """The same tree with other values of its constants."""
        return replace(self, constants=tuple(float(value) for value in constants))

    def __call__(
        self,
        x: NDArray[np.float64],
        x2: NDArray[np.float64] | None = None,
        c: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Evaluate with numpy at ``x``, any shape; NaN where the tree leaves its domain.

        Three-body functions take both reduced distances and the cosine, and are symmetric in the
        distances.
        """
        if x2 is None or c is None:
            return self._evaluate({"x": x, "c": x})
        factors = self.factors
        if factors is not None:
            radial, angular = factors
            with np.errstate(all="ignore"):
                return np.asarray(radial(x) * radial(x2) * angular(c))
        one, two = ({"x1": a, "x2": b, "c": c} for a, b in ((x, x2), (x2, x)))
        with np.errstate(all="ignore"):
            return np.asarray(0.5 * (self._evaluate(one) + self._evaluate(two)))

    def _evaluate(self, variables: Mapping[str, Any]) -> NDArray[np.float64]:
        stack: list[NDArray[np.float64]] = []
        shape = np.shape(next(iter(variables.values())))
        with np.errstate(all="ignore"):
            for node in reversed(self.nodes):
                if node.op in VARIABLES:
                    stack.append(np.asarray(variables[node.op], dtype=float))
                elif node.op == "const":
                    stack.append(np.full(shape, self.constants[node.arg]))
                elif node.op == "int":
                    stack.append(np.full(shape, float(node.arg)))
                elif node.op == "powi":
                    stack.append(stack.pop() ** float(node.arg))
                else:
                    operands = [stack.pop() for _ in range(PRIMITIVES[node.op].arity)]
                    stack.append(_NUMPY[node.op](*operands))
        return stack.pop()

    @property
    def factors(self) -> tuple[Tree, Tree] | None:
        """Radial factor h(x) and angular factor p(c) of a separable function; None for others.

        >>> from symreg.language import parse
        >>> tree = parse("x1^-2*x2^-2*(c + 0.3)^2", variable=("x1", "x2", "c"))
        >>> [str(factor) for factor in tree.factors]
        ['x^-2', '(c + 0.3)^2']
        """
        if self.nodes[0].op != "product":
            return None
        middle = end_of(self.nodes, 1)
        return self.with_nodes(self.nodes[1:middle]), self.with_nodes(self.nodes[middle:])

    @property
    def embedding(self) -> tuple[Tree, tuple[Tree, ...]] | None:
        """Function of neighbour sums, in the places of ``SUMS``, and what each sums; else None.

        Raises
        ------
        ValueError
            If there are more different sums than places.

        >>> from symreg.language import parse
        >>> outer, summands = parse("sqrt(sum(x^-6))*2.5", variable="sum").embedding
        >>> str(outer), [str(summand) for summand in summands]
        ('sqrt(x1)*2.5', ['x^-6'])
        """
        summands: list[Tree] = []
        outer: list[Node] = []
        place = 0
        while place < len(self.nodes):
            node, end = self.nodes[place], place + 1
            if node.op == "sum":
                end = end_of(self.nodes, place)
                summand = self.with_nodes(self.nodes[place + 1 : end])
                if summand not in summands:
                    summands.append(summand)
                if len(summands) > len(SUMS):
                    raise ValueError(f"a term has more than {len(SUMS)} different neighbour sums")
                node = Node(SUMS[summands.index(summand)])
            outer.append(node)
            place = end
        return (self.with_nodes(outer), tuple(summands)) if summands else None

    def value(self, node: Node) -> tuple[float, str]:
        """Value and name of a constant."""
        return self.constants[node.arg], self.names[node.arg]

    def with_nodes(self, nodes: Sequence[Node]) -> Tree:
        """A tree of other nodes with those of the constants that they hold, as they stand."""
        used = list(dict.fromkeys(node.arg for node in nodes if node.op == "const"))
        return Tree(
            tuple(Node("const", used.index(n.arg)) if n.op == "const" else n for n in nodes),
            tuple(self.constants[k] for k in used),
            tuple(self.names[k] for k in used),
        )

    def __str__(self) -> str:
        """Text that ``parse`` reads back to an equal tree."""
        return _Printer(self, None, exact=True).text()

    def text(self, digits: int | None = None) -> str:
        """Text for readers: numbers instead of names, to ``digits`` significant digits if given.

        >>> from symreg.language import parse
        >>> parse("exp(-a*(-2.5 + x))", {"a": 3.0}).text()
        'exp(-3.0*(x - 2.5))'
        """
        return _Printer(replace(self, names=("",) * len(self.constants)), digits).text()


def end_of(nodes: Sequence[Node], start: int) -> int:
    """One past the last node of the subtree that begins at ``start``."""
    missing = 1
    while missing:
        missing += PRIMITIVES[nodes[start].op].arity - 1
        start += 1
    return start


_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "pow": lambda u, v: np.exp(v * np.log(u)),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
}

_PRECEDENCE = {"add": 1, "sub": 1, "mul": 2, "div": 2, "neg": 3, "powi": 4, "pow": 4}
_SYMBOL = {"add": " + ", "sub": " - ", "mul": "*", "div": "/"}
_ATOM = 5


def number_text(value: float, digits: int | None = None) -> str:
    """Decimal text of a fitted constant; it always holds a point or an exponent.

    >>> number_text(3.0), number_text(-1.234567, 3)
    ('3.0', '-1.23')
    """
    text = repr(float(value)) if digits is None else f"{value:.{digits}g}"
    return text if any(mark in text for mark in ".en") else text + ".0"


class _Printer:
    """Writes a tree with as few parentheses as ``parse`` needs to read it back unchanged."""

    def __init__(
        self, tree: Tree, digits: int | None, exact: bool = False, variable: str = "x"
    ) -> None:
        self.tree = tree
        self.exact = exact
        self.digits = digits
        self.variable = variable
        self.position = 0

    def text(self) -> str:
        factors = self.tree.factors
        if factors is None:
            return self._next()[0]
        radial, angular = factors
        parts = [
            _Printer(factor, self.digits, self.exact, variable)
            for factor, variable in ((radial, "x1"), (radial, "x2"), (angular, "c"))
            if self.exact or factor.nodes != (Node("int", 1),)
        ]
        return "*".join(part._factor(n == 0) for n, part in enumerate(parts)) or "1"

    def _factor(self, is_first: bool) -> str:
        """The text as a factor of a product."""
        text, precedence = self._next()
        bare = precedence >= 2 if is_first else precedence > 2 and not text.startswith("-")
        return text if bare else f"({text})"

    def _next(self) -> tuple[str, int]:
        node = self.tree.nodes[self.position]
        self.position += 1
        if node.op in VARIABLES:
            return self.variable if node.op == "x" else node.op, _ATOM
        if node.op in ("const", "int"):
            text = self._leaf(node)
            return text, (3 if text.startswith("-") else _ATOM)
        if node.op == "neg":
            inner, precedence = self._next()
            bare = precedence >= _PRECEDENCE["powi"] and not (self.exact and inner[0].isdigit())
            return (f"-{inner}" if bare else f"-({inner})"), _PRECEDENCE["neg"]
        if node.op == "powi":
            return f"{self._base()}^{node.arg}", _PRECEDENCE["powi"]
        if node.op == "pow":
            base = self._base()
            exponent, precedence = self._next()
            simple = precedence == _ATOM or (precedence == 3 and exponent[1:].isidentifier())
            simple = simple or (exponent.removeprefix("-")[0].isdigit() and precedence != 4)
            simple = simple and not set("*/ ") & set(exponent)
            return f"{base}^{exponent if simple else f'({exponent})'}", _PRECEDENCE["pow"]
        if node.op in _SYMBOL:
            return self._binary(node.op)
        if node.op == "product":  # inside a sum over two neighbours
            start, self.position = self.position - 1, end_of(self.tree.nodes, self.position - 1)
            product = self.tree.with_nodes(self.tree.nodes[start : self.position])
            return _Printer(product, self.digits, self.exact).text(), _ATOM
        return f"{node.op}({self._next()[0]})", _ATOM

    def _leaf(self, node: Node) -> str:
        if node.op == "int":
            return str(node.arg)
        name = self.tree.names[node.arg]
        return name or number_text(self.tree.constants[node.arg], self.digits)

    def _base(self) -> str:
        base, precedence = self._next()
        return base if precedence == _ATOM else f"({base})"

    def _binary(self, op: str) -> tuple[str, int]:
        own = _PRECEDENCE[op]
        number_first = self.tree.nodes[self.position].op in ("const", "int")
        left, left_precedence = self._next()
        right, right_precedence = self._next()
        if op == "add" and number_first and not self.exact:
            op = "sub" if left.startswith("-") else "add"
            left, right = right, left.removeprefix("-")
            left_precedence, right_precedence = right_precedence, _ATOM
        if op == "add" and not self.exact and right.startswith("-") and right_precedence > own:
            op, right = "sub", right[1:]
        if left_precedence < own:
            left = f"({left})"
        if right_precedence <= own or right.startswith("-"):
            right = f"({right})"
        return f"{left}{_SYMBOL[op]}{right}", own


def combine(op: str, *operands: Tree) -> Tree:
    """One tree from an operator and its operands; nameless constants stay distinct."""
    nodes = [Node(op)]
    constants: list[float] = []
    names: list[str] = []
    for operand in operands:
        index = {}
        for k, name in enumerate(operand.names):
            if name and name in names:
                index[k] = names.index(name)
            else:
                index[k] = len(constants)
                constants.append(operand.constants[k])
                names.append(name)
        nodes += [Node("const", index[n.arg]) if n.op == "const" else n for n in operand.nodes]
    return Tree(tuple(nodes), tuple(constants), tuple(names))
