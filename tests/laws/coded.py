"""Terms of candidates from nested forms with values, and back."""

from symreg.fit.programs.batch import CodedTerm
from symreg.language.canonical import shaped, valued


def coded_of(key, form):
    """The term of a key, by its number, whose function is a nested form."""
    return CodedTerm(key, *shaped(form))


def form_of(coded):
    """The nested form of a term, with values in the places of its constants."""
    return valued(coded.shape, coded.constants)


def over_pairs(form):
    """A sum over neighbours of a function of the distance."""
    return "sum", ("pairs", "sum"), form


def over_triplets(form):
    """A sum over every two neighbours."""
    return "sum", ("triplets", "sum"), form
