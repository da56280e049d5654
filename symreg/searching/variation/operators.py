"""Random individuals, and the mutations and crossover that make new ones of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from deap import gp

from symreg.fit.programs.evaluation import MAX_NODES
from symreg.language.canonical import ONE, Nested, build, terms_of
from symreg.language.operators import WEIGHT_COST
from symreg.searching.individuals import (
    Candidate,
    Gene,
    Individual,
    Key,
    cost,
    n_constants,
    n_fitted,
)
from symreg.searching.randomness import random
from symreg.searching.variation.extension import extend
from symreg.searching.variation.limits import VariationSettings, is_embedding, is_sane, summands
from symreg.searching.variation.mutations import limit, mutate_tree
from symreg.searching.variation.rates import MUTATIONS, OPERATORS, Floats
from symreg.searching.variation.trees import Trees
from symreg.searching.variation.types import Angular, Atomic, Radial, Separable, Triplet

MOST_TRIES = 400
"""Random individuals made for each that is within the limits; beyond it there are none."""


def radial_parts(tree: Nested) -> list[Nested]:
    """Radial factor of a product, or those of what neighbour sums sum."""
    if tree[0] == "product":
        return [tree[1]]
    return [_radial(part) for part in summands(tree)]


def _radial(summand: Nested) -> Nested:
    """The function of the distance in what is summed."""
    radial: Nested = summand[1] if summand[0] == "product" else summand
    return radial


def with_radial_part(tree: Nested, old: Nested, new: Nested) -> Nested:
    """The term with another of its radial parts."""
    if tree[0] == "product":
        return ("product", new, tree[2])
    if tree == ("sum", old):
        return build("sum", new)
    if tree[0] == "sum" and tree[1][:2] == ("product", old):
        return build("sum", ("product", new, tree[1][2]))
    if tree[0] in ("const", "int", "sum"):
        return tree
    operands = [with_radial_part(u, old, new) if isinstance(u, tuple) else u for u in tree[1:]]
    return build(tree[0], *operands)


class Variation:
    """Makes individuals.

    Parameters
    ----------
    settings
        Limits and rates.
    keys
        Kinds and species that a term can have.
    x_range
        Smallest and largest reduced distance of the data.
    kinds
        Kinds that individuals have terms of; all by default. Where they may have pair terms they
        must have one.
    loans
        Functions of x that pair terms may borrow.
    """

    def __init__(
        self,
        settings: VariationSettings,
        keys: Sequence[Key],
        x_range: tuple[float, float] = (0.8, 2.5),
        kinds: Collection[str] | None = None,
        loans: Sequence[Nested] = (),
    ) -> None:
        self.settings = settings
        self.keys = tuple(keys)
        self.bends = any(kind == "three-body" for kind, _ in keys)
        self.trees = Trees(x_range, self.bends)
        self.loans = tuple(loans)
        self._choice = [k for k, (kind, _) in enumerate(keys) if kinds is None or kind in kinds]
        self._kinds = {self.keys[k][0] for k in self._choice}
        found = [k for k in self._choice if self.keys[k][0] == "three-body"]
        self._three_body = found[0] if found else None

    def random(self, count: int, rng: np.random.Generator) -> list[tuple[Gene, ...]]:
        """Random individuals of one to three terms; with triplets, of one or two of each kind.

        Raises
        ------
        ValueError
            If hardly any is within the limits.
        """
        found: list[tuple[Gene, ...]] = []
        with random.seeded(rng):
            for _ in range(MOST_TRIES * count):
                genes = self._tidy(self._drawn())
                if genes:
                    found.append(genes)
                if len(found) == count:
                    return found
            exceeded = [self._exceeded(self._split(self._drawn())) for _ in range(MOST_TRIES)]
        # The limit that alone kept most away is the one to change.
        limit, size = f"max_complexity is {self.settings.max_complexity}", "is as short as that"
        if exceeded.count({"max_constants"}) > exceeded.count({"max_complexity"}):
            limit, size = f"max_constants is {self.settings.max_constants}", "has as few constants"
        raise ValueError(
            f"[terms] {limit}: hardly any formula of {' and '.join(sorted(self._kinds))} terms "
            f"{size}; make it larger"
        )

    def _drawn(self) -> list[Gene]:
        """Random terms, as many of each kind as an individual begins with."""
        if len(self._kinds) > 1:
            keys = [key for key in self._choice for _ in range(random.choice((1, 1, 2)))]
        else:
            keys = random.choices(self._choice, k=random.choice((1, 2, 2, 3)))
        return [self._random_gene(key) for key in keys]

    @property
    def base_rates(self) -> Floats:
        """Rates of ``OPERATORS`` before anything is known of what they yield; they sum to 1."""
        crossover, rate_of = self.settings.crossover_rate, dict(MUTATIONS)
        mutations = np.array([rate_of.get(name, 0.0) for name in OPERATORS[1:]])
        return np.array([crossover, *((1 - crossover) * mutations / mutations.sum())])

    def vary(
        self,
        parents: Sequence[Individual],
        rng: np.random.Generator,
        rates: Floats | None = None,
    ) -> list[Candidate]:
        """Offspring of each two parents in turn; some parents have none.

        Parameters
        ----------
        parents
            An even number of them.
        rng
            The only source of randomness.
        rates
            Of ``OPERATORS``, shape (n,); the base rates unless given.
        """
        limits = np.cumsum(self.base_rates if rates is None else rates).tolist()
        offspring = []
        with random.seeded(rng):
            for one, two in zip(parents[::2], parents[1::2], strict=True):
                (made,) = random.choices(range(len(OPERATORS)), cum_weights=limits)
                if OPERATORS[made] == "crossover":
                    genes, born = self._crossover(one.genes, two.genes), min(one.born, two.born)
                else:
                    genes, born = self._mutate(one.genes, OPERATORS[made]), one.born
                tidy = self._tidy(genes)
                if tidy:
                    offspring.append(Candidate(tidy, born, made))
        return offspring

    def _tidy(self, genes: Sequence[Gene]) -> tuple[Gene, ...]:
        """Canonical order without duplicates; empty when a limit is broken."""
        split = self._split(genes)
        if not self.is_whole(split) or len(split) > self.settings.max_terms * len(self.keys):
            return ()
        if self._exceeded(split):
            return ()
        if sum(n_constants(g.tree) for g in split) > self.settings.max_nonlinear:
            return ()
        if not all(is_sane(g.tree) for g in split):
            return ()
        sums = [g.tree for g in split if self.keys[g.key][0] == "many-body"]
        if not all(is_embedding(tree, self.bends) for tree in sums):
            return ()
        # No node costs less than 1. Compiled code has room for so many and does not check.
        if any(cost(g.tree) > MAX_NODES for g in split):
            return ()
        return tuple(sorted(split, key=repr))

    def _split(self, genes: Sequence[Gene]) -> set[Gene]:
        """The terms that sums are made of, each of its kind."""
        return {typed for g in genes for u in terms_of(g.tree) if (typed := self._typed(g, u))}

    def _exceeded(self, genes: Collection[Gene]) -> set[str]:
        """Which limits of a run file the terms are beyond, by name."""
        found, most = set(), self.settings.max_constants
        if sum(cost(g.tree) + WEIGHT_COST for g in genes) > self.settings.max_complexity:
            found.add("max_complexity")
        if most and n_fitted(genes) > most:
            found.add("max_constants")
        return found

    def is_whole(self, genes: Collection[Gene]) -> bool:
        """Whether there is a term, and a pair term: a formula needs one to keep atoms apart."""
        return bool(genes) and ("pair" not in self._kinds or bool(self._pairs(genes)))

    def _pairs(self, genes: Collection[Gene]) -> list[int]:
        """Where pair terms stand."""
        return [k for k, gene in enumerate(genes) if self.keys[gene.key][0] == "pair"]

    def _typed(self, gene: Gene, tree: Nested) -> Gene | None:
        """A gene of its kind; None where it is nothing.

        A three-body function that is 1 is a product. A bare neighbour sum is a pair function, for
        over all atoms it is a sum over pairs; over every two neighbours a three-body function.
        """
        kind = self.keys[gene.key][0]
        if kind == "many-body":
            if tree[0] == "sum" and tree[1][0] == "product":
                return Gene(self._three_body, tree[1]) if self._three_body is not None else None
            if tree[0] == "sum":
                return Gene(self._choice[0], tree[1]) if "pair" in self._kinds else None
            return Gene(gene.key, tree) if summands(tree) else None
        alone = tree == ONE and kind == "three-body"
        return Gene(gene.key, ("product", ONE, ONE) if alone else tree)

    def _random_gene(self, key: int) -> Gene:
        kind = self._root(key)
        depth = random.choice((1, 2, 2, 3))
        return Gene(key, self.trees.nested(self.trees.grow(kind, depth + (kind is Separable))))

    def _root(self, key: int) -> type:
        """Type of a new tree."""
        if self.keys[key][0] != "three-body":
            return Radial if self.keys[key][0] == "pair" else Atomic
        return Triplet if self.settings.general and random.random() < 0.5 else Separable

    def _mutate(self, genes: Sequence[Gene], name: str) -> list[Gene]:
        changed = list(genes)
        if name == "add":
            return [*changed, self._random_gene(random.choice(self._choice))]
        place = random.randrange(len(changed))
        key = changed[place].key
        composed = [k for k, gene in enumerate(changed) if radial_parts(gene.tree)]
        if name == "factor" and composed:
            self._replace_part(changed, random.choice(composed))
        elif name == "borrow" and (composed or self.loans) and self._pairs(changed):
            self._borrow(changed, composed)
        elif name == "drop" and len(changed) > 1:
            del changed[place]
        elif name == "limit":
            changed[place] = Gene(key, limit(changed[place].tree))
        elif name == "extend":
            changed[place] = Gene(key, extend(changed[place].tree, self.keys[key][0]))
        elif name in ("drop", "replace", "factor", "borrow"):
            changed[place] = self._random_gene(key)
        elif name == "duplicate":
            other = random.choice(("point", "subtree", "constant", "exponent"))
            changed.append(self._mutate_gene(other, changed[place]))
        else:
            changed[place] = self._mutate_gene(name, changed[place])
        return changed

    def _replace_part(self, genes: list[Gene], place: int) -> None:
        """Give a term another radial function, or another one of what is around it."""
        key, tree = genes[place]
        chosen = random.choice(radial_parts(tree))
        if random.random() < 0.5:
            radial = self.trees.nested(self.trees.expression(self.trees.pset, Radial))
            genes[place] = Gene(key, with_radial_part(tree, chosen, radial))
        elif tree[0] == "product":
            angular = self.trees.nested(self.trees.expression(self.trees.pset, Angular))
            genes[place] = Gene(key, ("product", tree[1], angular))
        else:
            inner = next(part for part in summands(tree) if _radial(part) == chosen)
            around = self.trees.embedded(self.trees.deap(("sum", inner)))
            genes[place] = Gene(key, self.trees.nested(around))

    def _borrow(self, genes: list[Gene], composed: Sequence[int]) -> None:
        """Let pair terms and another term share a function: the same lengths govern both."""
        pairs = self._pairs(genes)
        pair, chance = random.choice(pairs), random.random()
        if composed and chance < 1 / 4:
            place = random.choice(composed)
            key, tree = genes[place]
            part = random.choice(radial_parts(tree))
            genes[place] = Gene(key, with_radial_part(tree, part, genes[pair].tree))
            return
        radial = random.choice(
            [*(part for k in composed for part in radial_parts(genes[k].tree)), *self.loans]
        )
        if chance < 1 / 2:
            genes.append(Gene(genes[pair].key, radial))
            return
        for k in [pair] if chance < 3 / 4 else pairs:
            genes[k] = Gene(genes[k].key, build("mul", genes[k].tree, radial))

    def _mutate_gene(self, name: str, gene: Gene) -> Gene:
        tree = mutate_tree(name, self.trees.deap(gene.tree), self.trees)
        return Gene(gene.key, self.trees.nested(tree))

    def _crossover(self, one: Sequence[Gene], two: Sequence[Gene]) -> list[Gene]:
        """Exchange a term, or subtrees between two terms."""
        a = random.randrange(len(one))
        alike = [gene for gene in two if gene.key == one[a].key]
        # Terms of other kinds have radial parts too.
        other = random.choice(alike if alike and random.random() < 0.9 else two)
        changed = list(one)
        chance = random.random()
        if not alike or chance < 0.3:
            changed.append(random.choice(two))
        elif chance < 0.6:
            changed[a] = random.choice(alike)
        else:
            tree, _ = gp.cxOnePoint(self.trees.deap(one[a].tree), self.trees.deap(other.tree))
            changed[a] = Gene(one[a].key, self.trees.nested(tree))
        return changed
