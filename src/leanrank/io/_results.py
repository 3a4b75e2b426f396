"""Results on disk: factors, a summary for machines, and all of it for another day."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import IO, Any

import numpy as np

from leanrank._arrays import to_numpy
from leanrank._files import FileError, PathLike, replacing
from leanrank._npz import Headers, read_arrays, write_arrays
from leanrank.callbacks import factor_arrays
from leanrank.evidence import Certificate, Prediction
from leanrank.factors import Factors
from leanrank.io._posteriors import posterior_arrays, posterior_of
from leanrank.policy import EvidencePolicy, Policy
from leanrank.posterior import Posterior
from leanrank.results import History, Record, Result, Status
from leanrank.search import SavedRun

__all__ = [
    "dump_summary",
    "load_checkpoint",
    "load_factors",
    "load_result",
    "plain_values",
    "save_factors",
    "save_result",
    "save_summary",
    "summary",
]

_NORMS = "column_norms: "
_HISTORY = "history: "
_POLICY = "policy"


def summary(result: Result, **more: Any) -> dict[str, Any]:
    """A result in plain values that JSON knows, without factors and history.

    Numbers that are infinite or NaN become the strings "inf", "-inf" and "nan".

    Parameters
    ----------
    result : Result
    **more
        Further entries, such as seed and parameters.

    Examples
    --------
    >>> import leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> summary(lr.recover(inst.op, inst.y), seed=0)["rank"]
    2
    """
    plain = {
        "leanrank": version("leanrank"),
        "status": result.status.value,
        "success": result.success,
        "message": result.message,
        "rank": result.rank,
        "shape": result.factors.shape,
        "symmetric": result.factors.symmetric,
        "singular_values": to_numpy(result.factors.singular_values()),
        "passes": result.history.passes,
        "iterations": result.n_iter,
        "certificate": None
        if result.certificate is None
        else dataclasses.asdict(result.certificate),
    }
    return {key: plain_values(value) for key, value in (plain | more).items()}


def plain_values(value: Any) -> Any:
    """Arrays, tuples and NumPy numbers as what JSON knows; "inf", "-inf", "nan" as strings."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def save_summary(path: PathLike, values: Mapping[str, Any]) -> None:
    """Write what :func:`summary` returns as JSON, whole or not at all."""
    with replacing(path, "w") as file:
        dump_summary(file, values)


def dump_summary(file: IO[str], values: Mapping[str, Any]) -> None:
    """Write what :func:`summary` returns as JSON to an open file."""
    json.dump(values, file, indent=2, allow_nan=False)
    file.write("\n")


