"""Frames whose self-consistent field was not reached: named, and left out unless asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

KEY = re.compile(
    r"(?P<not>un|not_)?(?:(?:is|scf|electronic|elec|dft|qm)_)*(?P<not2>un|not_)?"
    r"converge(?:d|nce)",
    re.IGNORECASE,
)
"""Info keys that tell whether a calculation reached self-consistency."""
NO = ("f", "false", "no", "n", "0")
YES = ("t", "true", "yes", "y", "1")
FLAG = "scf_converged"
"""Key under which readers of outputs leave what they found."""


def is_converged(info: Mapping[str, Any]) -> bool:
    """Tell whether a frame's calculation was converged, as far as its file says.

    Examples
    --------
    >>> is_converged({"scf_converged": False}), is_converged({"unconverged": "no"})
    (False, True)
    """
    for key, value in info.items():
        match = KEY.fullmatch(str(key).replace("-", "_"))
        if match and isinstance(value, bool | np.bool_ | str | int):
            said = str(value).strip().lower()
            if said in (YES if match["not"] or match["not2"] else NO):
                return False
    return True
