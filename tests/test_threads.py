"""One BLAS thread while we compute, as many as before when we are done, and the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import leanrank as lr
from leanrank import _threads
from leanrank._threads import one_blas_thread


def blas_threads() -> set[int]:
    blas = ThreadpoolController().select(user_api="blas")
    return {library["num_threads"] for library in blas.info()}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Of which the machine may have one only: the library is told all the same."""
    with threadpool_limits(2, user_api="blas"):
        yield
        assert blas_threads() == {2}


def test_one_inside_and_two_after() -> None:
    with one_blas_thread():
        assert blas_threads() == {1}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_first_to_enter_may_leave_first() -> None:
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert blas_threads() == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == {2}


def test_what_was_set_between_two_uses_is_put_back() -> None:
    with one_blas_thread():
        pass
    with threadpool_limits(3, user_api="blas"):
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {3}


def test_first_to_enter_may_leave_first_and_live_on() -> None:
    entered, over, left, end = (threading.Event() for _ in range(4))

    def first() -> None:
        with one_blas_thread():
            entered.set()
            over.wait(60)
        left.set()
        end.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(60)
    with one_blas_thread():
        over.set()
        left.wait(60)
        assert blas_threads() == {1}
    assert blas_threads() == {2}
    end.set()
    thread.join()


def test_limits_of_each_thread_where_the_library_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class OpenMP:
        """As OpenBLAS on OpenMP: a number for each thread that calls."""

        def __init__(self) -> None:
            self.own = threading.local()

        @property
        def num_threads(self) -> int:
            return getattr(self.own, "number", 2)

        def set_num_threads(self, number: int) -> None:
            self.own.number = number

    library = OpenMP()
    monkeypatch.setattr(_threads, "_blas", lambda: (_threads._Limit([]), [library]))
    monkeypatch.setattr(_threads, "_one_blas_thread", _threads._OneBlasThread())
    seen = []

    def other() -> None:
        seen.append(library.num_threads)
        with one_blas_thread():
            seen.append(library.num_threads)
        seen.append(library.num_threads)

    with one_blas_thread():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert library.num_threads == 1
    assert library.num_threads == 2
    assert seen == [2, 1, 2]


def test_errors_leave_too() -> None:
    @one_blas_thread()
    def fail() -> NoReturn:
        assert blas_threads() == {1}
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fail()
        assert blas_threads() == {2}


def test_generators_hold_nothing_between_states() -> None:
    inst = lr.simulate.full_observation(6, 1, symmetric=True, random_state=0)
    problem = lr.Problem(inst.op, inst.y)
    solvers = lr.research.solvers
    for states in (
        solvers.descend_together(problem, [inst.truth], 0.1),
        solvers.descend_batch([problem], [inst.truth], step_size=0.1, stride=1),
        lr.solvers.iterate(lr.solvers.GradientDescent(0.1), problem, inst.truth),
    ):
        for _ in range(3):
            next(states)
            assert blas_threads() == {2}


def test_many_at_once_with_errors_among_them() -> None:
    inst = lr.simulate.matrix_completion((12, 10), 1, random_state=0)
    inside: list[set[int]] = []
    # All have entered before the first may leave.
    entered = threading.Barrier(4)

    def work(number: int) -> None:
        waiting = [lambda: entered.wait(timeout=60)]

        def look(state: lr.solvers.State) -> None:
            while waiting:
                waiting.pop()()
            inside.append(blas_threads())
            if number % 2:
                raise ZeroDivisionError

        for _ in range(3):
            with pytest.raises(ZeroDivisionError) if number % 2 else nullcontext():
                lr.recover(inst.op, inst.y, callbacks=[look])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(inside) >= 12
    assert set(map(frozenset, inside)) == {frozenset({1})}
    assert blas_threads() == {2}


