"""Expression trees: shapes, of which there is one object each, and the constants in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from symreg.language.operators import COSTS, OPERATORS
from symreg.language.text import NameSum, Nested, read, write

Floats = NDArray[np.float64]


class Shape:
    """A tree without the values of its constants; equal shapes are one object.

    The root is a nested tuple: ``("x",)`` and the like for variables, ``("const", k)`` for the
    constant number k, ``("int", n)``, ``("powi", n, u)`` for an integer power,
    ``("product", h, p)`` for h(x1) h(x2) p(c), ``("sum", head, u)`` for what is summed, and
    ``(op, u)`` or ``(op, u, v)`` for all other operators. Constants are numbered as they appear.
    """

    __slots__ = ("__weakref__", "cost", "n_constants", "root", "text")
    _known: ClassVar[WeakValueDictionary[Nested, Shape]] = WeakValueDictionary()
    _lock: ClassVar[Lock] = Lock()

    root: Nested
    cost: int
    """Complexity: the costs of all nodes."""
    n_constants: int
    text: str
    """Tells shapes apart and puts them in an order."""

    def __new__(cls, root: Nested) -> Shape:
        """The one object of this shape."""
        shape = cls._known.get(root)
        if shape is not None:
            return shape
        with cls._lock:  # other threads make shapes too
            shape = cls._known.get(root)
            if shape is None:
                shape = object.__new__(cls)
                shape.root = root
                shape.cost, shape.n_constants = _measured(root)
                shape.text = repr(root)
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
    parts = operands(node)
    return (*node[: len(node) - len(parts)], *map(change, parts))


def _measured(root: Nested) -> tuple[int, int]:
    """Complexity, and number of constants: one more than the largest number of one."""
    cost, constants = COSTS.get(root[0], 1), 0
    if root[0] == "const":
        return cost, root[1] + 1
    for operand in operands(root):
        more, last = _measured(operand)
        cost += more
        constants = max(constants, last)
    return cost, constants


@dataclass(frozen=True)
class Tree:
    """A function of reduced distances x = r / r0, of a cosine, or of sums s1, s2, ...

    It is a function of ``x``; of ``x1``, ``x2`` and ``c`` (it stands for its mean over both orders
    of the neighbours); a ``product`` h(x1) h(x2) p(c) of two factors; or one of sums.

    Examples
    --------
    >>> tree = parse("x^-12 - 0.5*x^-6")
    >>> tree.complexity, tree.constants
    (9, (0.5,))
    >>> tree(np.array([1.0]))
    array([0.5])
    """

    shape: Shape
    constants: tuple[float, ...] = ()
    """Values of the constants, by number."""
    names: tuple[str, ...] = ()
    """A name for each constant; empty for one that is written as a number."""

    def __post_init__(self) -> None:
        """Refuse constants that are not those of the shape; the nameless get an empty name each."""
        if len(self.constants) != self.shape.n_constants:
            raise ValueError(
                f"a formula has {self.shape.n_constants} constants, but {len(self.constants)} "
                f"values are given: {write(self.root, self._placeholders, (), None, False)}"
            )
        if not self.names:
            object.__setattr__(self, "names", ("",) * len(self.constants))

    @property
    def _placeholders(self) -> tuple[float, ...]:
        return (*self.constants, *(1.0 for _ in range(self.shape.n_constants)))

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
        """The shape as a nested tuple, see ``Shape``."""
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
        named = zip(self.names, self.constants, strict=True)
        return {name: value for name, value in named if name}

    def with_constants(self, constants: Sequence[float]) -> Tree:
        """The tree with other values of its constants.

        Raises
        ------
        ValueError
            If there are too few or too many.
        """
        return replace(self, constants=tuple(float(value) for value in constants))

    @property
    def factors(self) -> tuple[Tree, Tree] | None:
        """Radial factor h(x) and angular factor p(c) of a separable function; None for others.

        >>> tree = parse("x1^-2*x2^-2*(c + 0.3)^2", variable=("x1", "x2", "c"))
        >>> [str(factor) for factor in tree.factors]
        ['x^-2', '(c + 0.3)^2']
        """
        if self.root[0] != "product":
            return None
        return self.part(self.root[1]), self.part(self.root[2])

    @property
    def variables(self) -> set[str]:
        """Names of the variables that occur; ``product`` stands for x1, x2 and c."""
        found = {node[0] for node in self.shape.nodes()}
        return {"x1", "x2", "c"} if self.root[0] == "product" else found - COSTS.keys()

    def __call__(
        self, x: Floats, x2: Floats | None = None, c: Floats | None = None
    ) -> NDArray[np.float64]:
        """Evaluate with numpy at ``x``, any shape; NaN where the tree leaves its domain.

        Three-body functions take both reduced distances and the cosine, and are symmetric in the
        distances.
        """
        if x2 is None or c is None:
            return self.evaluate({"x": x, "c": x})
        factors = self.factors
        if factors is not None:
            radial, angular = factors
            with np.errstate(all="ignore"):
                return np.asarray(radial(x) * radial(x2) * angular(c))
        one, two = ({"x1": a, "x2": b, "c": c} for a, b in ((x, x2), (x2, x)))
        with np.errstate(all="ignore"):
            return np.asarray(0.5 * (self.evaluate(one) + self.evaluate(two)))

    def evaluate(self, variables: Mapping[str, Floats]) -> Floats:
        """Values for arrays of one shape, by the names of the variables."""
        shape = np.shape(next(iter(variables.values())))

        def value(number: float) -> Floats:
            return np.full(shape, float(number))

        with np.errstate(all="ignore"):
            return np.asarray(
                translated(
                    self.root,
                    {name: np.asarray(x, dtype=float) for name, x in variables.items()},
                    [value(constant) for constant in self.constants],
                    value,
                    lambda op, *parts: OPERATORS[op].numpy(*parts),
                )
            )

    def __str__(self) -> str:
        """Text that ``parse`` reads back to an equal tree."""
        return write(self.root, self.constants, self.names, None, True)

    def text(self, digits: int | None = None) -> str:
        """Text for readers: numbers instead of names, to ``digits`` significant digits if given.

        >>> parse("exp(-a*(-2.5 + x))", {"a": 3.0}).text()
        'exp(-3.0*(x - 2.5))'
        """
        return write(self.root, self.constants, (), digits, False)


def translated(
    root: Nested,
    variables: Mapping[str, Any],
    constants: Sequence[Any],
    integer: Callable[[int], Any],
    apply: Callable[..., Any],
) -> Any:
    """A tree in another language.

    Parameters
    ----------
    root
        The nested form.
    variables, constants
        What stands for variables, by their names, and for constants, by their numbers.
    integer
        Makes an integer.
    apply
        Makes the value of an operator, given by name, from those of its operands. The exponent of
        an integer power is an operand, too.
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
) -> Tree:
    """Read a formula.

    ``x`` (or ``variable``) is the distance; a three-body function has the variables x1, x2 and c.
    An integer is a literal, a number with a point or an exponent is a constant to be fitted, a name
    is a named constant, the same one wherever it stands. Operators are ``+ - * / ^``, functions
    those of the operator table.

    Parameters
    ----------
    text
        The formula.
    values
        Values of the named constants; 1.0 where none is given.
    variable
        Name of the variable, or names of several. A product h(x1) h(x2) p(c), written in this
        order, becomes a separable tree.
    sums
        Names what is summed, where sums over neighbours are allowed.

    Raises
    ------
    ValueError
        If the text is no formula; the message points at the place.

    Examples
    --------
    >>> str(parse("4*eps*((sigma/x)^12 - (sigma/x)^6)"))
    '4*eps*((sigma/x)^12 - (sigma/x)^6)'
    >>> parse("x^-11.7 + 2*x").constants
    (-11.7,)
    """
    variables = (variable,) if isinstance(variable, str) else variable
    return Tree.of(*read(text, values or {}, variables, sums))


def combine(op: str, *parts: Tree) -> Tree:
    """One tree from an operator and its operands; nameless constants stay distinct."""
    constants: list[float] = []
    names: list[str] = []
    roots = []
    for part in parts:
        index = {}
        for k, name in enumerate(part.names):
            if name and name in names:
                index[k] = names.index(name)
            else:
                index[k] = len(constants)
                constants.append(part.constants[k])
                names.append(name)
        roots.append(renumbered(part.root, index))
    return Tree.of((op, *roots), constants, names)


def renumbered(root: Nested, index: Mapping[int, int]) -> Nested:
    """A nested form with other numbers of its constants."""
    if root[0] == "const":
        return "const", index[root[1]]
    return mapped(root, lambda u: renumbered(u, index))
