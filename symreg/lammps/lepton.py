"""Formulas as strings for ``pair_style lepton``: exact, and 4-6 times dearer than ``lj/cut``.

The strings hold numbers only, since Lepton takes a name that it does not know for zero.
"""

from __future__ import annotations

from symreg.formula import Formula, Wall
from symreg.language import Node, Tree
from symreg.language.operators import FUNCTIONS, PRIMITIVES
from symreg.terms.cutoff import SWITCHED, Cutoff

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "^"}


def lepton_string(formula: Formula, a: str, b: str) -> str:
    """u(r) of a pair of species, wall and cutoff function included; r in Å, eV.

    Helper quantities follow the formula, each after a semicolon, as Lepton reads them.
    """
    function = formula.pair_function(a, b)
    phi = tree_to_lepton(formula.expression.total("pair", function.species))
    inside, helpers = phi, [f"x=r/{_number(formula.r0)}"]
    if formula.cutoff.kind != "none":
        inside, helpers = f"{phi}*fc", [*helpers, *_cutoff_helpers(formula.cutoff)]
    below = f"step({_number(function.r_lo)}-r)"
    wall, wall_helpers = _wall(function.wall)
    return ";".join([f"select({below},{wall},{inside})", *helpers, *wall_helpers])


def tree_to_lepton(tree: Tree) -> str:
    """A tree in x with its constants as numbers and every operation in parentheses."""
    stack: list[str] = []
    for node in reversed(tree.nodes):
        operands = [stack.pop() for _ in range(PRIMITIVES[node.op].arity)]
        stack.append(_node_text(node, tree, operands))
    return stack.pop()


def _node_text(node: Node, tree: Tree, operands: list[str]) -> str:
    if node.op == "x":
        return "x"
    if node.op == "const":
        return _number(tree.constants[node.arg])
    if node.op == "int":
        return _number(node.arg)
    if node.op == "powi":
        return f"({operands[0]}^{_number(node.arg)})"
    if node.op == "neg":
        return f"(0-{operands[0]})"
    if node.op in FUNCTIONS:
        return f"{node.op}({operands[0]})"
    return f"({operands[0]}{_INFIX[node.op]}{operands[1]})"


def _number(value: float) -> str:
    text = repr(value if isinstance(value, int) else float(value))  # numpy's say who they are
    return f"({text})" if text.startswith("-") else text


def _cutoff_helpers(cutoff: Cutoff) -> list[str]:
    r_cut, r_on = _number(cutoff.r_cut), _number(cutoff.r_on)
    if cutoff.kind == "cosine":
        return [f"fc=0.5*(1+cos(3.141592653589793*r/{r_cut}))"]
    if cutoff.kind == "stillinger_weber":
        return [f"fc=exp({_number(cutoff.s)}/(r-{r_cut}))"]
    if cutoff.kind == "poet":
        outer, inner = _number(cutoff.r_cut**2), _number(cutoff.r_on**2)
        top = f"({outer}-q)^2*({outer}+2*q-3*{inner})"
        return [f"fc={top}/({outer}-{inner})^3", f"q=max(r,{r_on})^2"]
    assert cutoff.kind in SWITCHED
    # The fourfold zero at r_cut stands outside, so that nothing cancels there.
    return [
        "fc=s^4*(1+t*(4+t*(10+20*t)))",
        "s=1-t",
        f"t=max(r-{r_on},0)/{_number(cutoff.r_cut - cutoff.r_on)}",
    ]


def _wall(wall: Wall) -> tuple[str, list[str]]:
    c = [_number(value) for value in wall.coefficients]
    h = f"h={_number(wall.r_lo)}-r"
    if wall.kind == "exponential":
        return f"{c[0]}+{c[1]}*exp({c[2]}*h)", [h]
    return f"{c[0]}+h*({c[1]}+h*({c[2]}+h*({c[3]}+h*{c[4]})))", [h]
