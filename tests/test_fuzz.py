"""Spoiled inputs end in an answer or in words; the long run is ``tests/fuzzing/fuzz.py``."""

import random
from itertools import product
from pathlib import Path

import pytest
from child import outcome_of
from fuzz import BAD, outcomes
from kinds import KINDS, Kind, WrongEndError, refusal
from mutations import json_spoiled, spoiled

INPUTS = 20


@pytest.mark.slow
def test_spoiled_inputs_end_in_an_answer_or_in_words():
    ended = list(outcomes(product(KINDS, range(INPUTS)), seconds=60))
    assert [outcome for outcome in ended if outcome.said in BAD] == []
    for kind in KINDS:
        said = {outcome.said for outcome in ended if outcome.kind == kind}
        assert "answer" in said, f"of {kind} nothing got through"


@pytest.fixture
def kind_that(monkeypatch, tmp_path):
    """Try an input of a kind that is used like this."""

    def tried(use):
        monkeypatch.setitem(KINDS, "toy", Kind(lambda *_: b"x", use))
        monkeypatch.chdir(tmp_path)  # so that the folder is put back at the end
        return outcome_of("toy", 0, tmp_path)

    return tried


def test_a_key_error_counts_as_a_traceback(kind_that):
    said, why = kind_that(lambda _: {}["missing"])
    assert said == "traceback"
    assert "missing" in why


def test_a_file_outside_the_folder_is_noticed(kind_that):
    def use(data):
        Path("../outside.txt").write_bytes(data)
        return "answer"

    assert kind_that(use) == ("outside", "wrote ['outside.txt']")


def test_a_refusal_without_words_is_a_wrong_end():
    with pytest.raises(WrongEndError, match="no way to refuse"):
        refusal("Traceback (most recent call last)")


def test_an_input_depends_on_its_number_alone():
    seed = b'{"a": [1, 2.5, {"b": "x"}]}'
    for change in (json_spoiled, spoiled):
        once, again = (change(seed, random.Random("toy 3")) for _ in range(2))
        assert once == again
