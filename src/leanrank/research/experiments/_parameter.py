"""A parameter of an experiment: its defaults, its bounds, and how it is read from a text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from leanrank import _checks

__all__ = ["Parameter", "nearest"]

Value = bool | int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
"""What a parameter can be; its default says which of them."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of an experiment.

    Parameters
    ----------
    full : bool, int, float, str or tuple of ints, floats or strings
        Default: the paper's setting. Its type is the type of the parameter.
    quick : the same, optional
        Default with ``quick``; ``full`` if left out.
    about : str
        What it is, in a few words.
    least, above : float, optional
        Bounds of a number, or of each number of a tuple; ``above`` itself is excluded.
    fewest : int
        How many values a tuple has at least.
    choices : tuple of str
        What a string, or each string of a tuple, can be; anything if empty.
    """

    full: Value
    quick: Value | None = None
    about: str = ""
    least: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    fewest: int = 1

    def default(self, quick: bool) -> Value:
        """The value that stands where none is given."""
        return self.quick if quick and self.quick is not None else self.full

    def check(self, value: Any, name: str) -> Value:
        """``value`` as the parameter's type.

        Raises
        ------
        ValueError, TypeError
            If it is of another kind or out of bounds.
        """
        if not isinstance(self.full, tuple):
            return self._one(value, name, self.full)
        if isinstance(value, np.ndarray):
            value = value.tolist()
        items = value if isinstance(value, list | tuple) else [value]
        if len(items) < self.fewest:
            some = "one value" if self.fewest == 1 else f"{self.fewest} values"
            raise ValueError(f"{name} must have at least {some}, got {len(items) or 'none'}")
        checked: Any = [self._one(x, f"{name}[{i}]", self.full[0]) for i, x in enumerate(items)]
        return tuple(checked)

    def parse(self, text: str, name: str) -> Value:
        """The value that a text such as ``0.1``, ``yes`` or ``10,20,50`` stands for."""
        if not isinstance(self.full, tuple):
            return self.check(_read(text, self.full), name)
        return self.check([_read(part.strip(), self.full[0]) for part in text.split(",")], name)

    def _one(self, value: Any, name: str, model: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(model, bool | str):
            if not isinstance(value, type(model)):
                kind = "true or false" if isinstance(model, bool) else "a string"
                raise TypeError(f"{name} must be {kind}, got {value!r}")
            if self.choices and value not in self.choices:
                raise ValueError(f"{name} must be one of {', '.join(self.choices)}, got {value!r}")
            return value
        low = -np.inf if self.least is None else self.least
        above = -np.inf if self.above is None else self.above
        number = _checks.real_number(value, name, least=low, above=above)
        return (
            _checks.whole_number(value, name, least=int(number)) if type(model) is int else number
        )


def _read(text: str, model: Any) -> Any:
    """A text as a value of the type of ``model``, or as it is if it is none."""
    if isinstance(model, bool):
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        return words.get(text.lower(), text)
    if isinstance(model, str):
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def nearest(name: str, names: Iterable[str]) -> str:
    """A question that names what was probably meant, or nothing."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f" (did you mean {close[0]}?)" if close else ""