def save_factors(path: PathLike, factors: Factors) -> None:
    """Write factors to an ``.npz`` with arrays U and V (U alone if symmetric).

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    write_arrays(path, factor_arrays(factors))


def load_factors(path: PathLike) -> Factors:
    """Factors from a file of :func:`save_factors`, :func:`save_result` or a Checkpoint.

    Raises
    ------
    FileError
        If the file cannot be read or does not hold finite factors.
    """
    return _factors(read_arrays(path, lambda headers: _check_factors(headers, path)), path)


def load_checkpoint(path: PathLike) -> SavedRun:
    """A run that a :class:`~leanrank.callbacks.Checkpoint` saved, for ``recover(start=...)``.

    Raises
    ------
    FileError
        If the file cannot be read or is no checkpoint.
    """
    arrays = read_arrays(path)
    try:
        return SavedRun.from_arrays(arrays)
    except (KeyError, ValueError, TypeError) as error:
        raise FileError(f"{path}: is not a checkpoint of a run ({error})") from None


def save_result(path: PathLike, result: Result, **more: Any) -> None:
    """Write a result to an ``.npz`` without pickle: factors, history, policy, a summary, and so on.

    Its posterior is written along if it has been asked for before.

    Parameters
    ----------
    path : path
    result : Result
    **more
        Further entries of the summary, such as seed and parameters.

    Raises
    ------
    FileError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile, pathlib, leanrank as lr
    >>> inst = lr.simulate.matrix_completion((30, 20), 2, oversampling=3, random_state=0)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "result.npz"
    >>> save_result(path, lr.recover(inst.op, inst.y))
    >>> load_result(path)
    Result(rank=2, status=CONVERGED, Factors(U V^T, shape=(30, 20), width=2))
    """
    certificate = result.certificate
    about = {"status": result.status.value, "message": result.message}
    arrays: dict[str, Any] = factor_arrays(result.factors)
    arrays["singular_values"] = to_numpy(result.factors.singular_values())
    arrays["result"] = np.array(json.dumps(about))
    # Here infinite numbers are kept, which JSON for others has no word for.
    arrays["certificate"] = np.array(
        json.dumps(None if certificate is None else dataclasses.asdict(certificate), default=float)
    )
    policy = result.policy
    arrays[_POLICY] = np.array(json.dumps(None if policy is None else dataclasses.asdict(policy)))
    arrays["summary"] = np.array(json.dumps(summary(result, **more)))
    for field in dataclasses.fields(Record):
        arrays[_HISTORY + field.name] = np.array(
            result.history.column(field.name), dtype=_DTYPES[str(field.type)]
        )
    for moment, norms in result.column_norms.items():
        arrays[_NORMS + moment] = to_numpy(norms)
    if "posterior" in vars(result):  # drawn already
        arrays |= posterior_arrays(result.posterior)
    write_arrays(path, arrays)


_DTYPES: dict[str, Any] = {"str": np.str_, "int": np.int64, "float": np.float64}


def load_result(path: PathLike) -> Result:
    """A result from a file of :func:`save_result`.

    Its ``policy`` is None where the file has none, as those of early versions; numbers that a
    policy in the file lacks are those of :class:`~leanrank.Policy`.

    Raises
    ------
    FileError
        If the file cannot be read or holds something else, or a policy with numbers that this
        version does not know.
    """
    arrays = read_arrays(path, lambda headers: _check_factors(headers, path))
    factors = _factors(arrays, path)
    try:
        about = json.loads(str(arrays["result"]))
        values = json.loads(str(arrays["certificate"]))
        columns = [_column(arrays, field) for field in dataclasses.fields(Record)]
        records = [Record(*line) for line in zip(*columns, strict=True)]
        certificate = None
        if values is not None:
            certificate = _certificate(values)
        policy = _policy(json.loads(str(arrays.get(_POLICY, "null"))))
        posterior = posterior_of(arrays)
        return Result(
            factors,
            Status(about["status"]),
            str(about["message"]),
            certificate,
            History(records),
            {
                name.removeprefix(_NORMS): norms
                for name, norms in arrays.items()
                if name.startswith(_NORMS) and norms.dtype.kind == "f"
            },
            policy,
            sampler=None if posterior is None else _Loaded(posterior),
        )
    except _UnknownNumbersError as error:
        raise FileError(f"{path}: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(
            f"{path}: holds factors, but not a whole result of save_result ({error})"
        ) from None


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """Gives a posterior that was read."""

    posterior: Posterior

    def __call__(self) -> Posterior:
        return self.posterior


def _column(arrays: dict[str, np.ndarray], field: dataclasses.Field[Any]) -> list[Any]:
    """The values of one field of all records."""
    column = arrays[_HISTORY + field.name]
    if column.dtype.kind != np.dtype(_DTYPES[str(field.type)]).kind or column.ndim != 1:
        raise TypeError(f"'{_HISTORY}{field.name}' is {column.dtype} of shape {column.shape}")
    return list(column.tolist())


def _certificate(values: dict[str, Any]) -> Certificate:
    """A certificate from what JSON knows: numbers, and lists of sentences."""
    prediction = values.pop("prediction", None)
    if prediction is not None:
        prediction = Prediction(**prediction)
    for name, value in values.items():
        if not isinstance(value, bool | int | float | list | None):
            raise TypeError(f"'{name}' of the certificate is {value!r}")
    return Certificate(**_with_tuples(values), prediction=prediction)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Values of JSON, with tuples for lists."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


class _UnknownNumbersError(Exception):
    """A policy of a newer version."""


def _policy(values: dict[str, Any] | None) -> Policy | None:
    """A policy from what JSON knows: numbers, lists of them, and a policy within."""
    if values is None:
        return None
    evidence = values.pop("evidence", {})
    for kind, given in ((Policy, values), (EvidencePolicy, evidence)):
        unknown = sorted(set(given) - {field.name for field in dataclasses.fields(kind)})
        if unknown:
            raise _UnknownNumbersError(
                f"holds a {kind.__name__} of another version of leanrank than "
                f"{version('leanrank')}, which does not know {', '.join(unknown)}"
            )
    return Policy(**_with_tuples(values), evidence=EvidencePolicy(**evidence))


def _check_factors(headers: Headers, path: PathLike) -> None:
    """Refuse what are no factors before their values take memory."""
    if "U" not in headers:
        found = ", ".join(sorted(headers)) or "none"
        raise FileError(f"{path}: has no array U, so no factors; found {found}")
    for name in {"U", "V"} & set(headers):
        if headers[name].ndim != 2:
            raise FileError(
                f"{path}: array '{name}' must have 2 dimensions, got shape {headers[name].shape}"
            )


def _factors(arrays: dict[str, np.ndarray], path: PathLike) -> Factors:
    try:
        factors = Factors(arrays["U"], arrays.get("V"))
    except (ValueError, TypeError) as error:
        raise FileError(f"{path}: {error}") from None
    if not np.isfinite(factors.W).all():
        raise FileError(f"{path}: the factors hold NaN or infinite values")
    return factors
