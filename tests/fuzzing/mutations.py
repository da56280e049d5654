"""Seeds spoiled on purpose: bytes, lines, numbers and JSON values changed at random."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

NUMBERS = (
    *("0", "-0", "-1", "1e308", "-1e308", "1e-320", "1e400", "nan", "inf", "-inf", "0.1"),
    *("9" * 30, "1e6", "-3.8", "2147483648", "18446744073709551616", "1.0D+02", "0x1F", "1_0"),
)
WORDS = (
    *("", " ", '"', "'", "=", "\n", "\0", "é", "\ufeff", "$(touch x)", "`touch x`", "; touch x"),
    *("../x", "/", "%s", "{}", "<script>", "*/", "//", "T", "F", "true", "null", "[", "]", "{"),
    *("Properties=", "Lattice=", "pbc=", "energy=", "forces:R:3", "Xx", "H", "Cu\nCu", "#", "@"),
)
PARTS = (
    *("r", "x", "s1", "c", "(", ")", "+", "-", "*", "/", "^", "exp(", "log(", "sqrt(", "sum("),
    *("9^9^9", "^-0.5", "/0", "1e999", ",", ";", ":", "=", "()", "^^", "((((((((", "\n", "é"),
)
"""Of formulas."""
VALUES = (
    *(None, True, False, 0, -1, 1, 2**63, 10**400, 1e308, -1e308, 0.5, float("nan")),
    *(float("inf"), "", "x", "../x", "$(touch x)", "Cu", "1", [], {}, [[]], [1], {"a": 1}),
)


def spoiled(seed: bytes, rng: random.Random, words: Sequence[str] = WORDS) -> bytes:
    """Change up to four places of a text or of a binary file."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((1, 1, 4, 20, 200)))
        new = rng.choice(
            (
                b"",
                bytes(data[start:end]) * 2,
                bytes([rng.randrange(256)]),
                rng.choice(words).encode(),
                b" " + rng.choice(NUMBERS).encode() + b" ",
            )
        )
        data[start:end] = new
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


def number_replaced(seed: bytes, rng: random.Random) -> bytes:
    """Replace one word of a text that is a number."""
    parts = seed.split(b" ")
    places = [k for k, part in enumerate(parts) if part[:1] in b"-0123456789" and part]
    if places:
        parts[rng.choice(places)] = rng.choice(NUMBERS).encode()
    return b" ".join(parts)


def toml_spoiled(seed: bytes, rng: random.Random) -> bytes:
    """Give one or two keys of a run file another value: one of another key, or a strange one."""
    lines = seed.decode().splitlines()
    places = [k for k, line in enumerate(lines) if " = " in line]
    values = [lines[k].partition(" = ")[2] for k in places]
    for place in rng.sample(places, rng.randint(1, 2)):
        name = lines[place].partition(" = ")[0]
        strange = rng.choice((*NUMBERS, '""', '"x"', "[]", "{}", "true", "false", '["x"]', "[1]"))
        action = rng.random()
        if action < 0.1:
            name = mutated_name(name, rng)
        lines[place] = f"{name} = {rng.choice(values) if action < 0.3 else strange}"
    return "\n".join(lines).encode()


def mutated_name(name: str, rng: random.Random) -> str:
    """A key with one letter left out or doubled."""
    k = rng.randrange(len(name))
    return name[:k] + (name[k] * 2 if rng.random() < 0.5 else "") + name[k + 1 :]


def json_spoiled(seed: bytes, rng: random.Random) -> bytes:
    """Change, remove, add or swap values anywhere in a JSON file."""
    root = copy.deepcopy(json.loads(seed))
    for _ in range(rng.randint(1, 3)):
        places = list(_places(root))
        if not places:
            break
        parent, key = rng.choice(places)
        action = rng.random()
        if action < 0.6:
            parent[key] = rng.choice(VALUES)
        elif action < 0.8:
            del parent[key]
        else:
            other, name = rng.choice(places)
            parent[key] = copy.deepcopy(other[name])
    return json.dumps(root).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) below a value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys] if isinstance(value, (dict, list)) else []
    inner = [value[key] for _, key in found]
    return found + [place for v in inner if isinstance(v, (dict, list)) for place in _places(v)]


def formula(rng: random.Random, names: Sequence[str], depth: int = 4) -> str:
    """A formula that may make no sense."""
    if depth == 0 or rng.random() < 0.2:
        return rng.choice((*names, *NUMBERS[:11], "c1", "2", "3", "1.5", "9^9^9"))
    kind = rng.random()
    one = formula(rng, names, depth - 1)
    if kind < 0.6:
        return f"({one}{rng.choice('+-*/^')}{formula(rng, names, depth - 1)})"
    if kind < 0.8:
        return f"{rng.choice(('exp', 'log', 'sqrt', 'inv', 'abs', 'tanh', 'sin'))}({one})"
    return rng.choice((f"-{one}", one + one, f"({one}", f"{one})", f"{one},{one}", f"{one};x"))
