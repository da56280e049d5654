"""How the site is built: `sphinx-build -W docs docs/_build`, without network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "symreg"
project_copyright = "the symreg authors"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "symreg"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_ivar = True
# Napoleon takes the first line below "Returns" for a type; types stand in the signature alone.
napoleon_custom_sections = ["Returns"]
