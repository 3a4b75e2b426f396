"""Whether the numbers of two runs of one experiment are the same, but for their machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["Tolerance", "differences"]


@dataclass(frozen=True)
class Tolerance:
    """How far two numbers may be apart: an absolute error plus a share of the larger one.

    The default is for what is computed twice from the same random numbers, where nothing but
    rounding differs; what is itself of the order of rounding is not compared.
    """

    absolute: float = 1e-6
    relative: float = 0.01

    def allows(self, a: Any, b: Any) -> bool:
        """Whether two plain values agree; those that are no numbers have to be equal."""
        if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)):
            return bool(a == b)
        return abs(a - b) <= self.absolute + self.relative * max(abs(a), abs(b))


def differences(
    found: Mapping[str, Any], recorded: Mapping[str, Any], tolerances: Mapping[str, Tolerance]
) -> list[str]:
    """What of the numbers of a run is not as recorded, a sentence for each.

    Parameters
    ----------
    found, recorded : mapping
        Numbers of two verdicts as plain values (:func:`leanrank.io.plain_values`).
    tolerances : mapping of str to Tolerance
        As of an Experiment.

    Examples
    --------
    >>> differences({"share": [0.9, 1.0]}, {"share": [0.9, 0.7]}, {})
    ['share.1 is 1, recorded 0.7']
    >>> differences({"share": [0.9, 1.0]}, {"share": [0.9, 0.7]}, {"share*": Tolerance(0.3)})
    []
    """
    now, then = dict(_flat(found)), dict(_flat(recorded))
    told = []
    for name in dict.fromkeys([*then, *now]):
        if name not in now or name not in then:
            told.append(f"{name} is {'recorded, but not found' if name in then else 'new'}")
            continue
        allowed = next((t for key, t in tolerances.items() if fnmatchcase(name, key)), Tolerance())
        if not allowed.allows(now[name], then[name]):
            told.append(f"{name} is {_text(now[name])}, recorded {_text(then[name])}")
    return told


def _flat(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of everything in nested mappings and lists."""
    if isinstance(values, list):
        values = dict(enumerate(values))
    if not isinstance(values, Mapping):
        yield name, values
        return
    for key, value in values.items():
        yield from _flat(value, f"{name}.{key}" if name else str(key))


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else repr(value)
