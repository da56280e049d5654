"""Texts and values that Hypothesis makes up are read, or refused in words; never a traceback."""

import json
import math

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from symreg import config
from symreg.config import toml_value
from symreg.formula import Formula
from symreg.potential import Potential
from symreg.terms import Key, expression_of
from symreg.terms.cutoff import Cutoff

TRIED = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, 1, -1, 2, 6, 12, 10**400, 1e308, 0.5]),
)
WORDS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["Ar", "Cu-Cu", "Ar-Kr", "septic", "none", "../x", "$(touch x)", "Xx", "x^-6"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)
LEAVES = st.sampled_from(["x", "r", "c", "1", "2.5", "-3", "1e-5", "9", "a", "s1", "1e308"])
FORMULAS = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        st.tuples(st.sampled_from(["exp", "log", "sqrt", "sum", "abs", "f"]), part).map(
            lambda of: f"{of[0]}({of[1]})"
        ),
        st.tuples(part, st.sampled_from(["+", "-", "*", "/", "^", "**", " "]), part).map("".join),
        part.map(lambda text: f"({text})"),
        part.map(lambda text: f"-{text}"),
    ),
    max_leaves=12,
)
SPOILED = st.one_of(
    FORMULAS,
    st.text(max_size=20),
    st.tuples(FORMULAS, st.text(max_size=3), FORMULAS).map("".join),
    st.tuples(st.sampled_from(["(", "exp(", "-"]), st.integers(1, 3000)).map(
        lambda of: of[0] * of[1] + "x" + ")" * of[1]
    ),
)


def record():
    cutoff = Cutoff(kind="septic", r_cut=6.5, r_on=5.0)
    texts = [(0.5, "Ar-Ar: x^-12 - x^-6"), (0.1, "Ar-Ar-Ar: exp(-2.5*x1)*exp(-2.5*x2)*(c + 0.5)^2")]
    formula = Formula(
        expression_of(texts), 3.8, {"Ar": -0.1}, ("Ar",), cutoff, 3.0, {}, cutoff
    )  # fmt: skip
    return json.loads(json.dumps(Potential(formula, {"seed": 1}).to_dict()))


def places(value, path=()):
    """All keys and numbers of entries that lead to a value within plain data."""
    yield path
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in inner:
            yield from places(one, (*path, key))


PLACES = [path for path in places(record()) if path and path[0] not in ("information",)]


def refusal(use):
    """What is said where an input is refused; None for an answer."""
    try:
        use()
    except (ValueError, TypeError) as error:
        return str(error)
    return None


def in_few_lines(said):
    """Whether an answer, or words: a line for each key, or one and a formula with its mark."""
    return said is None or (bool(said.strip()) and len(said.splitlines()) < 16 and len(said) < 3000)


@TRIED
@given(text=SPOILED)
def test_a_formula_is_parsed_or_refused(text):
    def use():
        tree = Key.of("Ar", "Ar").parse(text)
        again = Key.of("Ar", "Ar").parse(str(tree))
        x = np.linspace(0.7, 1.7, 5)
        np.testing.assert_array_equal(tree(x), again(x))

    assert refusal(use) != ""


@pytest.mark.slow
@settings(TRIED, max_examples=60)
@given(text=SPOILED)
def test_a_formula_by_hand_computes_numbers_or_is_refused(text):
    def use():
        potential = Potential.from_formula({"Ar-Ar": text}, r_cut=6.0, r0=3.8, r_lo=3.0)
        dimer = Atoms("Ar2", [(0, 0, 0), (0, 0, 3.7)], calculator=potential.calculator())
        assert math.isfinite(dimer.get_potential_energy())

    assert refusal(use) != ""


@TRIED
@given(place=st.sampled_from(PLACES), value=VALUES, term=SPOILED)
def test_a_potential_file_is_loaded_or_refused_in_words(tmp_path, place, value, term):
    spoiled = record()
    inner = spoiled
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = f"Ar-Ar: {term}" if place[-1] == "term" else value
    path = tmp_path / "potential.json"
    path.write_text(json.dumps(spoiled), encoding="utf-8", errors="replace")
    said = refusal(lambda: Potential.load(path))
    assert in_few_lines(said)
    if said is None:
        formula = Potential.load(path).formula
        r = np.linspace(formula.r_lo, formula.r_cut, 50)[:-1]
        assert all(
            np.isfinite(formula.pair_function(*p).energy(r)).all() for p in formula.every_pair
        )
    else:
        assert said.startswith(str(path))


KEYS = sorted(
    (t, key) for t, of in config.runfile.TABLES.items() for key in of.__dataclass_fields__
)


def written(value):
    """TOML of a value, or a text that is none."""
    try:
        return toml_value(value)
    except (AttributeError, TypeError, ValueError):
        return str(value)


@TRIED
@given(
    entries=st.lists(st.tuples(st.sampled_from(KEYS), VALUES), min_size=1, max_size=3),
    rest=st.one_of(st.just(""), st.text(max_size=10)),
)
def test_a_run_file_is_loaded_or_refused_in_words(tmp_path, entries, rest):
    tables = {"data": {"train": '["a.extxyz"]'}}
    for (table, key), value in entries:
        tables.setdefault(table, {})[key] = written(value)
    lines = [
        f"[{table}]\n" + "\n".join(f"{key} = {value}" for key, value in of.items())
        for table, of in tables.items()
    ]
    path = tmp_path / "run.toml"
    path.write_text("\n".join([*lines, rest]), encoding="utf-8", errors="replace")
    said = refusal(lambda: config.load(path))
    assert in_few_lines(said)
    assert said is not None or config.dumps(config.load(path))
