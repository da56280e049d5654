import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from symreg.fit.design import build_design, triangles
from symreg.fit.design import cost as costs
from symreg.fit.design.cost import TooLongError
from symreg.fit.design.triangles import decomposed
from symreg.fit.loss import LossSettings
from symreg.structures import from_atoms
from symreg.terms.cutoff import Cutoff
from symreg.terms.lengths import Lengths

CUTOFF = Cutoff(kind="septic", r_cut=6.0, r_on=3.6)
NEAR = Cutoff(kind="septic", r_cut=4.0, r_on=2.4)
ELEMENTS = ("Al", "Cr", "Hf", "Mo", "N", "Nb", "O", "Ta", "Ti", "V", "W", "Zr")


def crystal(symbols, rng):
    """Atoms of these elements on a rattled simple cubic lattice, with labels of no meaning."""
    n = round(len(symbols) ** (1 / 3))
    sites = np.stack(np.meshgrid(*3 * [np.arange(n)]), axis=-1).reshape(-1, 3) * 2.6
    sites = sites + rng.normal(0, 0.1, sites.shape)
    atoms = Atoms(symbols, positions=sites, cell=3 * [2.6 * n], pbc=True)
    labels = {"energy": -3.0 * n**3, "forces": rng.normal(size=(n**3, 3)), "stress": np.ones(6)}
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def crystals(count, elements, rare=()):
    """Crystals of some elements; the last three of them hold a rare one too."""
    rng = np.random.default_rng(0)
    images = []
    for k in range(count):
        symbols = list(rng.permutation([*elements * 27][:27]))
        symbols[: len(rare)] = rare if k >= count - 3 else symbols[: len(rare)]
        images.append(crystal(symbols, rng))
    return from_atoms(images)


def design_of(structures, **options):
    return build_design(structures, Lengths(CUTOFF, None, 2.6), LossSettings(), **options)


def test_twelve_elements_say_what_they_would_cost_before_anything_is_projected(monkeypatch):
    monkeypatch.setattr("symreg.fit.design.build.Accumulator", None)
    with pytest.raises(ValueError, match="78 pairs of species") as caught:
        design_of(crystals(24, ELEMENTS), max_memory=0.5)
    message = str(caught.value)
    assert "[search] max_memory allows 0.5 GB: raise it, make [terms] r_cut smaller" in message
    assert "search data of fewer elements" in message


def test_elements_that_hardly_occur_are_named_as_what_to_leave_out():
    common = ELEMENTS[:4]
    few, many = crystals(30, common), crystals(30, common, rare=("W", "Zr"))
    told = []
    design_of(few, tell=told.append)
    assert told[0].startswith("projecting the data takes ")
    assert "for 10 pairs of species" in told[0]
    with pytest.raises(ValueError, match="leave out the 3 of 30 structures with W, which hardly"):
        design_of(many, max_memory=0.27)


def test_minutes_of_a_projection_are_told_with_what_to_leave_out(monkeypatch):
    # With a limit like that, elements that hardly occur make the difference.
    common = ELEMENTS[:4]
    few, many = (outline_of(crystals(30, common, rare)) for rare in ((), ("W", "Zr")))
    monkeypatch.setattr(costs, "LONG", 0.5 * (few.cost().minutes + many.cost().minutes))
    assert "to have it in less" not in few.check(math.inf)
    told = many.check(math.inf)
    assert told.startswith("projecting the data takes ")
    assert "to have it in less than a minute, leave out the 3 of 30 structures with W" in told
    with pytest.raises(TooLongError, match=r"projecting the data would take .* leave out the 3"):
        many.check(math.inf, patience=0.5 * many.cost().minutes)
    monkeypatch.setattr(costs, "LONG", 0.2 * few.cost().minutes)
    assert "search data of fewer elements" in few.check(math.inf)


