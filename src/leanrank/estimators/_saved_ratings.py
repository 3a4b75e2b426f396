"""A fit of ratings on disk: plain arrays and a line of JSON, without pickle."""

from __future__ import annotations

import json
import numbers
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from leanrank._files import FileError, PathLike
from leanrank._labels import Labels
from leanrank._npz import read_arrays, write_arrays
from leanrank.estimators._ranking import names_for
from leanrank.estimators._rating_model import RatingModel, Side
from leanrank.evidence import Prediction
from leanrank.posterior import Entries, Layout
from leanrank.results import Status

__all__ = ["SavedFit", "load_fit", "save_fit"]

_VERSION = 1
_ABOUT = "matrix_factorization"
_MEANINGLESS = (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError)
"""What is raised on the way by arrays and words that are no model."""


@dataclass(frozen=True)
class SavedFit:
    """What a file holds.

    Attributes
    ----------
    model : RatingModel
    entries : Entries or None
    parameters : dict
        Of the estimator.
    told : dict
        Attributes that say how the fit went.
    """

    model: RatingModel
    entries: Entries | None
    parameters: dict[str, Any]
    told: dict[str, Any]


def save_fit(path: PathLike, fit: SavedFit) -> None:
    """Write what a fit came to, whole or not at all.

    Raises
    ------
    FileError
        If the file cannot be written.
    TypeError
        If labels are neither numbers nor strings.
    """
    model, told = fit.model, dict(fit.told)
    told |= {"status_": told["status_"].value, "certificate_": asdict(told["certificate_"])}
    about = {
        "version": _VERSION,
        "layout": asdict(model.layout),
        "intercepts": model.intercepts,
        "noise": model.noise,
        "unit": model.unit,
        "parameters": {k: v for k, v in fit.parameters.items() if _is_plain(v)},
        "told": told,
    }
    arrays = {_ABOUT: np.array(json.dumps(about)), "variances": model.variances}
    arrays |= {"scores": model.scores}
    for name, side in (("users", model.users), ("items", model.items)):
        arrays |= {f"{name}: mean": side.mean, f"{name}: variance": side.variance}
        arrays |= _label_arrays(name, side.labels)
    if fit.entries is not None:
        e = fit.entries
        arrays |= {"seen: indptr": e.indptr, "seen: cols": e.cols, "seen: ratings": e.y}
        arrays |= {"seen: weights": e.weights}
    write_arrays(path, arrays)


def load_fit(path: PathLike) -> SavedFit:
    """What a file of :func:`save_fit` holds.

    Raises
    ------
    FileError
        If the file cannot be read, or holds something else.
    """
    arrays = read_arrays(path)
    if _ABOUT not in arrays:
        raise FileError(f"{path}: is no file of MatrixFactorization.save")
    try:
        about = json.loads(str(arrays[_ABOUT]))
        version = about["version"]
        if version == _VERSION:
            return _fit_of(about, arrays)
    except _MEANINGLESS as error:
        raise FileError(f"{path}: does not hold a whole model ({error})") from None
    raise FileError(
        f"{path}: was saved by a newer version of leanrank, in format {version!r:.20}; this one "
        f"reads format {_VERSION}"
    )


