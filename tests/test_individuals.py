import math

import numpy as np
import pytest

from symreg.fit.programs.packing import pack
from symreg.language import parse
from symreg.language.canonical import ONE, X, build
from symreg.language.text import TRIPLET
from symreg.searching.individuals import (
    Gene,
    Individual,
    cost,
    decode,
    encode,
    from_arrays,
    genes_of,
    n_constants,
    structure,
    terms_from,
    to_arrays,
)
from symreg.terms import Term

KEYS = (("pair", ("Ar", "Ar")), ("pair", ("Ar", "Kr")))
MIXED = (*KEYS, ("three-body", ("Ar", "Ar", "Ar")))
C = ("c",)
X12 = ("powi", -12, X)
MORSE = ("exp", ("mul", ("const", -3.5), ("sub", X, ("const", 1.25))))


def equal(one, two):
    """Whether two individuals agree to the last bit."""
    same = one.genes == two.genes and one.weights == two.weights and one.born == two.born
    numbers = np.array([one.error, *one.fingerprint, *one.fitness.values])
    return (
        same
        and numbers.tobytes()
        == np.array([two.error, *two.fingerprint, *two.fitness.values]).tobytes()
    )


def test_complexity_counts_nodes_and_two_for_each_weight():
    # x^-12: powi 2, x 1; exp 4, mul 1, const 1, sub 1, x 1, const 1; two weights at 2.
    assert cost(X12) == 3
    assert cost(MORSE) == 9
    assert Individual((Gene(0, X12), Gene(0, MORSE))).complexity == 3 + 9 + 4


def test_complexity_is_that_of_the_terms_it_stands_for():
    genes = (Gene(0, X12), Gene(1, MORSE), Gene(1, ONE))
    terms = terms_from(genes, KEYS)
    assert [cost(gene.tree) for gene in genes] == [term.tree.complexity for term in terms]


def test_fitness_is_the_logarithm_of_the_error_and_complexity():
    assert Individual((Gene(0, X12),), error=math.e).fitness.values == (1.0, 5)
    assert math.isfinite(Individual((Gene(0, X12),), error=0.0).fitness.values[0])


def test_structure_forgets_the_values_of_constants_only():
    other = ("exp", ("mul", ("const", 8.0), ("sub", X, ("const", -1.0))))
    assert structure((Gene(0, MORSE),)) == structure((Gene(0, other),))
    assert structure((Gene(0, MORSE),)) != structure((Gene(1, MORSE),))
    assert structure((Gene(0, X12),)) != structure((Gene(0, ("powi", -11, X)),))


def test_constants_are_counted_but_not_integers():
    assert n_constants(MORSE) == 2
    assert n_constants(("mul", ("int", 2), X12)) == 0


def test_terms_become_genes_without_their_linear_factors():
    lj = parse("4.0*((1.5/x)^12 - (1.5/x)^6)")
    genes = genes_of([Term(*KEYS[1], lj)], KEYS)
    assert genes == (Gene(1, X12), Gene(1, ("powi", -6, X)))


def test_terms_of_species_that_do_not_occur_are_left_out():
    stranger = Term("pair", ("Xe", "Xe"), parse("x^-6"))
    assert genes_of([stranger, Term(*KEYS[0], parse("x^-6"))], KEYS) == (Gene(0, ("powi", -6, X)),)


def test_encoding_is_that_of_the_terms():
    candidates = [(Gene(0, X12), Gene(1, MORSE)), (Gene(1, ONE),)]
    packed = pack([terms_from(genes, KEYS) for genes in candidates], KEYS)
    for ours, theirs in zip(encode(candidates), packed, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_decoding_gives_the_constants_that_the_batch_holds_now():
    batch = encode([(Gene(0, X12), Gene(0, MORSE))])
    batch.constants[:] = [7.0, 9.0]
    ((_, gene),) = decode(batch)
    assert gene.tree == ("exp", ("mul", ("const", 7.0), ("sub", X, ("const", 9.0))))


def test_arrays_hold_a_population_exactly():
    population = [
        Individual((Gene(1, MORSE), Gene(0, X12)), 0.1 / 3, (1e-300, -2.5), (0.3, -0.0), 7),
        Individual((Gene(0, ("powi", 2, build("add", X, ("const", math.pi)))),), 1.0, (0.1,)),
    ]
    again = from_arrays(to_arrays(population))
    assert all(equal(a, b) for a, b in zip(population, again, strict=True))


def test_arrays_hold_three_body_terms_exactly():
    product = ("product", MORSE, ("powi", 2, ("add", ("const", 1 / 3), C)))
    general = ("mul", ("powi", -3, ("x1",)), ("exp", ("mul", ("const", -0.1), ("add", ("x2",), C))))
    population = [
        Individual((Gene(0, X12), Gene(2, product)), 0.1 / 3, (1e-300, -2.5), (0.3, -0.0), 7),
        Individual((Gene(2, general), Gene(2, ("product", ONE, ONE))), 2.0, (0.1, -1.0)),
    ]
    arrays = to_arrays(population)
    again = from_arrays(arrays)
    assert all(equal(a, b) for a, b in zip(population, again, strict=True))
    assert [[gene.tree for gene in i.genes] for i in again] == [
        [X12, product],
        [general, ("product", ONE, ONE)],
    ]
    assert {name: array.tobytes() for name, array in to_arrays(again).items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }
    packed = pack([terms_from(i.genes, MIXED) for i in population], MIXED)
    for ours, theirs in zip(encode([i.genes for i in population]), packed, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_terms_of_triplets_become_genes_without_the_scales_of_their_factors():
    text = "(4*exp(-2.0*x1))*(4*exp(-2.0*x2))*(3.5*(c + 0.5)^2)"
    (gene,) = genes_of([Term(*MIXED[2], parse(text, variable=TRIPLET))], MIXED)
    radial = ("exp", ("mul", ("const", -2.0), X))
    assert gene == Gene(2, ("product", radial, ("powi", 2, ("add", ("const", 0.5), C))))
    (term,) = terms_from([gene], MIXED)
    assert term.tree.factors is not None
    assert str(term.tree) == "exp(-2.0*x1)*exp(-2.0*x2)*(0.5 + c)^2"


def test_arrays_are_plain_numbers():
    arrays = to_arrays([Individual((Gene(0, X12),), 0.5, (1.0,))])
    assert {array.dtype.kind for array in arrays.values()} == {"i", "f"}


@pytest.mark.parametrize("convert", [lambda p: from_arrays(to_arrays(p)), lambda p: p])
def test_an_empty_population_stays_empty(convert):
    assert convert([]) == []