def test_triplets_of_four_elements_are_refused_with_other_terms_as_way_out():
    # General and separable triplets have one and the same projection.
    outline = outline_of(crystals(30, ELEMENTS[:4]), NEAR)
    limit = 0.5 * outline.cost().memory
    with pytest.raises(ValueError, match="for 10 pairs of species") as caught:
        outline.check(limit)
    message = str(caught.value)
    assert "raise it, set [terms] three_body = false, or many_body = true instead" in message
    assert "r_cut" not in message


def test_triplets_of_elements_that_hardly_occur_are_left_out_with_them(monkeypatch):
    monkeypatch.setattr("symreg.fit.design.build.LARGEST_AT_ONCE", 100)
    outline = outline_of(crystals(30, ELEMENTS[:2], rare=("W", "Zr")), NEAR)
    fewer = outline_of(crystals(30, ELEMENTS[:2]), NEAR)
    kept = outline.cost(without=("W", "Zr"))
    assert kept.columns == pytest.approx(fewer.cost().columns, abs=2)
    assert outline.cost().columns > 3 * kept.columns
    with pytest.raises(ValueError, match="leave out the 3 of 30 structures with W, Zr, which"):
        outline.check(1.5 * fewer.cost().memory)


def outline_of(structures, near=None):
    """Sizes of a projection that is not begun, of triplets too within a cutoff ``near``."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs.Outline, "check", lambda outline, *_: found.append(outline) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_design(structures, Lengths(CUTOFF, near, 2.6), LossSettings())
    return found[0]


def test_portions_of_a_decomposition_are_the_whole(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(500, 20))
    whole = decomposed(rows)
    monkeypatch.setattr(triangles, "_OPERATIONS", 0)
    monkeypatch.setattr(costs, "_EVERY", 0.0)
    told = []
    found = decomposed(rows, told.append)
    np.testing.assert_allclose(found.T @ found, whole.T @ whole, atol=1e-10)
    assert found.shape == (20, 20)
    assert told[-1] == "joined portions of rows: 24 of 25"


def test_neighbours_of_a_large_structure_are_refused_before_they_are_listed(monkeypatch):
    monkeypatch.setattr("symreg.fit.design.build._lowest_distances", None)
    with pytest.raises(ValueError, match=r"neighbours within 6 Å; \[search\] max_memory allows"):
        design_of(crystals(1, ("Al",)), max_memory=1e-4)


def test_how_far_a_projection_is_is_told_now_and_then(monkeypatch):
    monkeypatch.setattr(costs, "_EVERY", 0.0)
    told = []
    design_of(crystals(3, ("Al",)), tell=told.append)
    assert "projected structures: 3 of 3" in told
    assert any(message.startswith("reduced matrices: ") for message in told)
    design_of(crystals(3, ("Al",))).join(told.append)
    assert any(message.startswith("joined matrices of blocks: ") for message in told)


def test_a_projection_stops_at_ctrl_c(monkeypatch):
    monkeypatch.setattr(costs, "_EVERY", 0.0)

    def interrupt(message):
        if message.startswith("projected structures"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        design_of(crystals(3, ("Al",)), tell=interrupt)


def peak():
    """Most memory that this process has had, in GB; ``getrusage`` counts that of its parent too."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1e6


def build_here():
    """Print what was estimated, and what it took, in GB."""
    design_of(crystals(2, ELEMENTS[:2]))  # compiles
    structures, before, told = crystals(120, ELEMENTS[:5]), peak(), []
    design = design_of(structures, tell=told.append)
    assert design.training.matrix.size
    print(told[0].split()[4], peak() - before)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_the_estimate_of_memory_is_what_a_projection_takes():
    command = [sys.executable, "-c", "import test_cost; test_cost.build_here()"]
    done = subprocess.run(command, cwd=__file__.rpartition("/")[0], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    estimated, taken = map(float, done.stdout.split())
    assert 0.7 * taken < estimated < 2.5 * taken
