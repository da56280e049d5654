import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, pairwise
from time import time

import numpy as np
import pytest

from symreg.config import DataSettings, Settings
from symreg.fit.programs.batch import _VARIABLES, ROWS
from symreg.fit.projected.fitter import Fitter
from symreg.language.operators import VARIABLE
from symreg.runs import RunFolder
from symreg.runs.pipeline import checkpoint
from symreg.searching.backfitting import Backfitting
from symreg.searching.individuals import from_arrays, to_arrays
from symreg.searching.island import EvolutionSettings, named
from symreg.searching.islands import (
    BEGINNING,
    Islands,
    IslandSettings,
    State,
    begins_anew,
    gained,
    run_epoch,
)
from symreg.searching.tasks import Source
from symreg.searching.variation import VariationSettings
from symreg.workers.executors import Crew, given, processes

SETTINGS = IslandSettings(
    islands=2, generations_per_epoch=3, evolution=EvolutionSettings(population_size=30)
)
EPOCHS = 2
ORIGIN = checkpoint.Origin.of(Settings(data=DataSettings(train=("argon.extxyz",))), "abc")


@pytest.fixture(scope="module")
def states(argon_design):
    return list(islice(Islands(argon_design, SETTINGS).search(), EPOCHS))


def same(one, two):
    """Whether two populations as arrays agree to the last bit."""
    return one.keys() == two.keys() and all(one[n].tobytes() == two[n].tobytes() for n in one)


def signature(state):
    """All of a state that a later one depends on, as bytes."""
    front = [(i.coded_terms, i.weights, i.error.hex(), i.complexity) for i in state.front]
    arrays = [p[name].tobytes() for p in state.populations for name in sorted(p)]
    return state.epoch, state.candidates, front, arrays


@pytest.fixture
def source(argon_design, tmp_path):
    argon_design.save(tmp_path / "design.npz")
    return Source(str(tmp_path / "design.npz"), "abc")


