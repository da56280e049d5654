"""Seeds spoiled on purpose: bytes, lines, numbers and JSON values changed at random."""

from __future__ import annotations

import copy
import json
import random
import re
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


CHOICES = (
    *('"none"', '"septic"', '"cosine"', '"poet"', '"stillinger_weber"', '"separable"'),
    *('"general"', '"isolated"', '"fit"', '"block"', '"random"', '"exhaustive"', '"forces"', '"."'),
)
LISTS = ("[]", '["Ar"]', '["all"]', '["data.extxyz"]', '["*"]', "{ all = 2.0 }", "{ Ar = 0.1 }")
ADDED = (
    *(("[terms]", line) for line in ("r_cut_three_body = 5.0", 'three_body = "general"')),
    *(("[terms]", line) for line in ("r_on = 4.0", "max_constants = 3", "max_sums = 1")),
    *(("[terms]", line) for line in ("many_body = true", "e0 = { Ar = -0.1 }", "r0 = 3.3")),
    *(("[search]", line) for line in ("minutes = 0.01", "target = 0.5", "stagnation = 2")),
    *(("[search]", line) for line in ('mode = "exhaustive"', "exhaustive_complexity = 8")),
    *(("[data]", "leave_out = []"), ("[data.weights]", "all = 0.0"), ("[loss]", "")),
)
"""Lines for tables of a run file."""
FORMULAS = (
    "4*eps*((sigma/r)^12 - (sigma/r)^6)",
    "A*exp(-1.7*r) - C/r^6",
    "D*(exp(-2.0*a*(r - 3.8)) - 2*exp(-a*(r - 3.8)))",
    "Ar: A*sqrt(sum(exp(-2.5*x)))",
    "-1.0*r^-6",
)
HAND = (
    {"Ar-Ar": "0.01*((3.4/r)^12 - (3.4/r)^6)"},
    {"Cu-Cu": "0.35*(exp(-2.8*(r - 2.9)) - 2*exp(-1.4*(r - 2.9)))", "Cu": "-1.3*sqrt(sum(r^-6))"},
    {"Hf-O": "300.0*exp(-3.0*r)", "O;Hf-Hf": "0.1*exp(-r1)*exp(-r2)*(c + 0.3)^2"},
    {"Si-Si": "2.0*r^-9", "Si;Si-Si": "1.5*exp(-1.1*r1)*exp(-1.1*r2)*(c + 0.333)^2"},
)
KEYS = (
    *(
        "Cu",
        "Cu-Cu",
        "O-Hf",
        "Hf;O-O",
        "Hf-O-Hf",
        "Hf-",
        "-",
        ";",
        "",
        "Xx-Xx",
        "cu-cu",
        "Cu-Cu-Cu",
    ),
    *("Cu - Cu", "Cu-Cu\n", "é-é", "Cu;Cu", "Cu;Cu-Cu-Cu", "pairs Cu-Cu", "triplets Cu-Cu-Cu", "*"),
)
"""Keys and formulas by hand, and keys that may be wrong."""
NAMES = ("with space", "it's", 'say "hi"', "$(touch x)", "é and Å", "a;b", "-v", "#1", "new\nline")
TEXTS = (
    *("Doe, J. Phys. 1 (2026)", "two\nlines", "x\nshell touch x", "# x", '"""', "*/ int x;"),
    *("$(touch x)", "`touch x`", "é", "\0", "${HOME}", "", "x" * 9000, "\rshell touch x", "%s"),
)
"""Of folders, and texts of a history."""


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
        if action < 0.05:
            name = mutated_name(name, rng)
        old = lines[place].partition(" = ")[2]
        new = likely(old, rng) if action < 0.7 else rng.choice(values)
        lines[place] = f"{name} = {new if action < 0.85 else strange}"
    if rng.random() < 0.3:
        table, more = rng.choice(ADDED)
        lines.insert(lines.index(table) + 1 if table in lines else 0, more)
    return "\n".join(lines).encode()


def likely(old: str, rng: random.Random) -> str:
    """Another value of the same kind as one of a run file, which may even be right."""
    if old in ("true", "false"):
        return "false" if old == "true" else "true"
    if old.isdecimal():
        return str(rng.choice((0, 1, 2, 3, 4, 7, 20, 61, 1000)))
    if old.replace(".", "", 1).isdecimal():
        return repr(float(old) * rng.choice((0.0, 0.01, 0.5, 0.9, 1.1, 2.0, 10.0, 1e4)))
    return rng.choice(CHOICES if old.startswith('"') else LISTS)


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
            parent[key] = copy.deepcopy(rng.choice(VALUES))
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


def formula_changed(text: str, rng: random.Random) -> str:
    """A formula that still reads as one: another number, another function, or one around it."""
    action = rng.random()
    if action < 0.5 and (numbers := list(re.finditer(r"\d+(\.\d+)?", text))):
        found = rng.choice(numbers)
        number = rng.choice(("0", "0.0", "1", "3", "0.5", "12", "40.0", "1e3", "1e-9"))
        return text[: found.start()] + number + text[found.end() :]
    if action < 0.75:
        one, other = rng.sample(("exp", "log", "sqrt", "tanh"), 2)
        return text.replace(f"{one}(", f"{other}(")
    return rng.choice(("0.5*tanh({})", "-({})", "({})^2", "({}) + 1.5", "({})/3.0")).format(text)


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