def _fit_of(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> SavedFit:
    layout = Layout(**about["layout"])
    if layout.width < 0 or not all(isinstance(x, int) for x in asdict(layout).values()):
        raise ValueError(f"layout {layout}")
    users, items = (_side(name, layout.size, arrays) for name in ("users", "items"))
    variances, scores = _floats(arrays, "variances", (layout.width,)), arrays["scores"]
    scores = _floats(arrays, "scores", scores.shape[:1])
    noise, unit = float(about["noise"]), float(about["unit"])
    intercepts = tuple(map(float, about["intercepts"]))
    positive = (noise, unit, *intercepts[:2], *variances)
    if len(intercepts) != 3 or not np.isfinite(intercepts).all() or not min(positive) > 0:
        raise ValueError("variances that are not positive")
    model = RatingModel(users, items, layout, variances, intercepts, noise, unit, np.sort(scores))
    told = dict(about["told"])
    told["status_"] = Status(told["status_"])
    told["certificate_"] = Prediction(**told["certificate_"])
    told["notes_"] = tuple(map(str, told["notes_"]))
    # Files of before these were kept have none.
    told["column_names_"] = names_for(told.get("column_names_", ()))
    shape = users.labels.size, items.labels.size
    entries = _entries(arrays, shape) if "seen: indptr" in arrays else None
    return SavedFit(model, entries, dict(about["parameters"]), told)


def _side(name: str, k: int, arrays: dict[str, np.ndarray]) -> Side:
    labels = _labels_of(name, arrays)
    mean = _floats(arrays, f"{name}: mean", (labels.size, k))
    variance = _floats(arrays, f"{name}: variance", (labels.size, k))
    if not labels.size or (variance < 0).any():
        raise ValueError(f"{name} without entries or with negative variances")
    return Side(labels, mean, variance)


def _floats(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of finite numbers of this shape."""
    array = arrays[name]
    if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
        raise ValueError(f"{name!r} is {array.dtype} of shape {array.shape}, or not finite")
    return array


def _entries(arrays: dict[str, np.ndarray], shape: tuple[int, int]) -> Entries:
    indptr, cols = arrays["seen: indptr"], arrays["seen: cols"]
    for name, array in (("indptr", indptr), ("cols", cols)):
        if array.ndim != 1 or array.dtype.kind != "i":
            raise ValueError(f"'seen: {name}' is {array.dtype} of shape {array.shape}")
    whole = indptr.size == shape[0] + 1 and indptr[0] == 0 and indptr[-1] == cols.size
    if not whole or (np.diff(indptr) < 0).any():
        raise ValueError("'seen: indptr' does not divide the entries into rows")
    if cols.size and not 0 <= cols.min() <= cols.max() < shape[1]:
        raise ValueError("'seen: cols' has columns that are not there")
    y = _floats(arrays, "seen: ratings", cols.shape)
    weights = arrays["seen: weights"]
    if weights.size:
        weights = _floats(arrays, "seen: weights", cols.shape)
        if not (weights > 0).all():
            raise ValueError("'seen: weights' are not positive")
    return Entries(indptr.astype(np.int64), cols.astype(np.int32), y, weights, shape)


def _label_arrays(name: str, labels: Labels) -> dict[str, np.ndarray]:
    """Numbers as they are, strings as UTF-8 with the place where each ends."""
    if labels.values.dtype.kind in "if":
        return {name: labels.values}
    if labels.kind != "str":
        raise TypeError(
            f"{name} cannot be saved: a file holds labels that are numbers of at most 64 bits or "
            f"strings, got {labels.kind}; make strings of them before fit, such as "
            f"[str(x) for x in {name}]"
        )
    encoded = [str(x).encode("utf-8", "surrogatepass") for x in labels.values]
    ends = np.cumsum([len(x) for x in encoded], dtype=np.int64)
    return {
        f"{name}: utf-8": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}: ends": ends,
    }


def _labels_of(name: str, arrays: dict[str, np.ndarray]) -> Labels:
    """Distinct labels."""
    if name in arrays:
        values = arrays[name]
        kinds = (np.int64, np.float64)
        if values.ndim != 1 or values.dtype not in kinds or np.isnan(values).any():
            raise ValueError(f"{name!r} is {values.dtype} of shape {values.shape}")
        labels = Labels(values, "number")
    else:
        text, ends = arrays[f"{name}: utf-8"], arrays[f"{name}: ends"]
        if text.ndim != 1 or text.dtype != np.uint8 or ends.ndim != 1 or ends.dtype != np.int64:
            raise ValueError(f"{name!r} is {text.dtype} and {ends.dtype}")
        starts = np.concatenate([[0], ends[:-1]])
        if (ends < starts).any() or (ends.size and ends[-1] != text.size):
            raise ValueError(f"'{name}: ends' does not divide the text")
        whole = text.tobytes()
        split = [
            whole[a:b].decode("utf-8", "surrogatepass")
            for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        labels = Labels(np.fromiter(split, object, len(split)), "str")
    if len(set(labels.values.tolist())) != labels.size:
        raise ValueError(f"{name!r} holds a label twice")
    return labels


def _is_plain(value: Any) -> bool:
    """Whether JSON can keep a parameter; seeds that have run on, and callbacks, it cannot."""
    return value is None or isinstance(value, str | bool | numbers.Real)
