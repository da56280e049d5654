"""Reading text formulas: a recursive-descent parser, so that no formula is ever executed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from symreg.language.operators import FUNCTIONS, LARGEST_EXPONENT
from symreg.language.tree import Node, Tree, end_of

_TOKEN = re.compile(
    r"\s*(?:(?P<real>\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)"
    r"|(?P<int>\d+)|(?P<name>[A-Za-z_]\w*)|(?P<mark>\*\*|[-+*/^()]))"
)
_DEPTH = 80  # 8 calls each: Python allows 1000


TRIPLET = ("x1", "x2", "c")
"""Variables of three-body functions: both reduced distances, and the cosine of the angle."""


NEIGHBOUR_SUM = "sum"
"""Variable of many-body functions."""


def parse(
    text: str,
    values: Mapping[str, float] | None = None,
    variable: str | tuple[str, ...] = "x",
) -> Tree:
    """Read a formula.

    ``x`` (or ``variable``) is the distance; a three-body function has the variables ``TRIPLET``;
    those of a many-body function are sums over neighbours, ``sum(...)`` of a function of x, or of
    a product h(x1) h(x2) p(c) over every two of them. An
    integer is a literal, a number with a point or an exponent is a constant to be fitted, a name is
    a named constant, the same one wherever it stands. Operators are ``+ - * / ^``, functions
    ``exp log sqrt``.

    Parameters
    ----------
    text
        The formula.
    values
        Values of the named constants; 1.0 where none is given.
    variable
        Name of the variable, or names of several. A product h(x1) h(x2) p(c), written in this
        order, becomes a separable tree.

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
    parser = _Parser(text, values or {}, variables)
    tree = parser.tree()
    if NEIGHBOUR_SUM in variables:
        parser.check_sums(tree)
    return _as_product(tree) if "x1" in variables else tree


def _as_product(tree: Tree) -> Tree:
    """A product h(x1) h(x2) p(c) with a ``product`` at its root; any other tree as it is."""
    nodes = _product_nodes(tree)
    return tree if nodes is None else tree.with_nodes(nodes)


def _product_nodes(tree: Tree) -> tuple[Node, ...] | None:
    """The nodes of a product h(x1) h(x2) p(c) with a ``product`` at its root; None for others."""
    nodes = tree.nodes
    if [node.op for node in nodes[:2]] != ["mul", "mul"]:
        return None
    second = end_of(nodes, 2)
    third = end_of(nodes, second)
    one, two, angular = (
        nodes[low:high] for low, high in ((2, second), (second, third), (third, None))
    )
    used = [{node.op for node in part} & {"x1", "x2", "c"} for part in (one, two, angular)]
    if not (used[0] <= {"x1"} and used[1] <= {"x2"} and used[2] <= {"c"}):
        return None

    def plain(part: tuple[Node, ...]) -> list[object]:
        """Nodes with values in place of indices, alike for both distances."""
        return [
            ("x",) if n.op in ("x1", "x2") else tree.value(n) if n.op == "const" else n
            for n in part
        ]

    if plain(one) != plain(two):
        return None
    radial = tuple(Node("x") if node.op == "x1" else node for node in one)
    return (Node("product"), *radial, *angular)


