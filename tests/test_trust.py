"""A floor and a formula that cannot be trusted are told, everywhere; good ones are not."""

import json

import ase.io
import pytest

import symreg
from symreg.cli.live import headline
from symreg.cli.summary import summary
from symreg.fit.loss import LossSettings
from symreg.records import Errors, SplitErrors
from symreg.runs import open_run, pipeline
from symreg.runs.records import Progress
from symreg.runs.trust import (
    Lowest,
    far_from_floor,
    floor_doubts,
    rank_doubts,
    verdict,
    worse_in_words,
)

LOSS = LossSettings()
KBAR = 1602.1766


def split(energy=(0.001, 0.2), forces=(0.05, 1.5), **more):
    return SplitErrors(
        energy=Errors(energy[0], label_rms=energy[1]),
        forces=Errors(forces[0], label_rms=forces[1]),
        **more,
    )


def test_a_good_formula_is_fit_and_nowhere_worse_than_nothing():
    assert verdict({"train": split(), "validation": split()}, LOSS) == (None, ())


def test_a_formula_worse_than_zero_forces_is_not_fit_for_use():
    for where in ("train", "validation"):
        found = verdict({where: split(forces=(592.0, 1.6))}, LOSS)
        assert found.unfit == f"worse than zero forces ({where}: 592 eV/Å, labels 1.6)"
        assert list(worse_in_words(found.worse)) == [
            f"forces worse than zero forces would be: {where}: 592 eV/Å, labels 1.6"
        ]


def test_a_group_worse_than_nothing_is_named_and_does_not_condemn():
    surface = split(energy=(0.03, 0.02), forces=(0.3, 0.01))
    found = verdict({"train": split(groups={"bulk": split(), "surface": surface})}, LOSS)
    assert found.unfit is None
    assert list(worse_in_words(found.worse)) == [
        "energy worse than one energy per composition would be: "
        "train, group surface: 0.03 eV/atom, labels 0.02",
        "forces worse than zero forces would be: train, group surface: 0.3 eV/Å, labels 0.01",
    ]


def test_errors_of_many_sigmas_condemn_unless_labels_are_far_larger():
    assert "energy wrong by 112 sigmas" in verdict({"train": split((0.56, 1.5))}, LOSS).unfit
    assert verdict({"train": split(forces=(1.4, 70.0))}, LOSS).unfit is None
    assert (
        verdict({"train": split(forces=(0.2, 0.9))}, LossSettings(sigma_forces=0.01)).unfit is None
    )


def test_stresses_that_the_loss_leaves_out_are_not_judged():
    wrong = SplitErrors(stress=Errors(9.0, label_rms=0.1))
    assert verdict({"train": wrong}, LossSettings(sigma_stress=0.0)) == (None, ())
    assert verdict({"train": wrong}, LOSS).unfit


def test_a_floor_of_many_sigmas_is_told_with_likely_causes():
    (text,) = floor_doubts(Lowest("any smooth pair term", 100.6, split((0.56, 1.5))), LOSS)
    assert "any smooth pair term, is 100.6 sigmas" in text
    assert "energy 0.56 eV/atom, labels 1.5" in text
    causes = ("units", "kbar", "zero", "do not belong together", "cutoffs too short")
    assert all(cause in text for cause in causes)
    (text,) = floor_doubts(Lowest("Gupta", 11.0, None), LOSS)
    assert "of Gupta, is 11 sigmas" in text


def test_a_floor_worse_than_nothing_is_told_though_its_error_is_low():
    hartree = Lowest("any smooth pair term", 1.4, split((0.0074, 0.0006)))
    (text,) = floor_doubts(hartree, LOSS)
    assert "is worse than one energy per composition" in text
    assert not list(floor_doubts(Lowest("any smooth pair term", 6.7, split()), LOSS))


def test_pair_functions_that_the_data_leave_open_are_told():
    (text,) = rank_doubts(9, 36, n_labels=10)
    assert "determine 9 of the 36 values" in text
    assert "10 labels are too few" in text
    assert not list(rank_doubts(36, 36, 500))


def test_a_front_is_far_from_its_floor_by_ratio_and_sigmas_both():
    assert far_from_floor(8.0, 0.5)
    assert not far_from_floor(0.03, 1e-6)  # far below a sigma
    assert not far_from_floor(8.0, 4.0)


def test_the_header_of_a_search_says_that_its_floor_is_doubtful():
    good = Progress(floor_error=0.5)
    assert "doubtful" not in headline(good)
    assert "floor 7064 (doubtful" in headline(Progress(floor_error=7064, doubts=("too high",)))


@pytest.fixture(scope="module")
def kbar_run(argon_images, search_settings, tmp_path_factory):
    """A search of crystals whose stresses are in kbar, and without dimers."""
    folder, images = tmp_path_factory.mktemp("kbar"), []
    for atoms in (atoms.copy() for atoms in argon_images if atoms.pbc.all()):
        atoms.info["stress"] = -KBAR * atoms.info["stress"]
        images.append(atoms)
    ase.io.write(folder / "a.extxyz", images)
    settings = search_settings(folder / "run", data=folder / "a.extxyz")
    return settings, symreg.search(settings)


def test_a_run_on_stresses_in_kbar_says_so_at_every_place(kbar_run):
    settings, run = kbar_run
    (doubt, *_), chosen = run.doubts, run.best()
    assert "sigmas" in doubt
    assert f"warning     {doubt}" in pipeline.dry_run(settings)
    log = (run.folder / "log.txt").read_text(encoding="utf-8")
    assert log.count(doubt) == 2  # at the start and at the end
    assert chosen.unfit
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("Not fit for use.") < page.index("<h2>")
    assert "Recommended formula" not in page
    shown = summary(run)
    marked = [line for line in shown.splitlines() if line.startswith("*")]
    assert len(marked) == 1
    assert marked[0].startswith("*!")
    assert "doubtful, above 10 sigmas" in shown
    assert shown.index("WARNING") > shown.index("errors")
    assert "not fit for use" in run._repr_html_()


def test_files_of_a_doubtful_run_hold_the_reason(kbar_run):
    run = kbar_run[1]
    chosen = run.best()
    where = run.folder / "potentials" / str(chosen.number)
    validation = json.loads((where / "validation.json").read_text(encoding="utf-8"))
    assert validation["unfit"]
    assert validation["worse"]
    readme = (where / "lammps" / "README.md").read_text(encoding="utf-8")
    assert "**Not fit for use: " in readme
    assert "| train, group bulk | forces (eV/Å) |" in readme
    rows = (run.folder / "front.csv").read_text(encoding="utf-8").splitlines()
    assert {"forces_label_rms_train", "unfit", "expression"} <= set(rows[0].split(","))
    assert open_run(run.folder).floor.doubts == run.floor.doubts


def test_a_run_on_good_data_has_no_doubts(argon_run):
    assert argon_run.floor.doubts == ()
    assert argon_run.best().unfit is None
    assert not argon_run.doubts
    assert "WARNING" not in summary(argon_run)
    labels = argon_run.best().errors["train"].groups["bulk"].forces.label_rms
    assert f"({labels:.3g})" in summary(argon_run)
