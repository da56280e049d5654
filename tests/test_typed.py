import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import numpy as np
import pytest

from symreg.arrays import Floats
from symreg.files import one_line, parse_json
from symreg.typed import Range, check_ranges, read_typed, typed


class Line(NamedTuple):
    size: int
    text: str


@dataclass(frozen=True)
class Settings:
    size: Annotated[int, Range(2, 5000)]
    part: Annotated[float, Range(0.0, 1.0, below=True)] = 0.5
    length: str | Annotated[float, Range(0.1, 9.0, "Å")] = "nearest"
    scale: Annotated[float, Range(1.0, 2.0, zero="leave it out")] = 0.0
    worth: Mapping[str, Annotated[float, Range(0.0, 10.0)]] = field(default_factory=dict)
    most: Annotated[int, Range(1, 9)] | None = None


@dataclass(frozen=True)
class Book:
    lines: list[Line]
    settings: Settings | None
    matrix: Floats | None = None
    names: tuple[str, ...] = ()
    found: float = math.nan


GOOD = {"lines": [[1, "x"]], "settings": {"size": 3}, "later versions know": 1}


def test_a_record_is_read_with_its_defaults():
    book = typed(Book, GOOD | {"matrix": [[1, None]], "names": ["a"], "found": None})
    assert book.lines == [Line(1, "x")]
    assert book.settings == Settings(3)
    assert math.isnan(book.found)
    np.testing.assert_array_equal(book.matrix, [[1.0, np.nan]])
    assert typed(Book, {"lines": []}).settings is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (3, "it is 3; it must be an object with entries"),
        ({}, "it has no entry 'lines'"),
        (GOOD | {"lines": 1.5}, "lines is 1.5; it must be a list"),
        (GOOD | {"lines": [[1]]}, "lines[0] is [1]; it must be a list of size, text"),
        (GOOD | {"lines": [[True, "x"]]}, "lines[0].size is true; it must be an integer"),
        (GOOD | {"lines": [[2**63, "x"]]}, f"lines[0].size is {2**63}; it must be an integer"),
        (GOOD | {"settings": {"size": 1}}, "settings.size is 1; it must be a number from 2 to 5,0"),
        (GOOD | {"settings": {"size": None}}, "settings.size is null; it must be a number"),
        (GOOD | {"settings": {}}, "settings has no entry 'size'"),
        (GOOD | {"matrix": [[1.0], []]}, "rows of matrix differ in length"),
        (GOOD | {"names": "abc"}, "names is 'abc'; it must be a list"),
        (GOOD | {"found": 10**400}, "found is 1000"),
        (GOOD | {"found": math.inf}, "found is inf; it must be a finite number"),
    ],
)
def test_what_does_not_fit_is_named_with_its_key(tmp_path, change, message):
    path = tmp_path / "book.json"
    path.write_text(json.dumps(change))
    with pytest.raises(OSError, match="book") as caught:
        read_typed(path, Book)
    assert f"{path} is damaged: {message}" in str(caught.value)
    assert len(str(caught.value)) < 200 + len(str(path))


def test_what_is_absent_may_be_read_as_something_else(tmp_path):
    assert read_typed(tmp_path / "book.json", Book, GOOD).settings == Settings(3)
    with pytest.raises(FileNotFoundError):
        read_typed(tmp_path / "book.json", Book)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 10**9}, "[toys] size is 1000000000; it must be from 2 to 5,000"),
        ({"part": 1.0}, "[toys] part is 1; it must be from 0 up to but not including 1"),
        ({"part": math.nan}, "[toys] part is nan"),
        ({"length": 10.0}, "[toys] length is 10; it must be from 0.1 to 9 Å"),
        ({"scale": 0.5}, "[toys] scale is 0.5; it must be from 1 to 2, or 0 to leave it out"),
        ({"worth": {"a": -1.0}}, "[toys.worth] a is -1; it must be from 0 to 10"),
        ({"most": 10}, "[toys] most is 10; it must be from 1 to 9"),
        ({"most": True}, "[toys] most is true"),
        ({"size": [1]}, "[toys] size is [1]"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(changes, message):
    check_ranges(Settings(3, worth={"a": 1}), "toys")
    with pytest.raises(ValueError, match="toys") as caught:
        check_ranges(Settings(**{"size": 3, **changes}), "toys")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 60 + "]" * 60, '{"a":' * 60 + "1" + "}" * 60]
)
def test_json_without_end_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="nested") as caught:
        parse_json(text)
    assert len(str(caught.value)) < 100
    assert parse_json("[[[1]]]") == [[[1]]]
    assert parse_json("3") == 3


def test_words_of_others_are_shortened_to_one_line():
    assert one_line("first\n  second\0") == "first second?"
    assert len(one_line(b"\0" * 9000)) == 200
