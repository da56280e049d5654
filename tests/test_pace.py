from types import SimpleNamespace

import numpy as np
import pytest

from symreg.config import SearchSettings, SettingsError
from symreg.fit.rows.fitter import DirectFitter
from symreg.runs.pipeline.modes import Evolution, island_settings
from symreg.runs.pipeline.pace import MOST, automatic_generations
from symreg.runs.pipeline.preparation import prepare


def prepared(population=400, rows=32, nodes=32, tensor=0, atoms=0, close=0, pairs=1):
    """What the count of work looks at."""
    grid = SimpleNamespace(tensors=SimpleNamespace(matrix=np.empty(tensor)))
    fitter = SimpleNamespace(grid=grid)
    if atoms:
        grid, fitter = fitter.grid, object.__new__(DirectFitter)
        chosen = SimpleNamespace(start=[0, atoms], joined=lambda _: range(close))
        fitter.grid, fitter.few = grid, SimpleNamespace(rows=SimpleNamespace(chosen=chosen))
    return SimpleNamespace(
        design=SimpleNamespace(
            training=SimpleNamespace(target=np.empty(rows)),
            n_nodes=nodes,
            n_pair_values=pairs * nodes,
            many_body=bool(atoms),
            triplet_grids=(object(),) if tensor else (),
        ),
        settings=SimpleNamespace(search=SimpleNamespace(population_size=population)),
        fitter=fitter,
        lengths=SimpleNamespace(farthest=lambda _: 4.2 if tensor else None),
    )


@pytest.mark.parametrize(
    ("data", "generations"),
    [
        ({}, 100),  # 6e9 / (400 * 81e3) would be 185
        ({"population": 4000}, 19),
        ({"rows": 78 * 32, "pairs": 78}, 2),  # 0.9 s each where it was measured
        ({"rows": 198, "tensor": 10 * 78 * 198}, 7),  # 0.87 s each where it was measured
        ({"atoms": 4043}, 1),  # 5 to 6 s
        ({"rows": 198, "tensor": 10 * 78 * 198, "atoms": 4043, "close": 58510}, 1),  # 9 to 14 s
        ({"population": 150, "atoms": 91}, 8),  # 0.7 to 0.9 s
        ({"population": 10**6, "atoms": 10**5}, 1),
    ],
)
def test_generations_follow_from_a_count_of_work(data, generations):
    assert automatic_generations(prepared(**data)) == generations


def test_a_number_of_generations_is_taken_as_it_is(search_settings, tmp_path):
    known = search_settings(tmp_path, generations_per_epoch=7)
    assert Evolution(known).generations(None) == 7
    assert island_settings(known, 3).generations_per_epoch == 7
    free = search_settings(tmp_path, generations_per_epoch="auto")
    assert Evolution(free).generations(prepare(free)) == MOST  # of 40 individuals
    assert island_settings(free, 3).generations_per_epoch == 3


@pytest.mark.parametrize(
    ("wrong", "said"), [("automatic", 'it must be "auto" or at'), (0, "it must be from 1")]
)
def test_other_words_for_the_generations_are_refused(wrong, said):
    with pytest.raises(SettingsError, match=f"generations_per_epoch is .+; {said}"):
        SearchSettings(generations_per_epoch=wrong)
