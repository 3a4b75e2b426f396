"""The papers' figures and claims, each as something to run, change and judge.

>>> from leanrank.research import experiments as papers
>>> "pruning-theorem8" in papers.names()
True
>>> papers.get("pruning-theorem8").parameters["seeds"].about
'random starts for each step size and kind of perturbation'

Every experiment states a claim, runs independent trials on the public solvers, draws a figure and
says whether the claim held. ``leanrank reproduce`` does the same from a terminal.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from leanrank._files import PathLike
from leanrank.research.experiments._experiment import (
    Experiment,
    Reproduction,
    Results,
    Status,
    Trial,
    Verdict,
)
from leanrank.research.experiments._parameter import Parameter, nearest
from leanrank.research.experiments._reproduce import Progress, reproduce
from leanrank.research.experiments._tolerance import Tolerance, differences

__all__ = [
    "Experiment",
    "Parameter",
    "Reproduction",
    "Results",
    "Status",
    "Tolerance",
    "Trial",
    "Verdict",
    "differences",
    "get",
    "names",
    "run",
]

# One line each: a module that defines ``experiment`` is imported when its name is asked for.
_EXPERIMENTS = {
    "implicit-fig1": "leanrank.research.experiments.implicit_fig1",
    "implicit-fig2": "leanrank.research.experiments.implicit_fig2",
    "implicit-fig3": "leanrank.research.experiments.implicit_fig3",
    "implicit-fig4": "leanrank.research.experiments.implicit_fig4",
    "implicit-fig5": "leanrank.research.experiments.implicit_fig5",
    "implicit-algorithm1": "leanrank.research.experiments.implicit_algorithm1",
    "implicit-theorem11": "leanrank.research.experiments.implicit_theorem11",
    "implicit-theorem12": "leanrank.research.experiments.implicit_theorem12",
    "implicit-theorem31": "leanrank.research.experiments.implicit_theorem31",
    "implicit-theorem42": "leanrank.research.experiments.implicit_theorem42",
    "implicit-noise": "leanrank.research.experiments.implicit_noise",
    "implicit-lemmas": "leanrank.research.experiments.implicit_lemmas",
    "implicit-lemma-a1": "leanrank.research.experiments.implicit_lemma_a1",
    "pruning-fig1": "leanrank.research.experiments.pruning_fig1",
    "pruning-fig2": "leanrank.research.experiments.pruning_fig2",
    "pruning-eq6": "leanrank.research.experiments.pruning_eq6",
    "pruning-theorem1": "leanrank.research.experiments.pruning_theorem1",
    "pruning-theorem3": "leanrank.research.experiments.pruning_theorem3",
    "pruning-lambda": "leanrank.research.experiments.pruning_lambda",
    "pruning-theorem4": "leanrank.research.experiments.pruning_theorem4",
    "pruning-samples": "leanrank.research.experiments.pruning_samples",
    "pruning-theorem5": "leanrank.research.experiments.pruning_theorem5",
    "pruning-theorem8": "leanrank.research.experiments.pruning_theorem8",
    "pruning-theorem9": "leanrank.research.experiments.pruning_theorem9",
    "pruning-networks": "leanrank.research.experiments.pruning_networks",
    "asymmetric-theorem28": "leanrank.research.experiments.asymmetric_theorem28",
    "asymmetric-theorem29": "leanrank.research.experiments.asymmetric_theorem29",
    "asymmetric-theorem61": "leanrank.research.experiments.asymmetric_theorem61",
    "asymmetric-theorem43": "leanrank.research.experiments.asymmetric_theorem43",
    "asymmetric-width": "leanrank.research.experiments.asymmetric_width",
    "asymmetric-operators": "leanrank.research.experiments.asymmetric_operators",
    "asymmetric-kappa": "leanrank.research.experiments.asymmetric_kappa",
    "asymmetric-reduction": "leanrank.research.experiments.asymmetric_reduction",
    "asymmetric-misalignment": "leanrank.research.experiments.asymmetric_misalignment",
    "deep-fig1": "leanrank.research.experiments.deep_fig1",
    "deep-fig2": "leanrank.research.experiments.deep_fig2",
    "deep-fig3": "leanrank.research.experiments.deep_fig3",
    "deep-fig4": "leanrank.research.experiments.deep_fig4",
    "deep-replacement": "leanrank.research.experiments.deep_replacement",
    "deep-theorem32": "leanrank.research.experiments.deep_theorem32",
    "deep-landscape": "leanrank.research.experiments.deep_landscape",
    "deep-width": "leanrank.research.experiments.deep_width",
    "deep-langevin": "leanrank.research.experiments.deep_langevin",
    "deep-columns": "leanrank.research.experiments.deep_columns",
    "deep-ranks": "leanrank.research.experiments.deep_ranks",
    "deep-ridge": "leanrank.research.experiments.deep_ridge",
    "deep-descent": "leanrank.research.experiments.deep_descent",
    "deep-unattained": "leanrank.research.experiments.deep_unattained",
}


def names() -> list[str]:
    """Names of all experiments."""
    return list(_EXPERIMENTS)


def get(name: str) -> Experiment:
    """The experiment of a name.

    Raises
    ------
    ValueError
        If there is none; the text lists those that exist.
    """
    if name not in _EXPERIMENTS:
        raise ValueError(
            f"there is no experiment {name!r}{nearest(name, _EXPERIMENTS)}; there are: "
            f"{', '.join(_EXPERIMENTS)}"
        )
    experiment: Experiment = import_module(_EXPERIMENTS[name]).experiment
    return experiment


def run(
    name: str | Experiment,
    quick: bool = False,
    seed: int = 0,
    out: PathLike | None = None,
    progress: Progress | None = None,
    *,
    jobs: int = 1,
    **parameters: Any,
) -> Reproduction:
    """Run an experiment, judge its claim and draw its figure.

    Parameters
    ----------
    name : str or Experiment
        One of :func:`names`, or an experiment of your own.
    quick : bool
        Smaller settings that still show the effect. The full ones are the paper's.
    seed : int
        At least 0. The same arguments give the same numbers, for any number of jobs.
    out : path, optional
        A folder, made if need be, that takes the figure NAME.png, ``summary.json``,
        ``results.npz`` (:meth:`Results.arrays`) and, in ``trials``, each finished trial: a run that
        was interrupted goes on where it was, unless the code has changed. Trials of functions that
        are in no file, such as those of a notebook, are not kept. Nothing is written if left out.
    progress : callable, optional
        Called with the number of finished trials and of all trials; returning True stops the run
        with :class:`KeyboardInterrupt`.
    jobs : int
        Processes that run trials, with one BLAS thread each; 1 is this process. A script that
        asks for more must be importable: guard it by ``if __name__ == "__main__"``.
    **parameters
        Any parameter of the experiment in place of its default.

    Returns
    -------
    Reproduction

    Raises
    ------
    ValueError, TypeError
        If there is no such experiment or parameter, or a value is not of its kind.
    FileError
        If ``out`` cannot be written to.
    """
    experiment = get(name) if isinstance(name, str) else name
    return reproduce(
        experiment, parameters, quick=quick, seed=seed, out=out, progress=progress, jobs=jobs
    )
