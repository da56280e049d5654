"""Random individuals, and the mutations and crossover that make new ones of them."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from deap import gp

from symreg.arrays import Floats
from symreg.fit.programs.batch import CodedTerm, fits
from symreg.language.canonical import build, shaped, terms_of, valued
from symreg.language.text import ONE, Nested
from symreg.language.tree import mapped, operands
from symreg.searching.individuals import Candidate, Individual, complexity, n_fitted, order_of
from symreg.searching.randomness import random
from symreg.searching.variation.extension import extend
from symreg.searching.variation.limits import VariationSettings, is_embedding, is_sane
from symreg.searching.variation.mutations import MUTATIONS_OF_TREES, limit
from symreg.searching.variation.rates import MUTATIONS, OPERATORS
from symreg.searching.variation.trees import Trees
from symreg.searching.variation.types import Angular, Atomic, Radial, Separable, Triplet
from symreg.terms import Key
from symreg.terms.kinds import FUNCTION, PAIRS, TRIPLETS, adjective_of, kinds
from symreg.terms.term import sums_in

MOST_TRIES = 400
"""Random individuals made for each that is within the limits; beyond it there are none."""
_ROOTS = {FUNCTION: Atomic, TRIPLETS: Triplet}
"""Types of trees that are no products, by what they are over; elsewhere they are radial."""
_CHANGE = {row.name: row.change for row in MUTATIONS_OF_TREES}


class Draft(NamedTuple):
    """A term that was changed or made: not yet canonical, of a key that may not be its own."""

    key: int
    tree: Nested


def draft(coded: CodedTerm | Draft) -> Draft:
    """A term to be changed."""
    if isinstance(coded, Draft):
        return coded
    return Draft(coded.key, valued(coded.shape, coded.constants))


def radial_parts(tree: Nested) -> list[Nested]:
    """Radial factor of a product, or those of what neighbour sums sum."""
    if tree[0] == "product":
        return [tree[1]]
    return [_radial(node[2]) for node in sums_in(tree)]


def _radial(summand: Nested) -> Nested:
    """The function of the distance in what is summed."""
    radial: Nested = summand[1] if summand[0] == "product" else summand
    return radial


def with_radial_part(tree: Nested, old: Nested, new: Nested) -> Nested:
    """The term with another of its radial parts."""
    if tree[0] == "product":
        return ("product", new, tree[2])
    if tree[0] == "sum":
        if tree[2] == old:
            return build("sum", tree[1], new)
        if tree[2][:2] == ("product", old):
            return build("sum", tree[1], ("product", new, tree[2][2]))
        return tree
    if not operands(tree):
        return tree
    return build(*mapped(tree, lambda u: with_radial_part(u, old, new)))


class Variation:
    """Makes individuals.

    Parameters
    ----------
    settings, keys
        Limits and rates; kinds and species that a term can have.
    x_range
        Smallest and largest reduced distance of the data.
    overs
        What terms are over; all by default. Where they may be pair terms there must be one.
    loans
        Functions of x that pair terms may borrow.
    """

    def __init__(
        self,
        settings: VariationSettings,
        keys: Sequence[Key],
        x_range: tuple[float, float] = (0.8, 2.5),
        overs: Collection[str] | None = None,
        loans: Sequence[Nested] = (),
    ) -> None:
        self.settings, self.keys, self.loans = settings, tuple(keys), tuple(loans)
        there = {key.over for key in keys} - {PAIRS}
        self.trees = Trees(x_range, [PAIRS, *(k.over for k in kinds() if k.over in there)])
        self._choice = [k for k, key in enumerate(keys) if overs is None or key.over in overs]
        self._overs = {self.keys[k].over for k in self._choice}
        pairs = [k for k in self._choice if self.keys[k].over == PAIRS]
        self._needed = frozenset(pairs or range(len(self.keys)))
        """Keys of which a whole individual has one."""
        self._place = {self.keys[k].over: k for k in reversed(range(len(self.keys)))}

    def random(self, count: int, rng: np.random.Generator) -> list[tuple[CodedTerm, ...]]:
        """Random individuals; a ``ValueError`` says which limit hardly any is within."""
        found: list[tuple[CodedTerm, ...]] = []
        with random.seeded(rng):
            for _ in range(MOST_TRIES * count):
                coded_terms = self._tidy(self._drawn())
                if coded_terms:
                    found.append(coded_terms)
                if len(found) == count:
                    return found
            exceeded = [self._exceeded(self._split(self._drawn())) for _ in range(MOST_TRIES)]
        # The limit that alone kept most away is the one to change.
        limit, size = f"max_complexity is {self.settings.max_complexity}", "is as short as that"
        if exceeded.count({"max_constants"}) > exceeded.count({"max_complexity"}):
            limit, size = f"max_constants is {self.settings.max_constants}", "has as few constants"
        raise ValueError(
            f"[terms] {limit}: hardly any formula of "
            f"{' and '.join(sorted(map(adjective_of, self._overs)))} terms {size}; make it larger"
        )

    def _drawn(self) -> list[Draft]:
        """Random terms: one to three, or one or two of each kind."""
        if len(self._overs) > 1:
            keys = [key for key in self._choice for _ in range(random.choice((1, 1, 2)))]
        else:
            keys = random.choices(self._choice, k=random.choice((1, 2, 2, 3)))
        return [self._random_draft(key) for key in keys]

    @property
    def base_rates(self) -> Floats:
        """Rates of ``OPERATORS`` before anything is known of what they yield; they sum to 1."""
        crossover, rate_of = self.settings.crossover_rate, dict(MUTATIONS)
        mutations = np.array([rate_of.get(name, 0.0) for name in OPERATORS[1:]])
        return np.array([crossover, *((1 - crossover) * mutations / mutations.sum())])

    def vary(
        self, parents: Sequence[Individual], rng: np.random.Generator, rates: Floats | None = None
    ) -> list[Candidate]:
        """Offspring of each two parents in turn; some have none.

        Rates are those of ``OPERATORS``, shape (n,); the base rates unless given.
        """
        limits = np.cumsum(self.base_rates if rates is None else rates).tolist()
        offspring = []
        with random.seeded(rng):
            for one, two in zip(parents[::2], parents[1::2], strict=True):
                made = min(bisect(limits, random.random() * limits[-1]), len(OPERATORS) - 1)
                if OPERATORS[made] == "crossover":
                    child = self._crossover(one.coded_terms, two.coded_terms)
                    born = min(one.born, two.born)
                else:
                    child, born = self._mutate(one.coded_terms, OPERATORS[made]), one.born
                tidy = self._tidy(child)
                if tidy:
                    offspring.append(Candidate(tidy, born, made))
        return offspring

    def _tidy(self, coded_terms: Sequence[CodedTerm | Draft]) -> tuple[CodedTerm, ...]:
        """Canonical order without duplicates; empty when a limit is broken."""
        split = self._split(coded_terms)
        if not self.is_whole(split) or len(split) > self.settings.max_terms * len(self.keys):
            return ()
        n_nonlinear = sum([len(coded.constants) for coded in split])
        if n_nonlinear > self.settings.max_nonlinear or self._exceeded(split):
            return ()
        for coded, inherited in split.items():
            if not inherited and not self._is_allowed(coded):
                return ()
        return tuple(sorted(split, key=order_of))

    def _is_allowed(self, coded: CodedTerm) -> bool:
        """Whether a new term is sane, and has a value for an atom alone if it is one of sums."""
        if not (is_sane(coded) and fits(coded.shape)):
            return False
        if not self.keys[coded.key].is_function:
            return True
        return is_embedding(draft(coded).tree, self.settings.max_sums, self.trees.overs)

    def _split(self, coded_terms: Sequence[CodedTerm | Draft]) -> dict[CodedTerm, bool]:
        """The terms that sums are made of, each of its kind, and whether they are as they were."""
        found: dict[CodedTerm, bool] = {}
        for coded in coded_terms:
            if isinstance(coded, CodedTerm):
                found[coded] = True
                continue
            for part in terms_of(coded.tree):
                typed = self._typed(coded.key, part)
                if typed is not None:
                    found.setdefault(typed, False)
        return found

    def _exceeded(self, coded_terms: Collection[CodedTerm]) -> set[str]:
        """Which limits of a run file the terms are beyond, by name."""
        found, most = set(), self.settings.max_constants
        if complexity(coded_terms) > self.settings.max_complexity:
            found.add("max_complexity")
        if most and n_fitted(coded_terms) > most:
            found.add("max_constants")
        return found

    def is_whole(self, coded_terms: Iterable[CodedTerm]) -> bool:
        """Whether there is a term, and a pair term: a formula needs one to keep atoms apart."""
        return not self._needed.isdisjoint([coded.key for coded in coded_terms])

    def _pairs(self, coded_terms: Sequence[CodedTerm | Draft]) -> list[int]:
        """Where pair terms stand."""
        return [k for k, coded in enumerate(coded_terms) if self.keys[coded.key].over == PAIRS]

    def _typed(self, key: int, tree: Nested) -> CodedTerm | None:
        """A coded term of its kind; None for nothing, or a function of sums that is not allowed.

        A three-body function that is 1 is a product; a bare sum stands alone.
        """
        over = self.keys[key].over
        if over == FUNCTION:
            if tree[0] == "sum":
                alone = self._place.get(tree[1][0])
                known = alone is not None and (alone in self._choice or tree[1][0] != PAIRS)
                return self._typed(alone, tree[2]) if known and alone is not None else None
            if not any(True for _ in sums_in(tree)):
                return None
        elif tree == ONE and over == TRIPLETS:
            tree = ("product", ONE, ONE)
        return CodedTerm(key, *shaped(tree))

    def _random_draft(self, key: int) -> Draft:
        kind = _ROOTS.get(self.keys[key].over, Radial)
        if kind is Triplet and not (self.settings.general and random.random() < 0.5):
            kind = Separable
        depth = random.choice((1, 2, 2, 3)) + (kind is Separable)
        return Draft(key, self.trees.nested(self.trees.grow(kind, depth)))

    def _has_radial_part(self, coded: CodedTerm) -> bool:
        return coded.shape.root[0] == "product" or self.keys[coded.key].is_function

    def _mutate(self, coded_terms: Sequence[CodedTerm], name: str) -> list[CodedTerm | Draft]:
        changed: list[CodedTerm | Draft] = list(coded_terms)
        if name == "add":
            return [*changed, self._random_draft(random.choice(self._choice))]
        place = random.randrange(len(changed))
        key = changed[place].key
        composed: list[int] = []
        if name in ("factor", "borrow"):
            composed = [k for k, coded in enumerate(coded_terms) if self._has_radial_part(coded)]
        if name == "factor" and composed:
            self._replace_part(changed, random.choice(composed))
        elif name == "borrow" and (composed or self.loans) and self._pairs(changed):
            self._borrow(changed, composed)
        elif name == "drop" and len(changed) > 1:
            del changed[place]
        elif name == "limit":
            changed[place] = Draft(key, limit(draft(changed[place]).tree))
        elif name == "extend":
            changed[place] = Draft(key, extend(draft(changed[place]).tree, self.keys[key]))
        elif name in ("drop", "replace", "factor", "borrow"):
            changed[place] = self._random_draft(key)
        elif name == "duplicate":
            other = random.choice(("point", "subtree", "constant", "exponent"))
            changed.append(self._mutate_term(other, changed[place]))
        else:
            changed[place] = self._mutate_term(name, changed[place])
        return changed

    def _replace_part(self, coded_terms: list[CodedTerm | Draft], place: int) -> None:
        """Give a term another radial function, or another one of what is around it."""
        key, tree = draft(coded_terms[place])
        chosen = random.choice(radial_parts(tree))
        if random.random() < 0.5:
            radial = self.trees.nested(self.trees.expression(self.trees.pset, Radial))
            coded_terms[place] = Draft(key, with_radial_part(tree, chosen, radial))
        elif tree[0] == "product":
            angular = self.trees.nested(self.trees.expression(self.trees.pset, Angular))
            coded_terms[place] = Draft(key, ("product", tree[1], angular))
        else:
            inner = next(one for one in sums_in(tree) if _radial(one[2]) == chosen)
            around = self.trees.embedded(self.trees.deap(inner, Atomic))
            coded_terms[place] = Draft(key, self.trees.nested(around))

    def _borrow(self, coded_terms: list[CodedTerm | Draft], composed: Sequence[int]) -> None:
        """Let pair terms and another term share a function: the same lengths govern both."""
        pairs = self._pairs(coded_terms)
        pair, chance = random.choice(pairs), random.random()
        if composed and chance < 1 / 4:
            place = random.choice(composed)
            key, tree = draft(coded_terms[place])
            part = random.choice(radial_parts(tree))
            lent = draft(coded_terms[pair]).tree
            coded_terms[place] = Draft(key, with_radial_part(tree, part, lent))
            return
        parts = (part for k in composed for part in radial_parts(draft(coded_terms[k]).tree))
        radial = random.choice([*parts, *self.loans])
        if chance < 1 / 2:
            coded_terms.append(Draft(coded_terms[pair].key, radial))
            return
        for k in [pair] if chance < 3 / 4 else pairs:
            key, tree = draft(coded_terms[k])
            coded_terms[k] = Draft(key, build("mul", tree, radial))

    def _mutate_term(self, name: str, coded: CodedTerm) -> Draft:
        changed = _CHANGE[name](self._deap(coded), self.trees)
        return Draft(coded.key, self.trees.nested(changed))

    def _deap(self, coded: CodedTerm) -> gp.PrimitiveTree:
        """A term as DEAP has it."""
        if coded.shape.root[0] == "product":
            return self.trees.coded(coded, Separable)
        return self.trees.coded(coded, _ROOTS.get(self.keys[coded.key].over, Radial))

    def _crossover(
        self, one: Sequence[CodedTerm], two: Sequence[CodedTerm]
    ) -> list[CodedTerm | Draft]:
        """Exchange a term, or subtrees between two terms."""
        a = random.randrange(len(one))
        alike = [coded for coded in two if coded.key == one[a].key]
        # Terms of other kinds have radial parts too.
        other = random.choice(alike if alike and random.random() < 0.9 else two)
        changed: list[CodedTerm | Draft] = list(one)
        chance = random.random()
        if not alike or chance < 0.3:
            changed.append(random.choice(two))
        elif chance < 0.6:
            changed[a] = random.choice(alike)
        else:
            tree, _ = gp.cxOnePoint(self._deap(one[a]), self._deap(other))
            changed[a] = Draft(one[a].key, self.trees.nested(tree))
        return changed
