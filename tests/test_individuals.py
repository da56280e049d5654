import math

import numpy as np
import pytest
from coded import coded_of, form_of

from symreg.fit.programs.batch import decode, encode, pack
from symreg.language.canonical import X, build, cost, n_constants
from symreg.language.text import ONE
from symreg.searching.individuals import (
    Individual,
    coded_terms_of,
    from_arrays,
    structure,
    terms_from,
    to_arrays,
)
from symreg.terms import Key, Term

KEYS = (Key.of("Ar", "Ar"), Key.of("Ar", "Kr"))
MIXED = (*KEYS, Key.of("Ar", "Ar", "Ar"))
C = ("c",)
X12 = ("powi", -12, X)
MORSE = ("exp", ("mul", ("const", -3.5), ("sub", X, ("const", 1.25))))


def equal(one, two):
    """Whether two individuals agree to the last bit."""
    same = (
        one.coded_terms == two.coded_terms and one.weights == two.weights and one.born == two.born
    )
    numbers = [np.array([i.error, *i.fingerprint, *i.residuals, i.complexity]) for i in (one, two)]
    return same and numbers[0].tobytes() == numbers[1].tobytes()


def test_complexity_counts_nodes_and_two_for_each_weight():
    # x^-12: powi 2, x 1; exp 4, mul 1, const 1, sub 1, x 1, const 1; two weights at 2.
    assert cost(X12) == 3
    assert cost(MORSE) == 9
    assert Individual((coded_of(0, X12), coded_of(0, MORSE))).complexity == 3 + 9 + 4


def test_complexity_is_that_of_the_terms_it_stands_for():
    coded_terms = (coded_of(0, X12), coded_of(1, MORSE), coded_of(1, ONE))
    terms = terms_from(coded_terms, KEYS)
    assert [coded.shape.cost for coded in coded_terms] == [term.tree.complexity for term in terms]


def test_structure_forgets_the_values_of_constants_only():
    other = ("exp", ("mul", ("const", 8.0), ("sub", X, ("const", -1.0))))
    assert structure((coded_of(0, MORSE),)) == structure((coded_of(0, other),))
    assert structure((coded_of(0, MORSE),)) != structure((coded_of(1, MORSE),))
    assert structure((coded_of(0, X12),)) != structure((coded_of(0, ("powi", -11, X)),))


def test_constants_are_counted_but_not_integers():
    assert n_constants(MORSE) == 2
    assert n_constants(("mul", ("int", 2), X12)) == 0


def test_terms_become_coded_terms_without_their_linear_factors():
    lj = Term.read("Ar-Kr: 4.0*((1.5/x)^12 - (1.5/x)^6)")
    coded_terms = coded_terms_of([lj], KEYS)
    assert coded_terms == (coded_of(1, X12), coded_of(1, ("powi", -6, X)))


def test_terms_of_species_that_do_not_occur_are_left_out():
    terms = Term.read("Xe-Xe: x^-6"), Term.read("Ar-Ar: x^-6")
    assert coded_terms_of(terms, KEYS) == (coded_of(0, ("powi", -6, X)),)


def test_encoding_is_that_of_the_terms():
    candidates = [(coded_of(0, X12), coded_of(1, MORSE)), (coded_of(1, ONE),)]
    packed = encode(pack([terms_from(coded_terms, KEYS) for coded_terms in candidates], KEYS))
    for ours, theirs in zip(encode(candidates), packed, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_decoding_gives_the_constants_that_the_batch_holds_now():
    batch = encode([(coded_of(0, X12), coded_of(0, MORSE))])
    batch.constants[:] = [7.0, 9.0]
    ((_, coded),) = decode(batch)
    assert form_of(coded) == ("exp", ("mul", ("const", 7.0), ("sub", X, ("const", 9.0))))


def test_arrays_hold_a_population_exactly():
    population = [
        Individual((coded_of(1, MORSE), coded_of(0, X12)), 0.1 / 3, (1e-300, -2.5), (0.3, -0.0), 7),
        Individual((coded_of(0, ("powi", 2, build("add", X, ("const", math.pi)))),), 1.0, (0.1,)),
    ]
    again = from_arrays(to_arrays(population))
    assert all(equal(a, b) for a, b in zip(population, again, strict=True))


def test_arrays_hold_three_body_terms_exactly():
    product = ("product", MORSE, ("powi", 2, ("add", ("const", 1 / 3), C)))
    general = ("mul", ("powi", -3, ("x1",)), ("exp", ("mul", ("const", -0.1), ("add", ("x2",), C))))
    population = [
        Individual(
            (coded_of(0, X12), coded_of(2, product)), 0.1 / 3, (1e-300, -2.5), (0.3, -0.0), 7
        ),
        Individual((coded_of(2, general), coded_of(2, ("product", ONE, ONE))), 2.0, (0.1, -1.0)),
    ]
    arrays = to_arrays(population)
    again = from_arrays(arrays)
    assert all(equal(a, b) for a, b in zip(population, again, strict=True))
    assert [[form_of(coded) for coded in i.coded_terms] for i in again] == [
        [X12, product],
        [general, ("product", ONE, ONE)],
    ]
    assert {name: array.tobytes() for name, array in to_arrays(again).items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }
    packed = encode(pack([terms_from(i.coded_terms, MIXED) for i in population], MIXED))
    for ours, theirs in zip(encode([i.coded_terms for i in population]), packed, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_terms_of_triplets_become_coded_terms_without_the_scales_of_their_factors():
    text = "(4*exp(-2.0*x1))*(4*exp(-2.0*x2))*(3.5*(c + 0.5)^2)"
    (coded,) = coded_terms_of([Term.read(f"Ar-Ar-Ar: {text}")], MIXED)
    radial = ("exp", ("mul", ("const", -2.0), X))
    assert coded == coded_of(2, ("product", radial, ("powi", 2, ("add", ("const", 0.5), C))))
    (term,) = terms_from([coded], MIXED)
    assert term.tree.factors is not None
    assert str(term.tree) == "exp(-2.0*x1)*exp(-2.0*x2)*(0.5 + c)^2"


def test_arrays_are_plain_numbers():
    arrays = to_arrays([Individual((coded_of(0, X12),), 0.5, (1.0,))])
    assert {array.dtype.kind for array in arrays.values()} == {"i", "f"}


@pytest.mark.parametrize("convert", [lambda p: from_arrays(to_arrays(p)), lambda p: p])
def test_an_empty_population_stays_empty(convert):
    assert convert([]) == []
