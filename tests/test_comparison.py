import math

import pytest

from symreg.runs import Front, open_run
from symreg.runs.records import Baseline, FloorRecord
from symreg.runs.results import in_words
from symreg.terms import Expression

COMPLEXITIES_AND_ERRORS = {
    "Lennard-Jones": (10, 22.8),
    "Morse": (9, 0.4),
    "Mie": (30, 0.05),
    "Born-Mayer": (4, 33.0),
}
KNOWN = {
    name: Baseline(complexity, 2, error, "", Expression((), ()))
    for name, (complexity, error) in COMPLEXITIES_AND_ERRORS.items()
}


@pytest.fixture
def front(small_run):
    """Members of complexity 5, 9, 11 and 18 with errors 2.5, 0.4, 0.1 and 0.09."""
    return Front(list(open_run(small_run).front), FloorRecord(math.nan, baselines=KNOWN))


def test_known_forms_stand_beside_the_best_member_no_more_complex(front):
    found = {c.name: (c.outcome, c.member and c.member.complexity) for c in front.compare()}
    assert found == {
        "Lennard-Jones": ("beaten", 9),
        "Morse": ("matched", 9),
        "Mie": ("not beaten", 18),
        "Born-Mayer": ("not beaten", None),
    }


def test_the_most_accurate_known_forms_come_first(front):
    assert [c.name for c in front.compare()] == ["Mie", "Morse", "Lennard-Jones", "Born-Mayer"]


def test_a_sentence_says_which_known_forms_are_beaten_and_which_are_not(front):
    assert in_words(front.compare()) == (
        "of 4, at equal complexity, 1 beaten, Lennard-Jones (error 22.8 at complexity 10; member 1 "
        "has 0.4); 1 matched, Morse (error 0.4 at complexity 9; member 1 has 0.4); 2 not beaten, "
        "Mie (error 0.05 at complexity 30; member 3 has 0.09), Born-Mayer (error 33 at complexity "
        "4; nothing found is as simple)"
    )


def test_of_several_beaten_forms_the_best_is_named(front):
    known = dict.fromkeys(("one", "two"), KNOWN["Lennard-Jones"])
    two = Front(list(front), FloorRecord(math.nan, baselines=known))
    assert in_words(two.compare()).startswith(
        "of 2, at equal complexity, 2 beaten, the best of them one (error 22.8"
    )


def test_without_known_forms_that_is_said(front):
    assert in_words(Front(list(front)).compare()) == "none could be fitted to these data"


def test_the_figure_of_a_front_shows_known_forms(front):
    axes = front.plot().axes[0]
    labels = {text.get_text() for text in axes.get_legend().get_texts()}
    assert set(KNOWN) - {"Mie"} <= labels  # which is far more complex than all that was found


def test_a_run_knows_its_known_forms_and_prints_how_they_compare(argon_run):
    from symreg.cli.summary import summary

    assert "Lennard-Jones" in argon_run.front.baselines
    said = " ".join(summary(argon_run).split())
    assert "known of " in said
    assert in_words(argon_run.front.compare()) in said
    page = (argon_run.folder / "report.html").read_text(encoding="utf-8")
    assert "Known forms fitted to the same data: of " in page
