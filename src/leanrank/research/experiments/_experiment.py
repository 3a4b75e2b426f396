"""What an experiment is: parameters, independent trials, a verdict and a figure."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

import leanrank
from leanrank.io import plain_values
from leanrank.research.experiments._parameter import Parameter, nearest
from leanrank.research.experiments._tolerance import Tolerance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Experiment",
    "Parameter",
    "Reproduction",
    "Results",
    "Status",
    "Tolerance",
    "Trial",
    "Verdict",
    "nearest",
]

Parameters = Mapping[str, Any]
"""Values of all parameters of an experiment, by name."""

Trial = Mapping[str, Any]
"""Everything that one trial depends on, besides its random numbers, as plain values."""

_RESERVED = {"name", "quick", "seed", "out", "progress", "jobs", "json", "list", "all", "help"}


class Status(enum.StrEnum):
    """What became of a claim."""

    HOLDS = "HOLDS"
    FAILS = "FAILS"
    HOLDS_WITH = "HOLDS WITH"


@dataclass(frozen=True)
class Verdict:
    """The answer of an experiment.

    Attributes
    ----------
    status : Status
    measured : str
        What was measured, in a sentence.
    condition : str
        For HOLDS WITH: the condition under which the claim holds. For FAILS: what is right.
    numbers : dict
        The numbers behind it; arrays are welcome.
    """

    status: Status
    measured: str
    condition: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status is Status.HOLDS_WITH and not self.condition:
            raise ValueError("condition is empty: HOLDS WITH needs to say with what")

    def __str__(self) -> str:
        return f"{self.status}: {self.condition}" if self.condition else str(self.status)


class Results(Sequence[Mapping[str, Any]]):
    """Outcomes of the trials, in order; each has what its trial had and what came out.

    Examples
    --------
    >>> results = Results([{"n": 1, "error": 0.5}, {"n": 2, "error": 0.1}, {"n": 2, "error": 0.3}])
    >>> results.where(n=2).column("error").tolist()
    [0.1, 0.3]
    >>> results.values("n")
    [1, 2]
    >>> results.grid("error", np.max, n=(2, 1)).tolist()
    [0.3, 0.5]
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return Results(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self._rows)

    def where(self, **values: Any) -> Results:
        """Those that have all the given values."""
        return Results(
            [row for row in self._rows if all(row.get(k) == v for k, v in values.items())]
        )

    def column(self, name: str) -> np.ndarray:
        """One number (or array of one shape) of every trial, stacked."""
        return np.array([row[name] for row in self._rows])

    def grid(
        self, name: str, reduce: Callable[[np.ndarray], Any], **axes: Sequence[Any]
    ) -> np.ndarray:
        """A column reduced in each cell of a table.

        Parameters
        ----------
        name : str
            Field of the trials.
        reduce : callable
            From the column of a cell to a number, or an array of one shape, such as ``np.median``.
        **axes : sequences
            Values of one field on each axis of the table, such as ``n=(1, 2)``.

        Returns
        -------
        ndarray
            One axis for each of ``axes``, then those of what ``reduce`` gave.
        """
        cells = [
            reduce(self.where(**dict(zip(axes, values, strict=True))).column(name))
            for values in product(*axes.values())
        ]
        sizes = [len(values) for values in axes.values()]
        return np.reshape(cells, (*sizes, *np.shape(cells[0])))

    def values(self, name: str) -> list[Any]:
        """The different values of a field, in the order of their first appearance."""
        return list(dict.fromkeys(row[name] for row in self._rows))

    def arrays(self) -> dict[str, np.ndarray]:
        """Every field as one array with the trials along its first axis.

        Where a trial has none, or has less of it than another, there is NaN, or an empty string.
        """
        names = dict.fromkeys(name for row in self._rows for name in row)
        return {name: _stacked([row.get(name) for row in self._rows]) for name in names}


def _stacked(values: Sequence[Any]) -> np.ndarray:
    """Values of one field as one array of numbers or strings; as JSON where that cannot be."""
    try:
        there = {i: np.asarray(value) for i, value in enumerate(values) if value is not None}
    except ValueError:
        there = {}
    kinds = {x.dtype.kind for x in there.values()}
    if len({x.ndim for x in there.values()}) != 1 or not kinds <= set("biufcU"):
        return np.array([json.dumps(plain_values(value)) for value in values])
    whole = len(there) == len(values) and len({x.shape for x in there.values()}) == 1
    dtype = np.result_type(*there.values())
    fill: Any = 0
    if not whole:
        fill = "" if dtype.kind == "U" else np.nan
        dtype = dtype if dtype.kind in "Ufc" else np.dtype(float)
    shape = np.max([x.shape for x in there.values()], axis=0).astype(int)
    stacked = np.full((len(values), *shape), fill, dtype)
    for i, x in there.items():
        place: tuple[Any, ...] = (i, *map(slice, x.shape))
        stacked[place] = x
    return stacked


