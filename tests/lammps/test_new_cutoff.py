"""A cutoff function that is one class here goes through formulas and LAMMPS as any other."""

import numpy as np
import pytest
import sympy

from symreg.lammps import export
from symreg.terms import cutoff
from symreg.terms.cutoff import FADES, Cutoff, Fade


class Tersoff(Fade):
    """Half a period of a sine between both radii; J. Tersoff, Phys. Rev. B 37, 6991 (1988)."""

    name, smoothness, has_onset = "tersoff", 2, True

    @staticmethod
    def values(r, cutoff):
        width = cutoff.r_cut - cutoff.r_on
        angle = np.pi * (r - cutoff.r_on) / width
        return 0.5 * (1 + np.cos(angle)), -0.5 * np.pi / width * np.sin(angle)

    @staticmethod
    def sympy(r, cutoff):
        angle = sympy.pi * (r - sympy.Float(cutoff.r_on)) / (cutoff.r_cut - cutoff.r_on)
        return (1 + sympy.cos(angle)) / 2


@pytest.fixture(autouse=True)
def tersoff(monkeypatch):
    monkeypatch.setitem(FADES, "tersoff", Tersoff)
    monkeypatch.setattr(cutoff, "KINDS", (*cutoff.KINDS, "tersoff"))
    return Cutoff(kind="tersoff", r_cut=8.5, r_on=5.1)


def test_formulas_fade_by_it(make_formula, tersoff):
    function = make_formula("x^-6", tersoff).pair_function("Ar", "Ar")
    r = np.linspace(4.0, 8.4, 50)
    np.testing.assert_allclose(
        function.energy(r), 0.0104 * (r / 3.82) ** -6 * tersoff.value(r), rtol=1e-12
    )
    assert Cutoff.from_dict(tersoff.to_dict()) == tersoff


@pytest.mark.lammps
def test_lammps_fades_by_it(make_formula, tersoff, tmp_path):
    parity = export(make_formula("x^-12 - 2*x^-6", tersoff), tmp_path)
    assert parity["forces_max"] < 1e-6
    assert parity["routes"]["lepton"]["forces_max"] < 1e-12
