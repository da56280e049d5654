import random as global_random
import threading

import numpy as np
import pytest
from deap import gp

from symreg.searching.randomness import random


def drawn(seed, count=200):
    with random.seeded(np.random.default_rng(seed)):
        return [gp.random.random() for _ in range(count)]


def test_what_other_threads_draw_from_the_global_stream_changes_nothing():
    alone, over = drawn(0), threading.Event()

    def disturb():
        while not over.is_set():
            global_random.random()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        assert all(drawn(0) == alone for _ in range(50))
    finally:
        over.set()
        thread.join()


def test_threads_have_streams_of_their_own():
    found = {}
    meet = threading.Barrier(4)

    def draw(seed):
        meet.wait()
        found[seed] = drawn(seed, 5000)

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[seed] == drawn(seed, 5000) for seed in range(4))


def test_the_global_stream_is_left_alone():
    before = global_random.getstate()
    drawn(3)
    assert global_random.getstate() == before
    global_random.seed(1)
    expected = global_random.random()
    global_random.seed(1)
    assert gp.random.random() == expected


def test_one_stream_within_another_leaves_it_as_it_was():
    with random.seeded(np.random.default_rng(0)):
        first = random.random()
        drawn(1)
        second = random.random()
    assert [first, second] == drawn(0, 2)


def test_choices_are_those_of_python():
    seed = int(np.random.default_rng(2).integers(2**63))
    expected = global_random.Random(seed)
    with random.seeded(np.random.default_rng(2)):
        for n in range(1, 300):
            assert random.choice(range(n)) == expected.choice(range(n))
        with pytest.raises(IndexError):
            random.choice([])
