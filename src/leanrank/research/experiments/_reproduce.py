"""Running an experiment: trials in one or many processes, kept on disk as they finish."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import multiprocessing
import os
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import leanrank
from leanrank import _checks
from leanrank._files import FileError, PathLike, check_writable, replacing
from leanrank._npz import read_arrays, write_arrays
from leanrank._palette import INK
from leanrank._threads import one_blas_thread
from leanrank.io import plain_values, save_summary
from leanrank.research.experiments._experiment import (
    Experiment,
    Reproduction,
    Results,
    Trial,
    Verdict,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Progress", "reproduce"]

Progress = Callable[[int, int], "bool | None"]
"""Called with the numbers of finished and of all trials; returning True stops the run."""

Outcome = dict[str, Any]


def reproduce(
    experiment: Experiment,
    given: Mapping[str, Any],
    *,
    quick: bool,
    seed: int,
    out: PathLike | None,
    progress: Progress | None,
    jobs: int,
) -> Reproduction:
    """Run the trials that are not on disk yet, judge and draw: see ``experiments.run``."""
    from matplotlib.figure import Figure  # importing the package does without

    parameters = experiment.settings(given, quick)
    seed = _checks.whole_number(seed, "seed")
    jobs = _checks.whole_number(jobs, "jobs", least=1)
    trials = experiment.trials(parameters)
    if not trials:
        raise ValueError(f"{experiment.name} has no trials under these parameters")
    folder = None if out is None else _folder(out, experiment.name)
    kept = _Cache(experiment, seed, folder)
    outcomes = _outcomes(experiment, trials, seed, kept, progress, jobs)
    results = Results([{**trial, **found} for trial, found in zip(trials, outcomes, strict=True)])
    verdict = experiment.judge(parameters, results)
    done = Reproduction(experiment, parameters, quick, seed, results, verdict, Figure())
    if folder is not None:
        # Before drawing, so that an error there does not lose what took so long.
        write_arrays(folder / "results.npz", results.arrays())
        save_summary(folder / "summary.json", done.summary())
    done = dataclasses.replace(done, figure=experiment.draw(parameters, results))
    _sign(done.figure, verdict)
    if folder is not None:
        with replacing(folder / f"{experiment.name}.png") as file:
            done.figure.savefig(file, format="png", dpi=200)
    return done


def _folder(out: PathLike, name: str) -> Path:
    """The folder, after a look at whether all that belongs in it can be written."""
    folder = Path(out)
    try:
        (folder / "trials").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{out}: cannot be made a folder ({error.strerror})") from None
    for file in (f"{name}.png", "results.npz", "summary.json", "trials/new.npz"):
        check_writable(folder / file)
    return folder


def _sign(figure: Figure, verdict: Verdict) -> None:
    """The verdict as a line, or a few, below everything that is drawn."""
    room = int(figure.get_figwidth() * 16)
    figure.supxlabel(
        "\n".join(textwrap.wrap(str(verdict), room)),
        x=0.01,
        ha="left",
        fontsize=8,
        color=INK,
        parse_math=False,
    )


class _Cache:
    """Finished trials on disk, each under a name made of all that its outcome depends on.

    All of leanrank's source is part of the name, and the file of the experiment: an experiment
    without one, such as that of a notebook, keeps none.
    """

    def __init__(self, experiment: Experiment, seed: int, folder: Path | None) -> None:
        self._folder = None
        with suppress(OSError, TypeError):
            code = Path(inspect.getfile(experiment.run_trial)).read_bytes()
            source = hashlib.sha256(_library() + code).hexdigest()
            self._common = [leanrank.__version__, experiment.name, source, seed]
            self._folder = folder

    def _path(self, trial: Trial, stream: int) -> Path:
        assert self._folder is not None
        text = json.dumps([*self._common, stream, plain_values(trial)], sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        return self._folder / "trials" / f"{name}.npz"

    def load(self, trial: Trial, stream: int) -> Outcome | None:
        """The outcome of a trial, or None if it is not there or not to be read."""
        if self._folder is None or not (path := self._path(trial, stream)).is_file():
            return None
        try:
            arrays = read_arrays(path)
        except FileError:
            return None
        return {name: x.item() if x.ndim == 0 else x for name, x in arrays.items()}

    def save(self, trial: Trial, stream: int, outcome: Outcome) -> None:
        """Keep the outcome of a trial."""
        if self._folder is not None:
            write_arrays(self._path(trial, stream), outcome)


@cache
def _library() -> bytes:
    """All of leanrank's source."""
    root = Path(leanrank.__file__).parent
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*.py")))


def _outcomes(
    experiment: Experiment,
    trials: Sequence[Trial],
    seed: int,
    kept: _Cache,
    progress: Progress | None,
    jobs: int,
) -> list[Outcome]:
    """The outcome of every trial, from disk where it is there."""
    streams = [_checks.whole_number(t.get("stream", i), "stream") for i, t in enumerate(trials)]
    outcomes = [kept.load(trial, streams[i]) for i, trial in enumerate(trials)]
    waiting = [i for i, outcome in enumerate(outcomes) if outcome is None]
    done = len(trials) - len(waiting)
    _report(progress, done, len(trials))
    tasks = [(experiment.run_trial, trials[i], seed, streams[i]) for i in waiting]
    for position, outcome in _finished(tasks, min(jobs, len(tasks))):
        i = waiting[position]
        outcomes[i] = outcome
        kept.save(trials[i], streams[i], outcome)
        done += 1
        _report(progress, done, len(trials))
    return [outcome for outcome in outcomes if outcome is not None]


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None and progress(done, total) and done < total:
        raise KeyboardInterrupt(f"stopped after {done} of {total} trials")


def _finished(tasks: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[tuple[int, Outcome]]:
    """Outcomes as they come, each with the position of its task."""
    if jobs <= 1:
        for position, task in enumerate(tasks):
            yield position, _run_trial(*task)
        return
    # Forked processes would inherit the locks of BLAS threads.
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
    try:
        futures = {pool.submit(_run_trial, *task): i for i, task in enumerate(tasks)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    pool.shutdown()


def _start_worker() -> None:
    """A worker that ends at once, and says nothing, on Ctrl-C and when the main process ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@one_blas_thread()
def _run_trial(
    function: Callable[[Trial, np.random.Generator], Mapping[str, Any]],
    trial: Trial,
    seed: int,
    stream: int,
) -> Outcome:
    """One trial with one BLAS thread and random numbers of its own."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))
    outcome = function(trial, rng)
    # As they come back from disk.
    arrays = {name: np.asarray(value) for name, value in outcome.items()}
    for name, x in arrays.items():
        if x.dtype.kind not in "biufcU":
            raise TypeError(f"outcome {name!r} must be numbers or strings, got {x.dtype} values")
    return {name: x.item() if x.ndim == 0 else x for name, x in arrays.items()}
