"""Variation: how new individuals arise from old ones, with DEAP's operators on typed trees.

DEAP draws from Python's global random stream. Every public function here that calls DEAP seeds
that stream from the generator it is given.
"""

from __future__ import annotations

import math
import operator
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from deap import gp

from symreg.expression.canonical import LEAVES, ONE, Nested, X, build, terms_of
from symreg.individuals import Gene, Individual, Key, cost, n_constants
from symreg.kernels.programs import MAX_NODES
from symreg.primitives import WEIGHT_COST


class _StableType(type):
    """Types whose hash does not depend on their address.

    DEAP's crossover draws from a set of types; by address its order, and so the result for a
    given seed, would differ from process to process.
    """

    def __hash__(cls) -> int:
        return zlib.crc32(cls.__name__.encode())


class Radial(metaclass=_StableType):
    """A function of a reduced distance."""


class Angular(metaclass=_StableType):
    """A function of the cosine."""


class Triplet(metaclass=_StableType):
    """A function of both reduced distances and the cosine."""


class Separable(metaclass=_StableType):
    """A product of one radial factor for both neighbours and an angular factor."""


class Constant(Radial, Angular, Triplet):
    """A real number that is fitted."""


class Integer(metaclass=_StableType):
    """An integer exponent."""


class Degree(metaclass=_StableType):
    """A small positive exponent."""


EXPONENTS = tuple(n for n in range(-14, 9) if n not in (0, 1))
"""Integer exponents of the primitive set."""
DEGREES = (2, 3, 4, 5, 6)
"""Exponents of functions of the cosine."""
LOWEST_EXPONENT, HIGHEST_EXPONENT = -24, 8
"""Powers of powers may reach these; beyond them a power only patches one end of the range."""
LARGEST_CONSTANT = 1e4
"""Constants beyond it only undo each other; scales belong to the weights."""

CHAINS = 0.4
"""Fraction of random subtrees that are compositions of functions of one variable."""

_SUFFIX: dict[Any, str] = {Radial: "", Angular: "_c", Triplet: "_t"}
_VARIABLES: dict[Any, tuple[str, ...]] = {
    Radial: ("x",),
    Angular: ("c",),
    Triplet: ("x1", "x2", "c_t"),
}
"""Names of the leaves of each type; what follows the underscore only keeps names apart."""


def _random_constant() -> float:
    return random.choice((-1.0, 1.0)) * math.exp(random.gauss(0.7, 0.8))


def primitive_set() -> gp.PrimitiveSetTyped:
    """The production primitive set: typed operators, variables, constants and exponents."""
    variables = [(name, kind) for kind, names in _VARIABLES.items() for name in names]
    pset = gp.PrimitiveSetTyped("symreg", [kind for _, kind in variables], Separable)
    pset.renameArguments(**{f"ARG{n}": name for n, (name, _) in enumerate(variables)})
    for kind, suffix in _SUFFIX.items():
        for name in ("add", "sub", "mul", "div"):
            pset.addPrimitive(operator.add, [kind, kind], kind, name=name + suffix)
        pset.addPrimitive(operator.neg, [kind], kind, name="exp" + suffix)
        exponent = Degree if kind is Angular else Integer
        pset.addPrimitive(operator.pow, [exponent, kind], kind, name="powi" + suffix)
        pset.addTerminal(1, kind, name="one" + suffix)
    for name in ("log", "sqrt"):
        pset.addPrimitive(operator.neg, [Radial], Radial, name=name)
    pset.addPrimitive(operator.pow, [Radial, Constant], Radial, name="pow")
    pset.addPrimitive(operator.mul, [Radial, Angular], Separable, name="product")
    for kind, exponents in ((Integer, EXPONENTS), (Degree, DEGREES)):
        for n in exponents:
            pset.addTerminal(n, kind)
    pset.addEphemeralConstant("constant", _random_constant, Constant)
    return pset


