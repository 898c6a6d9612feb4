"""Items are computed before they are read, in order, by a thread that ends by itself."""

import threading
import time

import pytest

from singlow.data.feed.ahead import Ahead


class Recorder:
    """Makes squares, and keeps the indices and threads of its calls."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, index: int) -> int:
        self.made.append(index)
        self.threads.add(threading.current_thread())
        return index**2


def wait_for_end() -> None:
    until = time.monotonic() + 10
    while any(thread.name == "batches" for thread in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.001)


def test_items_are_those_of_the_function_in_order():
    recorder = Recorder()
    ahead = Ahead(recorder)
    assert [ahead[index] for index in range(50)] == [index**2 for index in range(50)]
    wait_for_end()
    assert recorder.made == sorted(set(recorder.made))
    assert threading.main_thread() not in recorder.threads


def test_a_few_items_wait_and_then_the_thread_ends():
    recorder = Recorder()
    ahead = Ahead(recorder, depth=3)
    assert ahead[0] == 0
    wait_for_end()
    assert recorder.made == [0, 1, 2, 3]


def test_nothing_is_computed_beyond_the_end():
    recorder = Recorder()
    ahead = Ahead(recorder, stop=2)
    assert [ahead[0], ahead[1]] == [0, 1]
    wait_for_end()
    assert recorder.made == [0, 1]
    with pytest.raises(IndexError, match=r"below 2\. Received: 2"):
        ahead[2]


def test_reading_starts_again_at_any_index():
    ahead = Ahead(lambda index: index**2, stop=8)
    assert [ahead[index] for index in (0, 1, 2, 0, 1, 7, 3, 4)] == [0, 1, 4, 0, 1, 49, 9, 16]


def test_an_error_is_raised_where_its_item_is_read():
    fault = OSError("no such item")

    def make(index: int) -> int:
        if index == 2:
            raise fault
        return index

    ahead = Ahead(make)
    assert [ahead[0], ahead[1]] == [0, 1]
    for _ in range(2):
        with pytest.raises(OSError, match="no such item") as raised:
            ahead[2]
        assert raised.value is fault
    assert ahead[0] == 0


def test_the_next_item_is_computed_while_one_is_in_use():
    started = [threading.Event() for _ in range(3)]

    def make(index: int) -> int:
        started[index].set()
        return index

    ahead = Ahead(make, stop=3)
    assert ahead[0] == 0
    assert started[1].wait(10)
    assert started[2].wait(10)


def test_pause_waits_for_the_thread_and_keeps_what_is_ready():
    recorder = Recorder()

    def make(index: int) -> int:
        time.sleep(0.02)
        return recorder(index)

    ahead = Ahead(make)
    assert ahead[0] == 0
    ahead.pause()
    assert not any(thread.is_alive() for thread in recorder.threads)
    made = len(recorder.made)
    assert made < 4
    assert [ahead[index] for index in range(1, 6)] == [1, 4, 9, 16, 25]
    assert recorder.made == sorted(set(recorder.made))
