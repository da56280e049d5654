"""Versions of what is installed."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "symreg-potentials"
"""Name to install by; ``symreg`` in the registries is another project."""


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(DISTRIBUTION if package == "symreg" else package)
        except PackageNotFoundError:
            continue
    return found


def install(extra: str) -> str:
    """How to install what a part of symreg needs that not everyone does.

    >>> print(install("dask"))
    pip install "symreg-potentials[dask]"
    """
    return f'pip install "{DISTRIBUTION}[{extra}]"'
