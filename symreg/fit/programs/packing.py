"""Candidates as flat arrays, as compiled code reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symreg.fit.programs.batch import Batch
from symreg.fit.programs.evaluation import MAX_CONSTANTS, MAX_NODES
from symreg.language import Tree
from symreg.language.operators import PRIMITIVES
from symreg.terms import Term

Key = tuple[str, tuple[str, ...]]


def tree_arrays(tree: Tree) -> tuple[list[int], list[int]]:
    """Operator and argument of each node, as compiled code reads them.

    Raises
    ------
    ValueError
        If the tree is larger than compiled code has room for.
    """
    if len(tree.nodes) > MAX_NODES or len(tree.constants) > MAX_CONSTANTS:
        raise ValueError(
            f"a formula has {len(tree.nodes)} operators and {len(tree.constants)} constants; "
            f"at most {MAX_NODES} and {MAX_CONSTANTS} are possible"
        )
    return [PRIMITIVES[node.op].code for node in tree.nodes], [node.arg for node in tree.nodes]


def pack(candidates: Sequence[Sequence[Term]], keys: Sequence[Key]) -> Batch:
    """Flat arrays of many candidates; ``keys`` are the blocks of the projected design."""
    code: list[int] = []
    arg: list[int] = []
    constants: list[float] = []
    node_start, constant_start, term_start = [0], [0], [0]
    block: list[int] = []
    index = {key: b for b, key in enumerate(keys)}
    for terms in candidates:
        for term in terms:
            codes, args = tree_arrays(term.tree)
            code += codes
            arg += args
            constants += term.tree.constants
            node_start.append(len(code))
            constant_start.append(len(constants))
            block.append(index[term.kind, term.species])
        term_start.append(len(block))
    starts = (np.array(s, dtype=np.int64) for s in (node_start, constant_start, block, term_start))
    nodes, firsts, blocks, terms_at = starts
    return Batch(
        np.array(code, dtype=np.int64),
        np.array(arg, dtype=np.int64),
        nodes,
        np.array(constants, dtype=float),
        firsts,
        blocks,
        terms_at,
    )
