import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a failure can be repeated, a pass does not depend on luck.
settings.register_profile("symreg", derandomize=True, deadline=None, database=None)
settings.load_profile("symreg")

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("SYMREG_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no public data at {folder}; set SYMREG_SHARED_DATA")
    return folder