@dataclass(frozen=True, kw_only=True)
class VariationSettings:
    """Limits and rates of variation."""

    max_complexity: int = 60
    max_terms: int = 6
    """For each kind and species."""
    max_constants: int = 16
    """Nonlinear constants of an individual."""
    crossover_rate: float = 0.35
    """Fraction of offspring that have two parents."""
    general: bool = False
    """Whether three-body functions need not be separable."""


MUTATIONS = (
    ("point", 0.12),
    ("subtree", 0.12),
    ("insert", 0.08),
    ("shrink", 0.07),
    ("constant", 0.09),
    ("exponent", 0.10),
    ("shift", 0.07),
    ("add", 0.08),
    ("duplicate", 0.05),
    ("drop", 0.07),
    ("replace", 0.04),
    ("factor", 0.05),
    ("borrow", 0.03),
    ("limit", 0.03),
)
"""Mutations and their rates."""


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
    """

    def __init__(
        self,
        settings: VariationSettings,
        keys: Sequence[Key],
        x_range: tuple[float, float] = (0.8, 2.5),
    ) -> None:
        self.settings = settings
        self.x_range = x_range
        self.keys = tuple(keys)
        self.pset = primitive_set()
        self._ephemeral = next(
            t for t in self.pset.terminals[Constant] if isinstance(t, gp.MetaEphemeral)
        )
        self._exponents: dict[Any, dict[int, Any]] = {
            kind: {t.value: t for t in self.pset.terminals[kind]} for kind in (Integer, Degree)
        }
        names = [name for of_kind in _VARIABLES.values() for name in of_kind]
        self._variables = {name: self.pset.mapping[name] for name in names}
        self._leaves = {name: LEAVES[name.partition("_")[0]] for name in names}
        self._leaves |= {"one" + suffix: ONE for suffix in _SUFFIX.values()}

    def random(self, count: int, rng: np.random.Generator) -> list[tuple[Gene, ...]]:
        """Random individuals of one to three terms; with triplets, of one or two of each kind."""
        random.seed(int(rng.integers(2**63)))
        found: list[tuple[Gene, ...]] = []
        mixed = {kind for kind, _ in self.keys} != {"pair"}
        while len(found) < count:
            if mixed:
                every = range(len(self.keys))
                keys = [key for key in every for _ in range(random.choice((1, 1, 2)))]
            else:
                keys = [
                    random.randrange(len(self.keys)) for _ in range(random.choice((1, 2, 2, 3)))
                ]
            genes = self._tidy([self._random_gene(key) for key in keys])
            if genes:
                found.append(genes)
        return found

    def vary(
        self, parents: Sequence[Individual], rng: np.random.Generator
    ) -> list[tuple[tuple[Gene, ...], int]]:
        """Offspring of each two parents in turn, with its birth; some parents have none."""
        random.seed(int(rng.integers(2**63)))
        offspring = []
        for one, two in zip(parents[::2], parents[1::2], strict=True):
            if random.random() < self.settings.crossover_rate:
                genes, born = self._crossover(one.genes, two.genes), min(one.born, two.born)
            else:
                genes, born = self._mutate(one.genes), one.born
            tidy = self._tidy(genes)
            if tidy:
                offspring.append((tidy, born))
        return offspring

    def _tidy(self, genes: Sequence[Gene]) -> tuple[Gene, ...]:
        """Canonical order without duplicates; empty when a limit is broken."""
        split = {Gene(g.key, self._typed(g, u)) for g in genes for u in terms_of(g.tree)}
        if not split or len(split) > self.settings.max_terms * len(self.keys):
            return ()
        if sum(cost(g.tree) + WEIGHT_COST for g in split) > self.settings.max_complexity:
            return ()
        if sum(n_constants(g.tree) for g in split) > self.settings.max_constants:
            return ()
        if not all(is_sane(g.tree) for g in split):
            return ()
        # No node costs less than 1. Compiled code has room for so many and does not check.
        if any(cost(g.tree) > MAX_NODES for g in split):
            return ()
        return tuple(sorted(split, key=repr))

    def _typed(self, gene: Gene, tree: Nested) -> Nested:
        """A three-body function that is 1 as a product: a number alone would count as radial."""
        return ("product", ONE, ONE) if tree == ONE and self.keys[gene.key][0] != "pair" else tree

    def _random_gene(self, key: int) -> Gene:
        kind = self._root(key)
        depth = random.choice((1, 2, 2, 3))
        return Gene(key, self._canonical(self._grow(kind, depth + (kind is Separable))))

    def _root(self, key: int) -> type:
        """Type of a new tree."""
        if self.keys[key][0] == "pair":
            return Radial
        return Triplet if self.settings.general and random.random() < 0.5 else Separable

    def _grow(self, kind: type, depth: int) -> list[Any]:
        """Random subtree of a type; DEAP's generators need primitives of every type."""
        if kind in _SUFFIX and depth > 1 and random.random() < CHAINS:
            return self._chain(kind)
        primitives, terminals = self.pset.primitives[kind], self.pset.terminals[kind]
        if terminals and (depth <= 0 or not primitives or random.random() < 0.15):
            terminal = random.choice(terminals)
            if kind in _VARIABLES and random.random() < 0.5:
                terminal = self._variables[random.choice(_VARIABLES[kind])]
            return [terminal() if isinstance(terminal, gp.MetaEphemeral) else terminal]
        primitive = random.choice(primitives)
        nodes = [primitive]
        for argument in primitive.args:
            nodes += self._grow(argument, depth - 1)
        return nodes

    def _chain(self, kind: type) -> list[Any]:
        """Random composition of functions of one variable, with shifts and scales in between.

        Most radial and angular functions of the literature are such; growing node by node rarely
        makes one of several links.
        """
        mapping, suffix = self.pset.mapping, _SUFFIX[kind]
        nodes: list[Any] = [self._variables[random.choice(_VARIABLES[kind])]]
        links = ("power", "power", "exp", *(("log", "sqrt") if kind is Radial else ()))
        for _ in range(random.choice((1, 1, 2, 2, 3))):
            link = random.choice(links)
            if link == "exp":
                scale = self._constant(_random_constant())
                nodes = [mapping["exp" + suffix], mapping["mul" + suffix], scale, *nodes]
                continue
            exponent = self._random_exponent(mapping["powi" + suffix].args[0])
            if random.random() < 0.5:
                singular = link != "power" or exponent.value < 0
                shift = self._random_shift(kind, singular and len(nodes) == 1)
                nodes = [mapping["add" + suffix], shift, *nodes]
            if link == "power":
                nodes = [mapping["powi" + suffix], exponent, *nodes]
            else:
                nodes = [mapping[link], *nodes]
        return nodes

    def _random_shift(self, kind: type, singular: bool) -> Any:
        """A constant to add to a variable, which puts no singularity into its range.

        Elsewhere fitting could not move it: a candidate with a pole is not valid. Compare interval
        arithmetic in M. Keijzer, EuroGP 2003, LNCS 2610, 70.
        """
        low, high = (-1.0, 1.0) if kind is Angular else self.x_range
        width = high - low
        if not singular:
            return self._constant(-random.uniform(low - 0.5 * width, high + 0.5 * width))
        gap = width * math.exp(random.gauss(-1.0, 1.0))
        return self._constant(gap - low if random.random() < 0.5 else -high - gap)

    def _random_exponent(self, kind: type) -> Any:
        """An integer exponent, small ones more often."""
        known = self.pset.terminals[kind]
        (exponent,) = random.choices(known, [1.0 / abs(e.value) for e in known])
        return exponent

    def _expression(self, pset: gp.PrimitiveSetTyped, type_: type) -> list[Any]:  # noqa: ARG002
        if type_ in _SUFFIX and random.random() < CHAINS:
            return self._chain(type_)
        return self._grow(type_, random.choice((0, 1, 1, 2)))

    def _mutate(self, genes: Sequence[Gene]) -> list[Gene]:
        names, rates = zip(*MUTATIONS, strict=True)
        name = random.choices(names, rates)[0]
        changed = list(genes)
        if name == "add":
            return [*changed, self._random_gene(random.randrange(len(self.keys)))]
        place = random.randrange(len(changed))
        key = changed[place].key
        separable = [k for k, gene in enumerate(changed) if gene.tree[0] == "product"]
        pairs = [k for k, gene in enumerate(changed) if self.keys[gene.key][0] == "pair"]
        if name == "factor" and separable:
            self._replace_factor(changed, random.choice(separable))
        elif name == "borrow" and separable and pairs:
            self._borrow(changed, random.choice(separable), random.choice(pairs))
        elif name == "drop" and len(changed) > 1:
            del changed[place]
        elif name == "limit":
            changed[place] = Gene(key, _limit(changed[place].tree))
        elif name in ("drop", "replace", "factor", "borrow"):
            changed[place] = self._random_gene(key)
        elif name == "duplicate":
            other = random.choice(("point", "subtree", "constant", "exponent"))
            changed.append(self._mutate_gene(other, changed[place]))
        else:
            changed[place] = self._mutate_gene(name, changed[place])
        return changed

    def _replace_factor(self, genes: list[Gene], place: int) -> None:
        """Give a separable term another radial or another angular factor."""
        key, (product, radial, angular) = genes[place]
        if random.random() < 0.5:
            radial = self._canonical(self._expression(self.pset, Radial))
        else:
            angular = self._canonical(self._expression(self.pset, Angular))
        genes[place] = Gene(key, (product, radial, angular))

    def _borrow(self, genes: list[Gene], triplet: int, pair: int) -> None:
        """Let a pair term and a radial factor share a function: the same lengths govern both."""
        key, (product, radial, angular) = genes[triplet]
        chance = random.random()
        if chance < 1 / 3:
            genes.append(Gene(genes[pair].key, radial))
        elif chance < 2 / 3:
            genes[pair] = Gene(genes[pair].key, build("mul", genes[pair].tree, radial))
        else:
            genes[triplet] = Gene(key, (product, genes[pair].tree, angular))

    def _mutate_gene(self, name: str, gene: Gene) -> Gene:
        tree = self._mutate_tree(name, self._deap(gene.tree))
        return Gene(gene.key, self._canonical(tree))

    def _mutate_tree(self, name: str, tree: gp.PrimitiveTree) -> gp.PrimitiveTree:
        if name == "point":
            (tree,) = gp.mutNodeReplacement(tree, self.pset)
        elif name == "subtree":
            (tree,) = gp.mutUniform(tree, self._expression, self.pset)
        elif name == "insert":
            (tree,) = gp.mutInsert(tree, self.pset)
        elif name == "shrink":
            (tree,) = gp.mutShrink(tree)
        elif name == "constant":
            places = [k for k, node in enumerate(tree) if node.ret is Constant]
            spread = random.choice((0.01, 0.5))  # to go on with a fit, or to begin elsewhere
            for k in places:
                factor = math.exp(random.gauss(0.0, spread))
                list.__setitem__(tree, k, self._constant(tree[k].value * factor))
        elif name == "shift":
            self._shift(tree)
        else:
            self._mutate_exponent(tree)
        return tree

    def _shift(self, tree: gp.PrimitiveTree) -> None:
        """Move the origin of one variable."""
        place = self._random_variable(tree)
        if place is not None:
            variable = tree[place]
            plus = self.pset.mapping["add" + _SUFFIX[variable.ret]]
            shift = self._random_shift(variable.ret, random.random() < 0.5)
            tree[place : place + 1] = [plus, shift, variable]

    def _random_variable(self, tree: gp.PrimitiveTree) -> int | None:
        """Where one of the variables stands, if there is any."""
        places = [k for k, node in enumerate(tree) if node in self._variables.values()]
        return random.choice(places) if places else None

    def _mutate_exponent(self, tree: gp.PrimitiveTree) -> None:
        """Shift an integer exponent, or give x one."""
        places = [k for k, node in enumerate(tree) if node.ret in self._exponents]
        if places:
            place = random.choice(places)
            known = self._exponents[tree[place].ret]
            shifted = tree[place].value + random.choice((-3, -2, -1, 1, 2, 3))
            list.__setitem__(tree, place, known.get(shifted, tree[place]))
            return
        chosen = self._random_variable(tree)
        if chosen is not None:
            variable = tree[chosen]
            power = self.pset.mapping["powi" + _SUFFIX[variable.ret]]
            exponent = self._random_exponent(power.args[0])
            tree[chosen : chosen + 1] = [power, exponent, variable]

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
            tree, _ = gp.cxOnePoint(self._deap(one[a].tree), self._deap(other.tree))
            changed[a] = Gene(one[a].key, self._canonical(tree))
        return changed

    def _constant(self, value: float) -> Any:
        node = object.__new__(self._ephemeral)
        node.value = value
        return node

    def _deap(self, tree: Nested) -> gp.PrimitiveTree:
        """DEAP's tree of a nested form."""
        nodes: list[Any] = []
        mapping = self.pset.mapping

        def visit(u: Nested, kind: type) -> None:
            op, suffix = u[0], _SUFFIX.get(kind, "")
            if op in LEAVES:
                nodes.append(mapping[op if op != "c" else "c" + suffix.replace("_c", "")])
            elif op == "const" or (op == "int" and (u != ONE or kind is Constant)):
                nodes.append(self._constant(float(u[1])))
            elif op == "int":
                nodes.append(mapping["one" + suffix])
            elif op == "powi":
                power = mapping["powi" + suffix]
                exponent = power.args[0]
                known = self._exponents[exponent].get(u[1])
                nodes.extend((power, known or gp.Terminal(u[1], False, exponent)))
                visit(u[2], kind)
            else:
                nodes.append(mapping[op + suffix])
                for operand, needed in zip(u[1:], nodes[-1].args, strict=True):
                    visit(operand, needed)

        visit(tree, root_of(tree))
        return gp.PrimitiveTree(nodes)

    def _canonical(self, tree: Sequence[Any]) -> Nested:
        """Nested form of DEAP's tree."""
        stack: list[Any] = []
        for node in reversed(tree):
            if node.arity:
                operands = (stack.pop() for _ in range(node.arity))
                stack.append(build(node.name.partition("_")[0], *operands))
            elif node.ret is Constant:
                stack.append(("const", node.value))
            elif node.ret in self._exponents:
                stack.append(node.value)
            else:
                stack.append(self._leaves[node.value])
        nested: Nested = stack.pop()
        return nested