@dataclass(frozen=True)
class Experiment:
    """A claim of a paper, and how to find out about it.

    Parameters
    ----------
    name : str
        Such as ``pruning-fig1``.
    title : str
        What it is, in a line.
    reference : str
        Authors, year, figure or theorem.
    claim : str
        What the paper says, in a sentence.
    criterion : str
        What the verdict takes, in a sentence with all its limits, such as the share of the runs
        that have to do.
    parameters : mapping of str to Parameter
    trials : callable
        From the parameters to the trials, each a mapping of plain values with everything that
        it depends on. A trial draws the random numbers of its position in the list, or of its
        entry ``stream``, a whole number: trials with one stream draw the same numbers.
    run_trial : callable
        ``run_trial(trial, rng)`` gives numbers, strings and arrays by name. A function of a
        module, so that other processes find it.
    judge : callable
        ``judge(parameters, results)`` gives the Verdict.
    draw : callable
        ``draw(parameters, results)`` gives the matplotlib Figure.
    tolerances : mapping of str to Tolerance
        How far a number of the verdict may be off in a run on another machine, by its name, where
        that is more than rounding: say, counts of runs that small differences take elsewhere. Parts
        are named with dots, and ``*`` stands for anything. The first name that fits counts.
    """

    name: str
    title: str
    reference: str
    claim: str
    parameters: Mapping[str, Parameter]
    trials: Callable[[Parameters], Sequence[Trial]]
    run_trial: Callable[[Trial, np.random.Generator], Mapping[str, Any]]
    judge: Callable[[Parameters, Results], Verdict]
    draw: Callable[[Parameters, Results], Figure]
    criterion: str = ""
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken = sorted(_RESERVED & set(self.parameters))
        if taken:
            raise ValueError(f"parameters of {self.name} must not be named {', '.join(taken)}")

    def settings(self, given: Mapping[str, Any], quick: bool = False) -> dict[str, Any]:
        """Values of all parameters: those given, checked, and defaults for the rest.

        Raises
        ------
        ValueError, TypeError
            If a name or a value is not valid; the text says which exist.
        """
        for name in given:
            self.parameter(name)
        return {
            name: parameter.check(given.get(name, parameter.default(quick)), name)
            for name, parameter in self.parameters.items()
        }

    def parameter(self, name: str) -> Parameter:
        """The parameter of a name."""
        if name not in self.parameters:
            raise ValueError(
                f"{self.name} has no parameter {name!r}{nearest(name, self.parameters)}; it has: "
                f"{', '.join(self.parameters)}"
            )
        return self.parameters[name]


@dataclass(frozen=True, repr=False)
class Reproduction:
    """What came of running an experiment.

    Attributes
    ----------
    experiment : Experiment
    parameters : dict
        The values that were used.
    quick : bool
    seed : int
    results : Results
    verdict : Verdict
    figure : matplotlib.figure.Figure
    """

    experiment: Experiment
    parameters: Mapping[str, Any]
    quick: bool
    seed: int
    results: Results
    verdict: Verdict
    figure: Figure

    def __repr__(self) -> str:
        name, status = self.experiment.name, self.verdict.status
        return f"Reproduction({name}: {status}, {len(self.results)} trials)"

    def summary(self) -> dict[str, Any]:
        """All but results and figure in plain values that JSON knows, the same for the same run."""
        streams = {row.get("stream", i) for i, row in enumerate(self.results)}
        values = {
            "leanrank": leanrank.__version__,
            "name": self.experiment.name,
            "title": self.experiment.title,
            "reference": self.experiment.reference,
            "claim": self.experiment.claim,
            "criterion": self.experiment.criterion,
            "verdict": str(self.verdict.status),
            "condition": self.verdict.condition,
            "measured": self.verdict.measured,
            "numbers": self.verdict.numbers,
            "parameters": self.parameters,
            "quick": self.quick,
            "seed": self.seed,
            "trials": len(self.results),
            "streams": sorted(streams),
        }
        return {key: plain_values(value) for key, value in values.items()}
