"""Needs of benchmarks beside symreg: packages of an extra, and files of the public data.

Where one is missing the script ends with one line that says so.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from symreg.versions import install


def packages(*names: str, extra: str) -> None:
    """End the script unless all packages of an extra can be imported."""
    try:
        for name in names:
            import_module(name)
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: {install(extra)}")


def shared_data() -> Path:
    """Folder of the public data: $SYMREG_SHARED_DATA, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("SYMREG_SHARED_DATA", beside))


def data_file(folder: Path, name: str) -> Path:
    """A file of the public data; the script ends where it is missing."""
    file = folder.resolve() / name
    if not file.is_file():
        sys.exit(
            f"{name} is not in {folder}: set --data or SYMREG_SHARED_DATA to the folder that has it"
        )
    return file
