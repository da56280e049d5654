"""Expression trees: shapes, of which there is one object each, and the constants in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np

from symreg.arrays import Floats
from symreg.language.operators import COSTS, OPERATORS, PRODUCTS
from symreg.language.text import NameSum, Nested, Printer, read


class Shape:
    """A tree without the values of its constants; equal shapes are one object.

    The root is a nested tuple: ``("x",)`` and the like for variables, ``("const", k)`` for the
    constant number k, ``("int", n)``, ``("powi", n, u)`` for an integer power,
    ``("product", h, p)`` for h(x1) h(x2) p(c), ``("unlike", g, h, p)`` for g(x1) h(x2) p(c),
    ``("sum", head, u)`` for what is summed, and ``(op, u)`` or ``(op, u, v)`` for all other
    operators. Constants are numbered as they appear.
    """

    __slots__ = ("__weakref__", "cost", "n_constants", "root", "text")
    _known: ClassVar[WeakValueDictionary[Nested, Shape]] = WeakValueDictionary()
    _lock: ClassVar[Lock] = Lock()

    root: Nested
    cost: int  # complexity: the costs of all nodes
    n_constants: int
    text: str  # tells shapes apart and puts them in an order

    def __new__(cls, root: Nested) -> Shape:
        """The one object of this shape."""
        shape = cls._known.get(root)
        if shape is not None:
            return shape
        with cls._lock:  # other threads make shapes too
            shape = cls._known.get(root)
            if shape is None:
                shape = object.__new__(cls)
                shape.root, shape.text = root, repr(root)
                found = list(nodes(root))
                shape.cost = sum([COSTS.get(node[0], 1) for node in found])
                numbers = [node[1] for node in found if node[0] == "const"]
                shape.n_constants = max(numbers, default=-1) + 1
                cls._known[root] = shape
            return shape

    def __reduce__(self) -> tuple[type[Shape], tuple[Nested]]:
        """Copies and what travels between processes are the one object again."""
        return Shape, (self.root,)

    def __repr__(self) -> str:
        return f"Shape({self.text})"

    def nodes(self) -> Iterator[Nested]:
        """All nodes, an operator before its operands."""
        return nodes(self.root)


def nodes(root: Nested) -> Iterator[Nested]:
    """All nodes of a nested form, an operator before its operands."""
    yield root
    for operand in operands(root):
        yield from nodes(operand)


def operands(node: Nested) -> Nested:
    """Operands of an operator; empty for leaves."""
    op = node[0]
    if op in ("const", "int"):
        return ()
    return node[2:] if op in ("powi", "sum") else node[1:]


def mapped(node: Nested, change: Callable[[Nested], Nested]) -> Nested:
    """A node with other operands."""
    if len(node) == 1 or node[0] in ("const", "int"):
        return node
    first = 2 if node[0] in ("powi", "sum") else 1
    return (*node[:first], *map(change, node[first:]))


@dataclass(frozen=True)
class Tree:
    """A function of reduced distances x = r / r0, of a cosine, or of sums s1, s2, ...

    It is a function of ``x``; of ``x1``, ``x2`` and ``c`` (it stands for its mean over both orders
    of neighbours of one kind); a ``product`` h(x1) h(x2) p(c), or g(x1) h(x2) p(c) of ``unlike``
    neighbours; or one of sums.

    Examples
    --------
    >>> tree = parse("x^-12 - 0.5*x^-6")
    >>> tree.complexity, tree.constants
    (9, (0.5,))
    >>> tree(np.array([1.0]))
    array([0.5])
    """

    shape: Shape
    constants: tuple[float, ...] = ()  # values of the constants, by number
    names: tuple[str, ...] = ()  # empty for constants that are written as numbers

    def __post_init__(self) -> None:
        """Refuse constants that are not those of the shape; the nameless get an empty name each."""
        wanted, given = self.shape.n_constants, self.constants
        if len(given) != wanted:
            raise ValueError(
                f"a formula has {wanted} constants, but {len(given)} values are given: "
                f"{Printer((*given, *[1.0] * wanted)).text(self.root)}"
            )
        if not self.names:
            object.__setattr__(self, "names", ("",) * wanted)

    @staticmethod
    def of(root: Nested, constants: Sequence[float] = (), names: Sequence[str] = ()) -> Tree:
        """A tree whose root may skip constants or number them in another order."""
        used: dict[int, int] = {}

        def numbered(node: Nested) -> Nested:
            if node[0] == "const":
                return "const", used.setdefault(node[1], len(used))
            return mapped(node, numbered)

        shape = Shape(numbered(root))
        known = tuple(names[k] for k in used) if names else ()
        return Tree(shape, tuple(float(constants[k]) for k in used), known)

    @property
    def root(self) -> Nested:
        """See ``Shape``."""
        return self.shape.root

    def part(self, root: Nested) -> Tree:
        """A tree of other nodes with those of the constants that they hold, as they stand."""
        return Tree.of(root, self.constants, self.names)

    @property
    def complexity(self) -> int:
        """Sum of the costs of all nodes."""
        return self.shape.cost

    @property
    def named(self) -> dict[str, float]:
        """Values of the named constants."""
        return {name: value for name, value in zip(self.names, self.constants, strict=True) if name}

    def with_constants(self, constants: Sequence[float]) -> Tree:
        """The tree with other values of its constants; ``ValueError`` if not one for each."""
        return replace(self, constants=tuple(float(value) for value in constants))

    @property
    def factors(self) -> tuple[Tree, Tree, Tree] | None:
        """Both radial factors, maybe equal, and the angular one of a product; None for others.

        >>> tree = parse("x1^-2*x2^-2*(c + 0.3)^2", variable=("x1", "x2", "c"))
        >>> [str(factor) for factor in tree.factors]
        ['x^-2', 'x^-2', '(c + 0.3)^2']
        """
        root = self.root
        if root[0] not in PRODUCTS:
            return None
        return self.part(root[1]), self.part(root[-2]), self.part(root[-1])

    @property
    def variables(self) -> set[str]:
        """Names of the variables that occur; products are of x1, x2 and c."""
        found = {node[0] for node in self.shape.nodes()}
        return {"x1", "x2", "c"} if self.root[0] in PRODUCTS else found - COSTS.keys()

    def __call__(
        self, x: Floats, x2: Floats | None = None, c: Floats | None = None, *, unlike: bool = False
    ) -> Floats:
        """Values at ``x``, or at both distances and the cosine; NaN where it leaves its domain.

        No mean is taken of neighbours that are ``unlike``.
        """
        if x2 is None or c is None:
            return self.evaluate({"x": x, "c": x})
        with np.errstate(all="ignore"):
            if (factors := self.factors) is not None:
                first, second, angular = factors
                return np.asarray(first(x) * second(x2) * angular(c))
            if unlike:
                return self.evaluate({"x1": x, "x2": x2, "c": c})
            one, two = ({"x1": a, "x2": b, "c": c} for a, b in ((x, x2), (x2, x)))
            return np.asarray(0.5 * (self.evaluate(one) + self.evaluate(two)))

    def evaluate(self, variables: Mapping[str, Floats]) -> Floats:
        """Values for arrays of one shape, by the names of the variables."""
        shape = np.shape(next(iter(variables.values())))

        def value(number: float) -> Floats:
            return np.full(shape, float(number))

        arrays = {name: np.asarray(x, dtype=float) for name, x in variables.items()}
        constants = [value(constant) for constant in self.constants]
        with np.errstate(all="ignore"):
            found = translated(self.root, arrays, constants, value, _applied)
        return np.asarray(found)

    def __str__(self) -> str:
        """Text that ``parse`` reads back to an equal tree."""
        return Printer(self.constants, self.names, exact=True).text(self.root)

    def text(self, digits: int | None = None) -> str:
        """Text for readers: numbers instead of names, to ``digits`` significant digits if given.

        >>> parse("exp(-a*(-2.5 + x))", {"a": 3.0}).text()
        'exp(-3.0*(x - 2.5))'
        """
        return Printer(self.constants, digits=digits).text(self.root)


def _applied(op: str, *parts: Floats) -> Any:
    return OPERATORS[op].numpy(*parts)


def check_integers(tree: Tree) -> None:
    """Raise ``ValueError`` for integers that would explode, as in ``9^9^9`` or ``(2*x)^(9^9)``."""

    def value(node: Nested) -> float:
        """Of what is made of integers alone; NaN for others, and outside of domains."""
        if node[0] == "int":
            return float(node[1])
        values = [value(u) for u in operands(node)]
        if node[0] == "pow" and math.isfinite(values[1]):
            integers = [abs(u[1]) for u in nodes(node[1]) if u[0] == "int"]
            math.pow(max([2, *integers]), abs(values[1]))
        if node[0] not in OPERATORS or any(map(math.isnan, values)):
            return math.nan
        try:
            number = OPERATORS[node[0]].number
            return number(*values, node[1]) if node[0] == "powi" else number(*values)
        except (ValueError, ZeroDivisionError):
            return math.nan

    try:
        value(tree.root)
    except OverflowError:
        raise ValueError(f"numbers end at 1.8e308; integers exceed that in {tree}") from None


def translated(
    root: Nested,
    variables: Mapping[str, Any],
    constants: Sequence[Any],
    integer: Callable[[int], Any],
    apply: Callable[..., Any],
) -> Any:
    """A nested form in another language, which has ``variables`` by name, ``constants`` by number.

    ``apply`` makes the value of an operator from its name and the values of its operands, of which
    the exponent of an integer power is the second.
    """
    op = root[0]
    if op in variables:
        return variables[op]
    if op == "const":
        return constants[root[1]]
    if op == "int":
        return integer(root[1])
    parts = [translated(u, variables, constants, integer, apply) for u in operands(root)]
    return apply(op, *parts, integer(root[1])) if op == "powi" else apply(op, *parts)


def parse(
    text: str,
    values: Mapping[str, float] | None = None,
    variable: str | tuple[str, ...] = "x",
    sums: NameSum | None = None,
    unlike: bool = False,
) -> Tree:
    """Read a formula, of ``+ - * / ^`` and the functions of the operator table.

    An integer is a literal, a number with a point or an exponent is a constant to be fitted, a name
    is a named constant, the same one wherever it stands.

    Parameters
    ----------
    values
        Values of the named constants; 1.0 where none is given.
    variable
        Name of the distance, or x1, x2 and c of a three-body function. A product h(x1) h(x2) p(c),
        written in this order, becomes a separable tree.
    sums
        Names what is summed, where sums over neighbours are allowed.
    unlike
        Whether the neighbours of a three-body function are of two kinds: then g(x1) h(x2) p(c) is
        separable too.

    Raises
    ------
    ValueError
        If the text is no formula (the message points at the place), or too large to compute with.

    Examples
    --------
    >>> str(parse("4*eps*((sigma/x)^12 - (sigma/x)^6)"))
    '4*eps*((sigma/x)^12 - (sigma/x)^6)'
    >>> parse("x^-11.7 + 2*x").constants
    (-11.7,)
    """
    variables = (variable,) if isinstance(variable, str) else variable
    tree = Tree.of(*read(text, values or {}, variables, sums, unlike))
    check_integers(tree)
    return tree


def combine(op: str, *parts: Tree) -> Tree:
    """One tree from an operator and its operands; nameless constants stay distinct."""
    constants = [value for part in parts for value in part.constants]
    names = [name for part in parts for name in part.names]
    roots, first = [], 0
    for part in parts:
        places = [names.index(name) if name else n for n, name in enumerate(part.names, first)]
        roots.append(_renumbered(part.root, places))
        first += len(places)
    return Tree.of((op, *roots), constants, names)


def _renumbered(node: Nested, places: Sequence[int]) -> Nested:
    if node[0] == "const":
        return "const", places[node[1]]
    return mapped(node, lambda u: _renumbered(u, places))
