"""What runs tell of their gate: what it assumed, what it kept away, what it merely noticed."""

import pytest

import symreg
from symreg import files
from symreg.cli.summary import front_text, summary
from symreg.runs import open_run
from symreg.searching.gate import Gate, Verdict

LOWER = "hcp lies 3 meV/atom below fcc Ar"


def changed(folder, number, **values):
    records = files.read_json(folder / "front.json")
    for record in records:
        record |= values if record["number"] == number else {}
    files.write_json(folder / "front.json", records)
    return open_run(folder)


def test_a_member_near_another_ground_state_is_marked_and_not_recommended(small_run):
    chosen = open_run(small_run).best().number
    run = changed(small_run, chosen, near_ground_state=LOWER)
    assert run.best().number != chosen
    text = front_text(run, run.best())
    assert "20 meV/atom below the crystal" in text
    (marked, note) = [line for line in text.splitlines() if line.startswith("~ ")]
    assert note.split()[1] == "another"
    assert marked.split()[1] == str(chosen)
    assert LOWER in run.front._repr_html_()
    for member in run.front:  # where all are like that, the knee is as good as any
        changed(small_run, member.number, near_ground_state=LOWER)
    assert open_run(small_run).best().number == chosen


def test_what_the_gate_kept_away_is_counted_by_what_is_wrong(small_run):
    reasons = (
        f"{LOWER}; bcc lies 30 meV/atom below fcc Ar",
        "crystal fcc Ar rises 0.1 eV/atom above free atoms when stretched to 6 Å; " + LOWER,
        "crystal fcc Ar collapses to 1.2 Å, below r_lo",
        LOWER,
    )
    rows = [{"complexity": 9, "error": 1.0, "expression": "x", "reasons": r} for r in reasons]
    files.write_rows(small_run / "rejected.csv", rows, tuple(rows[0]))
    run = open_run(small_run)
    assert list(run.rejected.values()) == [3, 1]
    assert "kept 4 formulas from the front: 3 for another structure lies" in " ".join(
        summary(run).split()
    )


def test_a_run_says_which_crystal_it_assumed_and_what_it_kept_away(argon_run):
    (assumed,) = argon_run.ground_states
    assert assumed.startswith("fcc Ar (Ar4, ")
    log = (argon_run.folder / "log.txt").read_text(encoding="utf-8")
    assert f"gate: the ground state is assumed to be that of the data: {assumed}" in log
    page = (argon_run.folder / "report.html").read_text(encoding="utf-8")
    assert f"what the data have: {assumed}" in page
    assert f"assumed   ground state of the data: {assumed}" in summary(argon_run)
    rows = files.read_rows(argon_run.folder / "rejected.csv")
    assert sum(argon_run.rejected.values()) == len(rows)
    sizes = [int(row["complexity"]) for row in rows]
    assert sizes == sorted(sizes)
    head = (argon_run.folder / "front.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head.endswith("unfit,near_ground_state,expression")


@pytest.mark.usefixtures("front_only")
def test_where_no_formula_passes_those_that_fail_are_delivered_and_marked(
    search_settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(Gate, "verdict", lambda *_: Verdict(lower=(LOWER,)))
    run = symreg.search(search_settings(tmp_path / "run", **{"search.epochs": 1}))
    assert len(run.front)
    assert all((member.unfit or "").endswith(LOWER) for member in run.front)