STEEP = 5
"""Powers of sums at least this high may stand for exponentials."""


def _limit(tree: Nested) -> Nested:
    """Put exp(n u / a) in place of a high power (a + u)^n, of which it is the limit.

    Fits reach such powers first, for they are cheaper and an exponential is hardly told from them.
    """
    if not any(isinstance(u, tuple) for u in tree[1:]):
        return tree
    operands = [_limit(u) if isinstance(u, tuple) else u for u in tree[1:]]
    if tree[0] == "powi" and abs(tree[1]) >= STEEP and operands[1][0] == "add":
        shift, rest = operands[1][1:]
        if shift[0] == "const" and shift[1] != 0:
            return build("exp", build("mul", ("const", tree[1] / shift[1]), rest))
    return build(tree[0], *operands)


def root_of(tree: Nested) -> type:
    """Type of a whole tree; a number alone counts as radial."""
    if tree[0] == "product":
        return Separable
    stack = [tree]
    while stack:
        node = stack.pop()
        if node[0] in LEAVES:
            return Radial if node == X else Triplet
        stack += [operand for operand in node[1:] if isinstance(operand, tuple)]
    return Radial


def is_sane(tree: Nested) -> bool:
    """Whether constants are of sensible size and exponents within bounds."""
    if tree[0] == "const":
        return bool(abs(tree[1]) <= LARGEST_CONSTANT)
    if tree[0] == "pow" and tree[2][0] == "const":
        return LOWEST_EXPONENT <= tree[2][1] <= HIGHEST_EXPONENT and is_sane(tree[1])
    if tree[0] == "powi":
        within = LOWEST_EXPONENT <= tree[1] <= HIGHEST_EXPONENT
        return within and tree[2][0] != "powi" and is_sane(tree[2])
    return all(is_sane(u) for u in tree[1:] if isinstance(u, tuple))
