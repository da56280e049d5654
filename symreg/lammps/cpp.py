"""The C++ of a formula: all that the template of its pair style leaves open.

Species are numbered in order of the alphabet, so neighbours in order of their numbers are as keys
name them. What depends on species stands in branches, of which a formula of one species has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import sympy

from symreg.formula import Formula, FunctionOfSums
from symreg.formula.ccode import assignments, constants, function, number
from symreg.formula.radial import R
from symreg.formula.sums import Cpp, SumFunction
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import kind_of
from symreg.terms.wall import Clamp

Block = list[str]
"""Statements, a line each."""


@dataclass
class _Fill:
    """Values noted in neighbours of one species of one centre."""

    clamp: Clamp
    statements: list[tuple[float, Block]] = field(default_factory=list)
    """Each with the cutoff radius in Å of its sum."""


class _Code:
    """The C++ of one formula, as it grows."""

    def __init__(self, formula: Formula) -> None:
        self.formula = formula
        self.order = sorted(formula.species)
        self.fades: dict[Cutoff, str] = {}  # names of the C++ functions of cutoff functions
        self.functions: Block = []
        self.count = 0  # of sums so far: their functions are numbered
        self.radial: dict[tuple[str, str], _Fill] = {}  # by centre and neighbour
        self.densities: dict[tuple[str, str], _Fill] = {}
        self.triplet: Block = []
        self.bend: Block = []
        self.embedding: Block = []
        self.slots: dict[str, int] = defaultdict(int)  # places in ``g`` of a neighbour, by centre
        self.bends: dict[str, list[int]] = defaultdict(list)  # which sums they are, by centre
        self.reach: dict[str, float] = defaultdict(float)  # of triplets in Å, by centre
        for one in formula.every_sum:
            if neighbours_of(one) == 2:
                self.reach[one.species[0]] = max(self.reach[one.species[0]], one.r_cut)

    def fade(self, cutoff: Cutoff) -> str:
        """Name of the C++ function that is a cutoff function."""
        if cutoff not in self.fades:
            self.fades[cutoff] = f"fade_{len(self.fades)}"
            self.functions.append(_fade(self.fades[cutoff], cutoff))
        return self.fades[cutoff]

    def piece(self, one: SumFunction, place: int, *, alone: bool) -> Cpp:
        """The C++ of one sum; its functions are kept."""
        piece = one.cpp(self.count, place, self.fade(one.cutoff), alone=alone)
        self.functions += piece.functions
        self.count += 1
        return piece

    def pairs(self) -> str:
        """A function that chooses among all pairs of species, ``s`` before ``t``."""
        body = ["(void) s, (void) t;", "double energy = 0.0;"]
        formula = self.formula
        alone = [one for one in formula.sums.values() if neighbours_of(one) == 1]
        for one in (*alone, *formula.walls.values()):
            piece = self.piece(one, 0, alone=True)
            s, t = one.species
            guard = f"r < {number(one.r_cut)}" if one.r_cut < self.r_cut_pair else ""
            body += self.when({"s": s, "t": t}, piece.add, guard)
        arguments = ["int s", "int t", "double r", "double &slope"]
        comment = "Energy of a pair of species; its slope is added."
        return function("pair_energy", arguments, [*body, "return energy;"], comment, "double")

    @property
    def r_cut_pair(self) -> float:
        """The largest cutoff radius of pairs that stand alone, in Å."""
        formula = self.formula
        alone = [one for one in formula.sums.values() if neighbours_of(one) == 1]
        return float(max(one.r_cut for one in (*alone, *formula.walls.values())))

    def when(self, species: Mapping[str, str], block: Iterable[str], guard: str = "") -> Block:
        """Statements for these species only, where a further condition holds."""
        tests = [f"{name} == {self.order.index(symbol)}" for name, symbol in species.items()]
        tests = [*(tests if len(self.order) > 1 else []), *([guard] if guard else [])]
        start = f"if ({' && '.join(tests)}) {{" if tests else "{"
        return [start, *(f"  {line}" for line in block), "}"]

    def add_triplets(self, one: SumFunction, block: Block, piece: Cpp) -> Block:
        """Statements that add to a sum over every two neighbours; what these need is noted."""
        centre, *near = one.species
        for symbol, clamp, fill in zip(near, one.clamps, piece.fills, strict=False):
            noted = self.radial.setdefault((centre, symbol), _Fill(clamp))
            if (one.r_cut, fill) not in noted.statements:
                noted.statements.append((one.r_cut, fill))
        self.slots[centre] += piece.slots
        r_cut = number(one.r_cut)
        shorter = one.r_cut < self.reach[centre]
        guard = f"a.r < {r_cut} && b.r < {r_cut}" if shorter else ""
        return self.when({"s": centre, "a.t": near[0], "b.t": near[1]}, block, guard)

    def add_function(self, many_body: FunctionOfSums) -> None:
        """A function of sums of one centre."""
        centre = many_body.species
        for n, one in enumerate(many_body.sums):
            if neighbours_of(one) == 1:
                piece = self.piece(one, n, alone=False)
                noted = self.densities.setdefault((centre, one.species[1]), _Fill(one.clamp))
                noted.statements += [(one.r_cut, fill) for fill in piece.fills]
            else:
                k, piece = len(self.bends[centre]), self.piece(one, self.slots[centre], alone=False)
                self.bends[centre].append(n)
                self.bend += self.add_triplets(one, _bend(k, piece), piece)
        self.embedding += self.when({"s": centre}, _embedding(many_body))

    def filled(self, fills: Mapping[tuple[str, str], _Fill], name: str, *, noted: bool) -> Block:
        """Statements that note in the neighbour ``name`` what depends on its distance.

        The distance that it sees itself is ``noted`` too, if so.
        """
        lines: Block = []
        for (centre, symbol), fill in fills.items():
            rest = f"{number(fill.clamp.r_lo)}, {number(fill.clamp.width)}"
            block = [
                "double r_slope = 1.0, f = 0.0, df = 0.0;",
                f"const double r = effective({name}.r, {rest}, r_slope);",
                "(void) r, (void) f, (void) df;",
            ]
            if noted:
                block += [f"{name}.seen = r;", f"{name}.seen_slope = r_slope;"]
            for r_cut, statements in fill.statements:
                inside = [f"  {line}" for line in statements]
                block += [f"if ({name}.r < {number(r_cut)}) {{", *inside, "}"]
            lines += self.when({"s": centre, f"{name}.t": symbol}, block)
        return lines

    def by_centre(self, values: Mapping[str, object], absent: object) -> str:
        """Values by centre as the elements of an array."""
        return ", ".join(str(values.get(symbol, absent)) for symbol in self.order)


def code_of(formula: Formula) -> dict[str, str]:
    """C++ by the marks of the template."""
    code = _Code(formula)
    pairs = code.pairs()
    two = [one for one in formula.sums.values() if neighbours_of(one) == 2]
    for one in two:
        piece = code.piece(one, code.slots[one.species[0]], alone=True)
        code.triplet += code.add_triplets(one, piece.add, piece)
    for many_body in formula.functions.values():
        code.add_function(many_body)
    functions = formula.functions
    bends = {symbol: len(found) for symbol, found in code.bends.items()}
    which = {symbol: f"{{{', '.join(map(str, found))}}}" for symbol, found in code.bends.items()}
    sums = {
        symbol: [one for one in many_body.sums if neighbours_of(one) == 1]
        for symbol, many_body in functions.items()
    }
    far = {symbol: max((one.r_cut for one in found), default=0.0) for symbol, found in sums.items()}
    return {
        "TITLE": "-".join(formula.species),
        "SPECIES": " ".join(formula.species),
        "N_SPECIES": str(len(formula.species)),
        "NAMES": ", ".join(f'"{symbol}"' for symbol in code.order),
        "R_CUT": number(formula.r_cut),
        "R_CUT_PAIR": number(code.r_cut_pair),
        "R_CUT_TRIPLET": code.by_centre({s: number(r) for s, r in code.reach.items()}, "0.0"),
        "R_CUT_SUM": code.by_centre({s: number(r) for s, r in far.items()}, "0.0"),
        "HAS_TRIPLETS": code.by_centre({one.species[0]: "true" for one in two}, "false"),
        "N_SUMS": code.by_centre({s: len(one.sums) for s, one in functions.items()}, 0),
        "N_BENDS": code.by_centre(bends, 0),
        "BEND_SUM": code.by_centre(which, "{0}"),
        "SLOTS": str(max(code.slots.values(), default=0)),
        "SUMS": str(max((len(one.sums) for one in functions.values()), default=0)),
        "BENDS": str(max(bends.values(), default=0)),
        "RADIAL": _indented(code.filled(code.radial, "n", noted=True)),
        "TRIPLET": _indented(code.triplet),
        "BEND": _indented(code.bend),
        "DENSITIES": _indented(code.filled(code.densities, "b", noted=False)),
        "EMBEDDING": _indented(code.embedding),
        "FUNCTIONS": "\n".join([*code.functions, pairs]),
    }


def neighbours_of(one: SumFunction) -> int:
    """Neighbours in each addend of a sum."""
    return kind_of(one.over).neighbours


def _fade(name: str, cutoff: Cutoff) -> str:
    """A cutoff function and its slope below the cutoff radius."""
    expression = cutoff.sympy(R)
    body = assignments({"f": expression, "df": sympy.diff(expression, R)})
    if cutoff.fade.has_onset:
        start = [f"if (r < {number(cutoff.r_on)}) {{", "  f = 1.0;", "  df = 0.0;", "  return;"]
        body = [*start, "}", *body]
    if not expression.has(R):
        body.insert(0, "(void) r;")
    arguments = ["double r", "double &f", "double &df"]
    return function(name, arguments, body, "Cutoff function and its slope.")


def _bend(k: int, piece: Cpp) -> Block:
    """Statements that add to the sum over every two neighbours of this number."""
    start, end = "double energy = 0.0, slope[3] = {0.0, 0.0, 0.0};", [f"value[{k}] = energy;"]
    end += [f"slopes[{k}][{axis}] = slope[{axis}];" for axis in range(3)]
    return [start, *piece.add, *end]


def _embedding(many_body: FunctionOfSums) -> Block:
    """Statements that compute a function of all sums, and its slopes."""
    function = many_body.numbered
    values, body = {"energy": function.expression}, constants(function)
    for n, (symbol, slope) in enumerate(zip(function.variables, function.slopes, strict=True)):
        body += [f"const double {symbol} = sum[{n}];", f"(void) {symbol};"]
        values[f"slope[{n}]"] = slope
    return [*body, *assignments(values)]


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)
