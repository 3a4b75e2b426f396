"""Work that is dealt out: all of it, once, in parts of about the same size."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from leanrank.posterior import Team


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 4, 103])
def test_every_part_is_done_once(threads, n):
    done = np.zeros(n, int)

    def work(a: int, b: int) -> None:
        done[a:b] += 1

    team = Team(threads)
    for ptr in (None, np.arange(n + 1) ** 2, np.zeros(n + 1, int)):
        done[:] = 0
        team.split(n, work, ptr)
        assert (done == 1).all()


def test_parts_have_as_much_work_one_as_the_other():
    ptr, parts = np.arange(1001) ** 3, []
    Team(4).split(1000, lambda a, b: parts.append(ptr[b] - ptr[a]), ptr)
    assert len(parts) == 4
    assert max(parts) < 1.02 * min(parts)


def test_parts_are_done_side_by_side():
    meeting = threading.Barrier(2, timeout=30)
    Team(2).split(2, lambda a, b: meeting.wait())


def test_an_error_of_a_part_is_raised():
    def work(a: int, b: int) -> None:
        if b == 10:
            raise FloatingPointError("of a part")

    with pytest.raises(FloatingPointError, match="of a part"):
        Team(2).split(10, work)


def test_as_many_threads_as_there_are_cores_for_this_process():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert Team(None).threads == cores