_EVERYTHING = """
import hashlib, warnings
import numpy as np
import leanrank as lr
from leanrank import initial
from leanrank.research.deep import annealing, initial_layers, train
from leanrank.research.solvers import descend_batch, descend_together

def show(name, *arrays):
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in arrays))
    print(name, digest.hexdigest())

def show_certificate(name, certificate):
    values = vars(certificate).values()
    show(name, [float(value) for value in values if isinstance(value, (int, float))])

S = lr.simulate
large = [
    S.dense_sensing((100, 90), 3, m=500, random_state=0),
    S.dense_sensing(100, 3, m=500, symmetric=True, random_state=0),
    S.rank_one_sensing((100, 90), 10, m=3000, random_state=0),
    S.full_observation((300, 290), 10, noise=0.1, random_state=0),
]
show("simulate", *[inst.y for inst in large], *[inst.truth.W for inst in large])

instances = {
    "completion": S.matrix_completion((150, 120), 2, noise=0.1, random_state=0),
    "dense": S.dense_sensing((40, 30), 2, random_state=0),
    "dense in float32": S.dense_sensing((40, 30), 2, dtype=np.float32, random_state=0),
    "packed": S.dense_sensing(40, 2, symmetric=True, random_state=0),
    "rank one": S.rank_one_sensing((80, 60), 3, random_state=0),
    "symmetric rank one": S.rank_one_sensing(80, 3, symmetric=True, random_state=0),
    "full": S.full_observation((150, 120), 3, noise=0.1, random_state=0),
}
for name, inst in instances.items():
    op, y, symmetric = inst.op, inst.y, inst.truth.symmetric
    result = lr.recover(op, y, symmetric=symmetric, rank=None if name == "full" else 3, max_iter=9)
    show(f"recover: {name}", result.factors.W)
    show_certificate(f"certificate: {name}", result.certificate)
    show_certificate(f"check: {name}", lr.check_certificate(op, y, inst.truth))
    start = initial.spectral(op, y, 4, symmetric=symmetric, random_state=0)
    show(f"spectral: {name}", start.W)
    for solver in (lr.solvers.GaussNewton(), lr.solvers.LBFGS(), lr.solvers.GradientDescent(1e-3)):
        solved = lr.solvers.solve(solver, lr.Problem(op, y), start, max_iter=3)
        show(f"{type(solver).__name__}: {name}", solved.factors.W)

packed = instances["packed"]
options = {"width": 4, "lam": 0.05, "beta": 1e-3, "max_iter": 9, "random_state": 0}
show("greedy", lr.greedy_prune(packed.op, packed.y, **options).factors.W)
problem, starts = lr.Problem(packed.op, packed.y), [packed.truth, packed.truth]
states = descend_together(problem, starts, 1e-3)
show("together", *[state.factors.W for _ in range(3) for state in next(states)])
states = descend_batch([problem, problem], starts, step_size=1e-3, stride=3)
show("batch", *[state.factors.W for _ in range(3) for state in next(states)])
for name, batch in (("completion", 1), ("dense", 50)):
    inst = instances[name]
    starts = [initial_layers(inst.op.shape, 3, 100, random_state=i) for i in range(2)]
    schedule = annealing(60, 60, ridge=1e-4, warm_up_steps=5)
    problem = lr.Problem(inst.op, inst.y)
    trained = train(problem, starts, schedule, batch_size=batch, every=20, random_state=0)
    show(f"train: {name}", trained.singular_values, *trained.networks[0].layers)

warnings.simplefilter("ignore", lr.RecoveryWarning)
inst = instances["completion"]
table = np.full(inst.op.shape, np.nan)
table[inst.op.rows, inst.op.cols] = inst.y
imputer = lr.LowRankImputer(rank=3)
show("imputer", imputer.fit_transform(table), imputer.transform(table[::-1]), imputer.components_)
x = np.random.default_rng(0).standard_normal((400, 60))
network = lr.QuadraticNetworkRegressor().fit(x, np.sum(x[:, :2] ** 2, axis=1))
show("network", network.neurons_, network.predict(x))
"""


def test_same_bits_whatever_the_number_of_threads() -> None:
    source, pipe = str(Path(lr.__file__).parents[1]), subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _EVERYTHING],
            env=os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": source},
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for threads in ("1", "2")
    ]
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0].splitlines() == said[1][0].splitlines() != []
