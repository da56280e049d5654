"""Sums and terms: what formulas are made of, with one text form and one parser.

A sum is over the neighbours of an atom, or over every two of them; a term is one sum that stands
alone, or a function F of several sums of one atom.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ase.data import chemical_symbols

from symreg.language.text import Nested
from symreg.language.tree import Tree, mapped, operands, parse
from symreg.terms.kinds import FUNCTION, PAIRS, TRIPLETS, Kind, kind_of, summed

ELEMENTS = frozenset(chemical_symbols[1:])
"""Chemical symbols: no other text is a species, since species go into scripts and C++."""
_BY_COUNT = {1: FUNCTION, 2: PAIRS, 3: TRIPLETS}
"""Kind of a key whose text does not say it, by the number of its species."""


class Key(NamedTuple):
    """Where a term belongs: what it is over, between which species."""

    over: str
    """The kind of its sum, or ``FUNCTION``."""
    species: tuple[str, ...]
    """Chemical symbols: of a pair in order of the alphabet; of triplets the centre, then its
    neighbours in that order; of a function of sums the centre."""

    @staticmethod
    def of(*species: str) -> Key:
        """The key of one species for a function, of two for a pair, of three for triplets.

        >>> str(Key.of("O", "Hf")), Key.of("O", "Si", "Hf").species
        ('Hf-O', ('O', 'Hf', 'Si'))
        """
        if len(species) not in _BY_COUNT:
            raise ValueError(f"a term is of one to three species, not {len(species)}")
        return Key(_BY_COUNT[len(species)], species).ordered()

    @staticmethod
    def read(text: str) -> Key:
        """The key of ``Hf-O``, ``O;Hf-Hf``, ``O-Hf-Hf`` or ``Cu``; ``ValueError`` if it is none."""
        over, _, rest = text.strip().rpartition(" ")
        species = re.split("[-;]", rest)
        whole = ";" not in rest or re.fullmatch("[^-;]+;[^-;]+-[^-;]+", rest)
        if not (whole and all(re.fullmatch("[A-Z][a-z]?", symbol) for symbol in species)):
            raise ValueError(f"'{text}' names no species: write Hf-O, O;Hf-Hf or Cu")
        check_elements(species)
        if not over:
            return Key.of(*species)
        _check_species(kind_of(over), tuple(species))
        return Key(over, tuple(species)).ordered()

    def ordered(self) -> Key:
        """The key with neighbours, and pairs that stand alone, in order of the alphabet."""
        first = 1 if self.is_function or kind_of(self.over).directed else 0
        return Key(self.over, (*self.species[:first], *sorted(self.species[first:])))

    @property
    def is_function(self) -> bool:
        """Whether terms of this key are functions of sums."""
        return self.over == FUNCTION

    @property
    def is_pair(self) -> bool:
        """Whether terms of this key are of the distance of two atoms: they carry the wall."""
        return self.over == PAIRS

    @property
    def is_triplet(self) -> bool:
        """Whether terms of this key are of two distances and the angle between them."""
        return self.over == TRIPLETS

    @property
    def is_unlike(self) -> bool:
        """Whether it is of neighbours of several kinds, which are then told apart."""
        return len(set(self.species[1:])) > 1

    @property
    def centre(self) -> str:
        """The first species: of a pair either could be it."""
        return self.species[0]

    def __str__(self) -> str:
        centre, *near = self.species
        apart = len(near) > 1 and set(near) != {centre}  # then one has to know which it is
        text = f"{centre};{'-'.join(near)}" if apart else "-".join(self.species)
        return text if _BY_COUNT.get(len(self.species)) == self.over else f"{self.over} {text}"

    def parse(
        self, text: str, values: Mapping[str, float] | None = None, *, partial: bool = False
    ) -> Tree:
        """Read a formula of a term of this key, as ``symreg.language.parse`` does.

        A ``partial`` one may have no sum where others of the key need one.
        """
        if not self.is_function:
            kind = kind_of(self.over)
            return parse(text, values, kind.variables, unlike=self.is_unlike)
        tree = parse(text, values, (), _head)
        wrong = ""
        if not partial and not list(sums_in(tree.root)):
            wrong = "a many-body formula holds a sum over neighbours"
        elif stray := [name for name in tree.names if re.fullmatch(r"s\d+", name)]:
            wrong = f"{stray[0]} is the name of a sum and no constant; write the sum itself"
        if wrong:
            raise ValueError(f"formula cannot be read: {wrong}, such as sum(x^-6): {text}")
        return tree


def _head(name: str, variables: set[str]) -> Nested:
    """Head of a sum, from its name in a text, as in ``sum`` or ``sum_O``."""
    function, *species = name.split("_")
    kind = summed(function, variables)
    if species and len(species) != kind.neighbours:
        raise ValueError(f"{name} names {len(species)} neighbours; it has {kind.neighbours}")
    return (kind.over, kind.name, *sorted(species))


def sums_in(root: Nested) -> Iterator[Nested]:
    """The sums of a function of sums, ``("sum", head, u)``, as they appear."""
    if root[0] == "sum":
        yield root
        return
    for operand in operands(root):
        yield from sums_in(operand)


def check_elements(species: Iterable[Any]) -> None:
    """Raise ``ValueError`` for a species that is no chemical element."""
    for symbol in species:
        if symbol not in ELEMENTS:
            raise ValueError(f"species {str(symbol)!r} is no chemical element, such as Cu")


def _check_species(kind: Kind, species: Sequence[str]) -> None:
    if len(species) != kind.neighbours + 1:
        wanted = f"a sum over {kind.over} is between {kind.neighbours + 1} species"
        raise ValueError(f"{wanted}, not {len(species)}: {'-'.join(species)}")


@dataclass(frozen=True)
class Sum:
    """A sum around an atom: over which neighbours, and a function of where they are.

    A ``ValueError`` refuses unknown kinds, and species and variables that are not the kind's.
    """

    over: str
    """``pairs``, ``triplets`` or another kind that is registered."""
    species: tuple[str, ...]
    """The centre, then the neighbours; of a pair sum that stands alone in order of the alphabet."""
    tree: Tree
    """The function, of x or of x1, x2 and c."""

    def __post_init__(self) -> None:
        kind = kind_of(self.over)
        object.__setattr__(self, "species", tuple(self.species))
        check_elements(self.species)
        _check_species(kind, self.species)
        if others := self.tree.variables - set(kind.variables):
            raise ValueError(
                f"a sum over {kind.over} is of a function of {', '.join(kind.variables)}, not of "
                f"{', '.join(sorted(others))}: {self.tree}"
            )
        if self.tree.root[0] == "unlike" and len(set(self.species[1:])) < 2:
            raise ValueError(
                f"neighbours of one kind have one radial factor; {'-'.join(self.species)} has two: "
                f"{self.tree}"
            )


@dataclass(frozen=True)
class Term:
    """One additive contribution to the energy of an atom: a sum, or a function F of sums.

    A ``ValueError`` refuses sums and functions that do not belong together.

    Examples
    --------
    >>> term = Term.read("Cu: 2.5*sqrt(sum(x^-6))")
    >>> str(term.of), [str(one.tree) for one in term.sums]
    ('2.5*sqrt(s1)', ['x^-6'])
    >>> Term.read(str(term)) == term
    True
    """

    sums: tuple[Sum, ...]
    """In order of their first place in the function; those of one function have one centre."""
    of: Tree | None = None
    """F in s1, s2, ...; None for one sum that stands alone: then it enters linearly."""

    def __post_init__(self) -> None:
        if not self.sums:
            raise ValueError("a term needs a sum: a function of none is a constant energy")
        if self.of is None:
            if len(self.sums) > 1:
                raise ValueError("several sums stand in a function; give it as `of`")
            ordered, species = self.key.ordered(), self.sums[0].species
            if species != ordered.species:
                raise ValueError(f"species {'-'.join(species)} are not in order: write {ordered}")
            return
        if len({one.species[0] for one in self.sums}) > 1:
            centres = ", ".join(one.species[0] for one in self.sums)
            raise ValueError(f"the sums of one function have one centre, not {centres}")
        names = {f"s{n}" for n in range(1, len(self.sums) + 1)}
        if others := self.of.variables - names:
            exist = "one sum exists" if len(names) == 1 else f"{len(names)} sums exist"
            held, there = (", ".join(sorted(each)) for each in (others, names))
            raise ValueError(f"a function holds {held}, where {exist}: {there}")
        if missing := names - self.of.variables:
            raise ValueError(f"the function {self.of} leaves out {', '.join(sorted(missing))}")
        places = [node[0] for node in self.of.shape.nodes() if node[0] in names]
        if list(dict.fromkeys(places)) != [f"s{n}" for n in range(1, len(names) + 1)]:
            raise ValueError(f"sums are numbered as they appear: {self.of} begins with {places[0]}")
        plain = [one for one in self.sums if not one.tree.constants]
        if len(set(plain)) < len(plain):
            raise ValueError(f"a sum without constants is given twice: {self.of}")
        for one in self.sums:
            if (near := list(one.species[1:])) != sorted(near):
                raise ValueError(f"neighbours {'-'.join(near)} are not in order of the alphabet")

    @staticmethod
    def at(key: Key, tree: Tree) -> Term:
        """The term of a key whose function is a tree, for a function of sums with these in it."""
        if not key.is_function:
            return Term((Sum(key.over, key.species, tree),))
        found: dict[Nested, Sum] = {}

        def split(node: Nested) -> Nested:
            if node[0] == "sum":
                over, _, *species = node[1]
                near = species or [key.centre] * kind_of(over).neighbours
                if node not in found:  # sums of other constants are others, whatever their values
                    found[node] = Sum(over, (key.centre, *near), tree.part(node[2]))
                return (f"s{list(found).index(node) + 1}",)
            return mapped(node, split)

        outer = tree.part(split(tree.root))
        return Term(tuple(found.values()), outer)

    @staticmethod
    def read(text: str, values: Mapping[str, float] | None = None) -> Term:
        """Read a term such as ``Hf-O: x^-6``, ``Si-Si-Si: x1^-2*x2^-2*c`` or ``Cu: sqrt(sum(x))``.

        Inside a function of sums ``sum_O(...)`` is over neighbours of that species, ``sum(...)``
        over those of the centre's. ``values`` are those of named constants, 1.0 where none is
        given. A ``ValueError`` says why a text is no term.
        """
        name, colon, formula = text.partition(":")
        if not colon:
            raise ValueError(f"'{text}' names no species: write Cu-Cu: {text}")
        key = Key.read(name)
        term = Term.at(key, key.parse(formula.strip(), values))
        if not term.is_finite:
            raise ValueError(f"constants must be finite numbers: {text} with {dict(values or {})}")
        return term

    @property
    def key(self) -> Key:
        """Where it belongs."""
        if self.of is None:
            return Key(self.sums[0].over, self.sums[0].species)
        return Key(FUNCTION, self.sums[0].species[:1])

    @cached_property
    def tree(self) -> Tree:
        """The whole function as one tree, with its sums in it."""
        if self.of is None:
            return self.sums[0].tree
        constants: list[float] = []
        names: list[str] = []

        def joined(part: Tree) -> Nested:
            """A part with its constants among all others; those of one name are one."""
            places = []
            for value, name in zip(part.constants, part.names, strict=True):
                if name and name in names:
                    places.append(names.index(name))
                else:
                    places.append(len(names))
                    constants.append(value)
                    names.append(name)

            def visit(node: Nested) -> Nested:
                return ("const", places[node[1]]) if node[0] == "const" else mapped(node, visit)

            return visit(part.root)

        def nested(one: Sum) -> Nested:
            centre, *near = one.species
            head = (one.over, kind_of(one.over).name, *(near if set(near) != {centre} else ()))
            return "sum", head, joined(one.tree)

        sums = {f"s{n}": nested(one) for n, one in enumerate(self.sums, 1)}

        def filled(node: Nested) -> Nested:
            return sums[node[0]] if node[0] in sums else mapped(node, filled)

        return Tree.of(filled(joined(self.of)), constants, names)

    def with_constants(self, constants: Sequence[float]) -> Term:
        """The term with other constants, as many, in the order of ``tree``; or a ``ValueError``."""
        return Term.at(self.key, self.tree.with_constants(constants))

    @property
    def constants(self) -> tuple[float, ...]:
        """Constants in the functions, in the order of ``tree``."""
        return self.tree.constants

    @property
    def complexity(self) -> int:
        """Costs of all nodes; the weight of the term is not among them."""
        return self.tree.complexity

    @property
    def is_finite(self) -> bool:
        """Whether all constants are numbers."""
        return all(map(math.isfinite, self.constants))

    def __str__(self) -> str:
        return f"{self.key}: {self.tree}"