@pytest.mark.parametrize("workers", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_find_the_same_to_the_last_bit(argon_design, states, source, workers):
    with Crew(processes(workers)) as crew:
        found = list(islice(Islands(argon_design, SETTINGS, (), crew, source).search(), EPOCHS))
    assert [signature(s) for s in found] == [signature(s) for s in states]


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_threads_find_the_same_to_the_last_bit(argon_design, states, source, workers):
    with ThreadPoolExecutor(workers) as threads, Crew(given(threads)) as crew:
        found = list(islice(Islands(argon_design, SETTINGS, (), crew, source).search(), EPOCHS))
    assert [signature(s) for s in found] == [signature(s) for s in states]


def test_an_epoch_is_a_pure_function(argon_design, states):
    island = Backfitting(Fitter(argon_design), SETTINGS.evolution, SETTINGS.variation)
    own, migrants = states[0].populations
    before = {name: values.copy() for name, values in own.items()}
    first, second = (run_epoch(island, SETTINGS, 0, 1, own, migrants) for _ in range(2))
    assert same(first[0], second[0])
    assert first[1] == second[1]
    assert same(own, before)


def test_an_epoch_depends_on_island_epoch_seed_and_migrants(argon_design, states):
    island = Backfitting(Fitter(argon_design), SETTINGS.evolution, SETTINGS.variation)
    own, migrants = states[0].populations
    usual = run_epoch(island, SETTINGS, 0, 1, own, migrants)[0]
    other_seed = IslandSettings(**{**vars(SETTINGS), "seed": 1})
    for settings, number, epoch, arrived in [
        (SETTINGS, 1, 1, migrants),
        (SETTINGS, 0, 2, migrants),
        (other_seed, 0, 1, migrants),
        (SETTINGS, 0, 1, None),
    ]:
        assert not same(usual, run_epoch(island, settings, number, epoch, own, arrived)[0])


def test_a_search_goes_on_from_a_state_as_if_it_had_never_stopped(argon_design, states):
    (last,) = islice(Islands(argon_design, SETTINGS).search(states[0]), 1)
    assert signature(last) == signature(states[1])


def test_a_checkpoint_holds_a_state_exactly(argon_design, states, tmp_path):
    folder = RunFolder(tmp_path)
    checkpoint.write(folder, states[0], 12.5, ORIGIN)
    state, seconds, said = checkpoint.read(folder, ORIGIN)
    assert not said
    assert signature(state) == signature(states[0])
    assert seconds == 12.5
    (last,) = islice(Islands(argon_design, SETTINGS).search(state), 1)
    assert signature(last) == signature(states[1])


def test_a_checkpoint_whose_terms_lack_constants_or_keys_is_refused(argon_design, states, tmp_path):
    folder = RunFolder(tmp_path)
    checkpoint.write(folder, states[0], 12.5, ORIGIN)
    path = tmp_path / "checkpoint" / "state.npz"
    with np.load(path) as file:
        whole = {name: file[name] for name in file.files}
    starts = whole["island0_constant_start"].copy()
    starts[1:-1] = 0
    is_variable = whole["island0_code"] == VARIABLE
    sums = np.where(is_variable, ROWS * _VARIABLES.index("s1"), whole["island0_arg"])
    for damage, message in [
        ({"island0_constant_start": starts}, "a term of . constants has"),
        ({"island0_key": whole["island0_key"] + 1}, "a term has the key 1; there are 1"),
        ({"island0_arg": sums}, "a term holds s1, which its key has not"),
    ]:
        np.savez(path, **{**whole, **damage})
        with pytest.raises(checkpoint.CheckpointError, match=message):
            read_for(folder, argon_design.keys)


def read_for(folder, keys):
    """Read a checkpoint as a search does whose terms may have these keys."""
    state, *_ = checkpoint.read(folder, ORIGIN)
    checkpoint.check_keys(folder, state, keys)
    return state


def test_checkpoints_and_processes_keep_three_body_terms_to_the_last_bit(silicon_design, tmp_path):
    variation = VariationSettings(max_complexity=40, general=True)
    settings = IslandSettings(**{**vars(SETTINGS), "variation": variation})
    first, second = islice(Islands(silicon_design, settings).search(), 2)
    kinds = {key for p in second.populations for i in from_arrays(p) for key, *_ in i.coded_terms}
    assert kinds == {0, 1}
    checkpoint.write(RunFolder(tmp_path), first, 1.0, ORIGIN)
    state, *_ = checkpoint.read(RunFolder(tmp_path), ORIGIN)
    assert signature(state) == signature(first)
    path = tmp_path / "design.npz"
    silicon_design.save(path)
    with Crew(processes(2)) as crew:
        islands = Islands(silicon_design, settings, (), crew, Source(str(path), "abc"))
        (again,) = islice(islands.search(state), 1)
    assert signature(again) == signature(second)


def test_epochs_and_candidates_are_counted(states):
    assert [state.epoch for state in states] == [1, 2]
    assert 2 * 2 * 30 < states[0].candidates < states[1].candidates


def test_the_front_of_all_islands_never_gets_worse(states):
    for member in states[0].front:
        assert any(
            new.complexity <= member.complexity and new.error <= member.error
            for new in states[1].front
        )
    errors = [member.error for member in states[1].front]
    assert np.all(np.diff(errors) < 0)


def test_islands_differ_and_keep_their_size(states):
    one, two = states[-1].populations
    assert not same(one, two)
    assert [len(from_arrays(population)) for population in (one, two)] == [30, 30]


def test_one_island_has_no_neighbour_to_learn_from(argon_design):
    alone = IslandSettings(**{**vars(SETTINGS), "islands": 1})
    *_, last = islice(Islands(argon_design, alone).search(), 2)
    assert len(last.populations) == 1
    assert last.front


def test_the_last_improvement_of_the_front_is_counted(argon_design, states):
    assert states[0].improved == 1
    perfect = replace(states[1], front=[replace(i, error=1e-12) for i in states[1].front])
    (after,) = islice(Islands(argon_design, SETTINGS).search(perfect), 1)
    assert (after.epoch, after.improved) == (3, perfect.improved)


@pytest.mark.parametrize(("error", "better"), [(0.992, False), (0.98, True)])
def test_a_gain_of_more_than_a_hundredth_at_any_complexity_is_an_improvement(states, error, better):
    old = states[0].front
    new = [*old[:-1], replace(old[-1], error=error * old[-1].error)]
    assert gained(old, new) is better
    assert gained([], old)
    assert not gained(old, [])


def test_a_worker_that_cannot_read_the_data_says_which_file(argon_design, tmp_path):
    nowhere = Source(str(tmp_path / "design.npz"), "abc")
    with ThreadPoolExecutor(1) as threads, Crew(given(threads)) as crew:
        islands = Islands(argon_design, SETTINGS, (), crew, nowhere)
        with pytest.raises(FileNotFoundError, match=r"cannot read .*design\.npz; the run folder"):
            next(islands.search())


def test_what_is_quarantined_is_never_fitted(argon_design, states):
    front = states[1].front
    banned = named(front[0].coded_terms)
    state = State(0, 0, (), [], quarantined=(banned,))
    after = list(islice(Islands(argon_design, SETTINGS).search(state), EPOCHS))
    found = {named(i.coded_terms) for s in after for p in s.populations for i in from_arrays(p)}
    assert banned in {named(i.coded_terms) for p in states[1].populations for i in from_arrays(p)}
    assert banned not in found
    assert after[-1].quarantined == (banned,)


def test_the_last_island_begins_anew_and_learns_from_none(argon_design, states):
    restless = EvolutionSettings(population_size=30, restart=3)
    settings = IslandSettings(**{**vars(SETTINGS), "evolution": restless})
    first, second = islice(Islands(argon_design, settings).search(), 2)
    island = Backfitting(Fitter(argon_design), settings.evolution, settings.variation)
    anew = run_epoch(island, settings, 1, 1, None, None)[0]
    assert same(second.populations[1], anew)
    own, arrived = first.populations[0], to_arrays(island.front(from_arrays(first.populations[1])))
    assert same(second.populations[0], run_epoch(island, settings, 0, 1, own, arrived)[0])
    # Before its time an island that explores goes on, alone.
    own = states[0].populations[1]
    alone = run_epoch(island, SETTINGS, 1, 1, own, None)[0]
    assert same(states[1].populations[1], alone)


def test_only_the_last_of_many_islands_explores(argon_design):
    restless = EvolutionSettings(population_size=30, restart=3)
    settings = IslandSettings(**{**vars(SETTINGS), "islands": 3, "evolution": restless})
    first, second = islice(Islands(argon_design, settings).search(), 2)
    island = Backfitting(Fitter(argon_design), settings.evolution, settings.variation)
    own, arrived = first.populations[1], to_arrays(island.front(from_arrays(first.populations[0])))
    assert same(second.populations[1], run_epoch(island, settings, 1, 1, own, arrived)[0])
    assert same(second.populations[2], run_epoch(island, settings, 2, 1, None, None)[0])


def test_the_front_outlives_the_islands_that_found_it(argon_design):
    restless = EvolutionSettings(population_size=30, restart=3)
    settings = IslandSettings(**{**vars(SETTINGS), "evolution": restless})
    fronts = [state.front for state in islice(Islands(argon_design, settings).search(), 4)]
    for before, after in pairwise(fronts):
        for member in before:
            assert any(n.complexity <= member.complexity and n.error <= member.error for n in after)


def test_without_restarts_all_islands_learn_from_each_other(argon_design):
    settled = EvolutionSettings(population_size=30, restart=0)
    settings = IslandSettings(**{**vars(SETTINGS), "evolution": settled})
    first, second = islice(Islands(argon_design, settings).search(), 2)
    island = Backfitting(Fitter(argon_design), settings.evolution, settings.variation)
    own, arrived = first.populations[1], to_arrays(island.front(from_arrays(first.populations[0])))
    assert same(second.populations[1], run_epoch(island, settings, 1, 1, own, arrived)[0])


def test_runs_between_restarts_follow_lubys_sequence():
    begins = [n for n in range(33) if begins_anew(7 * n, unit=7)]
    assert begins == [0, 1, 2, 4, 5, 6, 8, 12, 13, 14, 16, 17, 18, 20, 24, 32]
    assert not begins_anew(8, unit=7)


def test_a_worker_of_another_version_says_which(argon_design, source):
    other = replace(source, versions=(("python", "2.7"), *source.versions[1:]))
    with ThreadPoolExecutor(1) as threads, Crew(given(threads)) as crew:
        islands = Islands(argon_design, SETTINGS, (), crew, other)
        with pytest.raises(ValueError, match=r"has python .*, where the search has 2\.7"):
            next(islands.search())


@pytest.mark.parametrize("left", [100.0, math.inf])
def test_an_island_has_a_part_of_the_time_left_for_its_first_population(left):
    class Beginning:
        def begin(self, *given):
            self.deadline = given[-1]
            raise ValueError("no candidate")

    island, now = Beginning(), time()
    with pytest.raises(ValueError, match="no candidate"):
        run_epoch(island, IslandSettings(), 0, 0, None, None, deadline=now + left)
    assert island.deadline == pytest.approx(now + BEGINNING * left, abs=5.0)
