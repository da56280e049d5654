"""Random individuals, and the mutations and crossover that make new ones of them."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from deap import gp

from symreg.arrays import Floats
from symreg.fit.programs.batch import CodedTerm, fits
from symreg.language.canonical import build, shaped, terms_of
from symreg.language.operators import PRODUCTS
from symreg.language.text import ONE, Nested
from symreg.searching.individuals import (
    Candidate,
    Individual,
    complexity,
    n_fitted,
    order_of,
)
from symreg.searching.randomness import random
from symreg.searching.variation.exchange import BY_KEY, crossed_by_key, exchanged
from symreg.searching.variation.extension import extend
from symreg.searching.variation.kin import (
    Draft,
    Kin,
    directed,
    draft,
    neighbours,
    of_alike,
    over_all_species,
    summed_over,
)
from symreg.searching.variation.limits import VariationSettings, is_embedding, is_sane, too_tight
from symreg.searching.variation.moulds import Moulds
from symreg.searching.variation.mutations import MUTATIONS_OF_TREES, limit
from symreg.searching.variation.parts import (
    heads_of,
    radial_parts,
    with_other_part,
    with_radial_part,
)
from symreg.searching.variation.rates import BETWEEN_KEYS, MUTATIONS, OPERATORS
from symreg.searching.variation.trees import Trees
from symreg.searching.variation.types import Separable, Triplet, root_of
from symreg.terms import Key
from symreg.terms.kinds import kinds
from symreg.terms.sharing import may_share
from symreg.terms.term import sums_in

MOST_TRIES = 400
"""Random individuals made for each that is within the limits; beyond it there are none."""
ALL_SPECIES = 0.5
"""Fraction of random functions whose sums are over neighbours of all species."""
HELD = 0.8
"""Fraction of offspring of several keys in which constants of old terms are held: fits of one key
cost a fraction of those of all."""

_CHANGE = {row.name: row.change for row in MUTATIONS_OF_TREES}
_BETWEEN_KEYS = frozenset(name for name, _ in BETWEEN_KEYS)
_SPLITTING = ("point", "subtree", "exponent", "shift", "limit", "extend", "factor")
"""Mutations that give one key a form of its own."""


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
        there = {key.over for key in keys}
        summed = [kind.over for kind in kinds() if kind.is_pair or kind.over in there]
        unlike = any(key.is_unlike for key in keys)
        self.trees = Trees(x_range, summed, heads_of(keys), unlike)
        self._choice = [k for k, key in enumerate(keys) if overs is None or key.over in overs]
        self.kin = Kin(keys, self._choice, settings.shared)
        self._sharing = self.keys if may_share(self.keys) else ()
        self._overs = {self.keys[k].over for k in self._choice}
        self._needed = frozenset(k for k in self._choice if self.keys[k].is_pair)
        """Keys of which a whole individual has a term each."""
        self._number = {key: k for k, key in enumerate(self.keys)}
        self.moulds = Moulds(
            settings.templates, keys, self._choice, self._random_draft, self.trees, self._typed
        )

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
        raise ValueError(too_tight(self.settings, exceeded, self._overs))

    def _drawn(self) -> list[Draft]:
        """Random terms: one to three, or one or two of each kind."""
        if len(self._overs) > 1:
            by_kind = {self.keys[k].over: k for k in reversed(self._choice)}
            kinds_ = sorted(by_kind.values())
            keys = [key for key in kinds_ for _ in range(random.choice((1, 1, 2)))]
            families = [[key, *self.kin.others(key)] for key in keys]
            keys = [self._chosen(family) if len(family) > 1 else family[0] for family in families]
        else:
            count = random.choice((1, 2, 2, 3))
            keys = random.choices(self._choice, self._likely(self._choice), k=count)
        return [one for key in keys for one in self.kin.spread(self._random_draft(key))]

    def _likely(self, keys: Sequence[int]) -> list[float] | None:
        """How likely some keys are given a new form; None where all are alike."""
        importance = self.settings.importance
        return [importance[k] for k in keys] if importance else None

    def _chosen(self, keys: Sequence[int]) -> int:
        """One of some keys, the likelier the more it is said to matter."""
        likely = self._likely(keys)
        chosen: int = random.choices(keys, likely)[0] if likely else random.choice(keys)
        return chosen

    @property
    def base_rates(self) -> Floats:
        """Rates of ``OPERATORS`` before anything is known of what they yield; they sum to 1."""
        crossover, rate_of = self.settings.crossover_rate, dict(MUTATIONS)
        if self.kin.any and self.settings.shared != "never":
            rate_of |= dict(BETWEEN_KEYS)
        mutations = np.array([rate_of.get(name, 0.0) for name in OPERATORS[1:]])
        return np.array(
            [crossover, *((1 - crossover) * mutations / mutations[mutations > 0].sum())]
        )

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
                    offspring.append(Candidate(tidy, born, made, self._moved(tidy, one)))
        return offspring

    def _moved(self, child: Sequence[CodedTerm], parent: Individual) -> tuple[bool, ...]:
        """Terms whose constants are fitted: where there are many keys mostly those that are new."""
        if not self._sharing or random.random() >= HELD:
            return ()
        known = set(parent.coded_terms)
        found = tuple([coded not in known for coded in child])
        return found if any(found) else ()

    def _tidy(self, coded_terms: Sequence[CodedTerm | Draft]) -> tuple[CodedTerm, ...]:
        """Canonical order without duplicates; empty when a limit is broken.

        A key of pairs without a term has a copy of another's.
        """
        split = self.moulds.imposed(self._split(coded_terms))
        if not self._needed <= {coded.key for coded in split}:
            split |= self._split(self.kin.lacking(split, self._needed))
        if self.settings.shared == "always":
            split = {coded: split.get(coded, False) for coded in self.kin.levelled([*split])}
        if not self.is_whole(split) or len(split) > self.settings.max_terms * len(self.keys):
            return ()
        n_nonlinear = self.n_fitted(split) - len(split)
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
        tree = draft(coded).tree
        met = set(self.kin.met_by(self.keys[coded.key].centre))
        return summed_over(tree, self.keys[coded.key].centre) <= met and is_embedding(
            tree, self.settings.max_sums, self.trees.overs
        )

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
        if self.complexity(coded_terms) > self.settings.max_complexity:
            found.add("max_complexity")
        if most and self.n_fitted(coded_terms) > most:
            found.add("max_constants")
        return found

    def complexity(self, coded_terms: Iterable[CodedTerm]) -> int:
        """Complexity of terms, a shared form once."""
        return complexity(coded_terms, self._sharing)

    def n_fitted(self, coded_terms: Iterable[CodedTerm]) -> int:
        """Fitted reals of terms, tied ones being one."""
        return n_fitted(coded_terms, self._sharing)

    def is_whole(self, coded_terms: Collection[CodedTerm]) -> bool:
        """Whether there is a term, one for each pair, and what templates ask for."""
        there = {coded.key for coded in coded_terms}
        return bool(there) and self._needed <= there and self.moulds.are_kept(coded_terms)

    def lacks_some(self, coded_terms: Collection[CodedTerm]) -> bool:
        """Whether some pairs of species have a term and others none, or templates lack theirs."""
        there = self._needed & {coded.key for coded in coded_terms}
        return not self.moulds.are_kept(coded_terms) or (bool(there) and there != self._needed)

    def _pairs(self, coded_terms: Sequence[CodedTerm | Draft]) -> list[int]:
        """Where pair terms stand."""
        return [k for k, coded in enumerate(coded_terms) if self.keys[coded.key].is_pair]

    def _typed(self, key: int, tree: Nested) -> CodedTerm | None:
        """A coded term of its kind; None for nothing, or a function of sums that is not allowed.

        A three-body function that is 1 is a product; a bare sum stands alone.
        """
        species = self.keys[key].species
        if self.keys[key].is_function:
            tree = directed(tree, species[0])
            if tree[0] == "sum":
                summed = Key(tree[1][0], (*species, *neighbours(tree[1], *species)))
                alone = self._number.get(summed.ordered())
                known = alone is not None and (alone in self._choice or not summed.is_pair)
                return self._typed(alone, tree[2]) if known and alone is not None else None
            if not any(True for _ in sums_in(tree)):
                return None
        elif tree == ONE and self.keys[key].is_triplet:
            tree = ("product", ONE, ONE)
        elif not self.keys[key].is_unlike:
            tree = of_alike(tree)
        return CodedTerm(key, *shaped(tree))

    def _random_draft(self, key: int) -> Draft:
        kind = root_of(self.keys[key])
        if kind is Triplet and not (self.settings.general and random.random() < 0.5):
            kind = Separable
        depth = random.choice((1, 2, 2, 3)) + (kind is Separable)
        tree = self.trees.nested(self.trees.grow(kind, depth))
        if self.keys[key].is_function and self.trees.heads and random.random() < ALL_SPECIES:
            tree = over_all_species(tree, self.kin.met_by(self.keys[key].centre))
        return Draft(key, tree)

    def _has_radial_part(self, coded: CodedTerm) -> bool:
        return coded.shape.root[0] in PRODUCTS or self.keys[coded.key].is_function

    def _mutate(self, coded_terms: Sequence[CodedTerm], name: str) -> list[CodedTerm | Draft]:
        changed: list[CodedTerm | Draft] = list(coded_terms)
        if name == "add":
            return [*changed, *self.kin.spread(self._random_draft(self._chosen(self._choice)))]
        if name in _BETWEEN_KEYS:
            return exchanged(name, coded_terms, self.kin, self._split_off)
        place, composed = random.randrange(len(changed)), list[int]()
        if name in ("factor", "borrow"):
            composed = [k for k, coded in enumerate(coded_terms) if self._has_radial_part(coded)]
        if name == "borrow" and (composed or self.loans) and self._pairs(changed):
            self._borrow(changed, composed)
            return changed
        if name == "factor" and composed:
            place = random.choice(composed)
        group = self.kin.group(coded_terms, place)
        if name == "drop" and len(changed) > len(group):
            return [coded for k, coded in enumerate(changed) if k not in group]
        new = self._changed(name, [coded_terms[k] for k in group])
        if name == "duplicate":
            return [*changed, *new]
        for k, one in zip(group, new, strict=True):
            changed[k] = one
        return changed

    def _changed(self, name: str, coded_terms: Sequence[CodedTerm]) -> list[Draft]:
        """Terms of one form after one mutation with the same draws for each: ties stay."""
        first, *rest = coded_terms
        before = random.getstate() if rest else None
        found = [self._changed_term(name, first)]
        for other in rest:
            random.setstate(before)
            new = self._changed_term(name, self.kin.coded(other, first.key))
            found.append(self.kin.moved(new, other.key))
        return found

    def _changed_term(self, name: str, coded: CodedTerm) -> Draft:
        key = coded.key
        if name == "limit":
            return Draft(key, limit(draft(coded).tree))
        if name == "extend":
            return Draft(key, extend(draft(coded).tree, self.keys[key]))
        if name == "factor" and self._has_radial_part(coded):
            return Draft(
                key, with_other_part(draft(coded).tree, self.trees, self.keys[key].is_unlike)
            )
        if name in ("drop", "replace", "factor", "borrow"):
            return self._random_draft(key)
        if name == "duplicate":
            name = random.choice(("point", "subtree", "constant", "exponent"))
        return self._mutate_term(name, coded)

    def _split_off(self, coded: CodedTerm) -> Draft:
        """Another form for one key."""
        return self._changed_term(random.choice(_SPLITTING), coded)

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
        if coded.shape.root[0] in PRODUCTS:
            return self.trees.coded(coded, Separable)
        return self.trees.coded(coded, root_of(self.keys[coded.key]))

    def _crossover(
        self, one: Sequence[CodedTerm], two: Sequence[CodedTerm]
    ) -> Sequence[CodedTerm | Draft]:
        """Exchange a term, or subtrees between two terms; or all terms of some keys."""
        if self.kin.any and random.random() < BY_KEY:
            return crossed_by_key(one, two, self.kin)
        a = random.randrange(len(one))
        alike = [coded for coded in two if coded.key == one[a].key]
        # Terms of other kinds have radial parts too.
        other = random.choice(alike if alike and random.random() < 0.9 else two)
        changed: list[CodedTerm | Draft] = list(one)
        chance = random.random()
        if not alike or chance < 0.3:
            place = random.randrange(len(two))
            return [*changed, *(two[k] for k in self.kin.group(two, place))]
        chosen = random.choice(alike) if chance < 0.6 else None
        if chosen is None:
            tree, _ = gp.cxOnePoint(self._deap(one[a]), self._deap(other))
            chosen = Draft(one[a].key, self.trees.nested(tree))
        for k in self.kin.group(one, a):
            changed[k] = self.kin.moved(chosen, one[k].key) if k != a else chosen
        return changed