class _Parser:
    """One formula being read; the grammar is in ``parse``."""

    def __init__(self, text: str, values: Mapping[str, float], variables: tuple[str, ...]) -> None:
        self.text = text
        self.values = values
        self.variables = variables
        self.constants: list[float] = []
        self.names: list[str] = []
        self.tokens = list(self._tokenise())
        self.index = 0
        self.depth = 0

    def tree(self) -> Tree:
        """Read the whole text."""
        nodes = self._sum()
        if self._kind() != "end":
            raise self._error("expected an operator or the end of the formula")
        # What a product says twice stands in it once.
        return Tree((), tuple(self.constants), tuple(self.names)).with_nodes(nodes)

    def check_sums(self, tree: Tree) -> None:
        """Refuse a many-body function without sums over neighbours, or with too many."""
        try:
            embedding = tree.embedding
        except ValueError as error:
            raise ValueError(f"formula cannot be read: {error}\n  {self.text}") from None
        if embedding is None:
            raise ValueError(
                "formula cannot be read: a many-body formula holds a sum over neighbours, such as "
                f"sum(x^-6)\n  {self.text}"
            )

    def _tokenise(self) -> list[tuple[str, str, int]]:
        tokens: list[tuple[str, str, int]] = []
        position = 0
        end = len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                blank = end - len(self.text[position:end].lstrip())
                raise self._error("unexpected character", blank)
            kind = str(match.lastgroup)
            token = match.group(kind)
            tokens.append((kind, "^" if token == "**" else token, match.start(kind)))
            position = match.end()
        return [*tokens, ("end", "", end)]

    def _error(self, what: str, position: int | None = None) -> ValueError:
        at = self.tokens[self.index][2] if position is None else position
        return ValueError(f"formula cannot be read: {what}\n  {self.text}\n  {' ' * at}^")

    def _kind(self) -> str:
        return self.tokens[self.index][0]

    def _token(self) -> str:
        return self.tokens[self.index][1]

    def _take(self, *marks: str) -> str:
        """The next token if it is one of ``marks``, else an empty text."""
        if self._kind() == "mark" and self._token() in marks:
            self.index += 1
            return self.tokens[self.index - 1][1]
        return ""

    def _deeper(self, read: Callable[[], list[Node]]) -> list[Node]:
        """What ``read`` finds one level further in, while Python's stack has room."""
        self.depth += 1
        if self.depth > _DEPTH:
            raise self._error(f"more than {_DEPTH} levels of parentheses, signs and powers")
        nodes = read()
        self.depth -= 1
        return nodes

    def _sum(self) -> list[Node]:
        nodes = self._product()
        while mark := self._take("+", "-"):
            nodes = [Node("add" if mark == "+" else "sub"), *nodes, *self._product()]
        return nodes

    def _product(self) -> list[Node]:
        nodes = self._signed()
        while mark := self._take("*", "/"):
            nodes = [Node("mul" if mark == "*" else "div"), *nodes, *self._signed()]
        return nodes

    def _signed(self) -> list[Node]:
        sign = 1
        if self._take("-"):
            if self._kind() not in ("int", "real") or self._follows("^"):
                return [Node("neg"), *self._deeper(self._signed)]
            sign = -1
        return self._power(sign)

    def _follows(self, mark: str) -> bool:
        return self.tokens[self.index + 1][1] == mark

    def _power(self, sign: int = 1) -> list[Node]:
        base = self._atom(sign)
        if not self._take("^"):
            return base
        at = self.index
        exponent = self._deeper(self._exponent)
        if len(exponent) == 1 and exponent[0].op == "int":
            if abs(exponent[0].arg) > LARGEST_EXPONENT:
                where = self.tokens[at][2]
                raise self._error(f"exponents end at {LARGEST_EXPONENT}", where)
            return [Node("powi", exponent[0].arg), *base]
        return [Node("pow"), *base, *exponent]

    def _exponent(self) -> list[Node]:
        if self._take("-"):
            if self._kind() in ("int", "real") and not self._follows("^"):
                return self._atom(-1)
            return [Node("neg"), *self._deeper(self._exponent)]
        return self._power()

    def _atom(self, sign: int = 1) -> list[Node]:
        kind, token, at = self.tokens[self.index]
        self.index += kind != "end"
        if kind == "int":
            if len(token) > 15:
                raise self._error("integers have at most 15 digits", at)
            return [Node("int", sign * int(token))]
        if kind == "real":
            if math.isinf(float(token)):
                raise self._error("numbers end at 1.8e308", at)
            return [self._constant(sign * float(token))]
        if kind == "name":
            return self._name(token, at)
        if token == "(":
            nodes = self._deeper(self._sum)
            if not self._take(")"):
                raise self._error("expected ')'")
            return nodes
        raise self._error("expected a number, a name or '('", at)

    def _name(self, token: str, at: int) -> list[Node]:
        if token in FUNCTIONS:
            if not self._take("("):
                raise self._error(f"expected '(' after {token}")
            self.index -= 1
            return [Node(token), *self._atom()]
        if token == NEIGHBOUR_SUM and token in self.variables:
            return self._neighbour_sum()
        if token in self.variables:
            return [Node(token if token in TRIPLET else "x")]
        if self._kind() == "mark" and self._token() == "(":
            raise self._error(f"{token} is no function; there are {', '.join(FUNCTIONS)}", at)
        if token in ("x", "r") and self.variables == (NEIGHBOUR_SUM,):
            raise self._error("distances of neighbours stand inside sum(...)", at)
        if token in ("x", "r"):
            raise self._error(f"the distance is called {self.variables[0]} here", at)
        if token in self.names:
            return [Node("const", self.names.index(token))]
        return [self._constant(float(self.values.get(token, 1.0)), token)]

    def _neighbour_sum(self) -> list[Node]:
        if not self._take("("):
            raise self._error("expected '(' after sum")
        self.index -= 1
        at = self.tokens[self.index][2]
        outside, self.variables = self.variables, ("x", *TRIPLET)
        summand = self._atom()
        self.variables = outside
        used = {node.op for node in summand} & {"x", *TRIPLET}
        product = _product_nodes(Tree(tuple(summand), tuple(self.constants), tuple(self.names)))
        if product is not None and "x" not in used:
            return [Node(NEIGHBOUR_SUM), *product]
        if not used <= {"x"}:
            raise self._error("a sum over two neighbours is one of a product h(x1)*h(x2)*p(c)", at)
        return [Node(NEIGHBOUR_SUM), *summand]

    def _constant(self, value: float, name: str = "") -> Node:
        self.constants.append(value)
        self.names.append(name)
        return Node("const", len(self.constants) - 1)
