"""``leanrank predict`` and ``leanrank recommend``: what a model of ``leanrank fit`` says."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import leanrank
from leanrank import io
from leanrank.cli._options import (
    Delimiter,
    Header,
    Level,
    PairColumns,
    Quiet,
    check_level,
    columns_of,
    delimiter_of,
)
from leanrank.cli._terminal import Terminal, bad_input

__all__ = ["predict", "recommend"]

Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL", show_default=False, help="What `leanrank fit --out` wrote."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Write a line for each (.csv, .tsv, .parquet). Without it they go to standard output, "
        "as .csv.",
        metavar="FILE",
    ),
]


def predict(
    model: Model,
    pairs: Annotated[
        str,
        typer.Argument(
            metavar="PAIRS",
            show_default=False,
            help="A list of pairs, one on each line, in a file as `leanrank fit` takes; - is "
            "standard input.",
        ),
    ],
    out: Out = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="With the ends low and high of an interval.")
    ] = False,
    level: Level = 0.95,
    columns: PairColumns = None,
    header: Header = None,
    delimiter: Delimiter = None,
    quiet: Quiet = False,
) -> None:
    """Predict the values of pairs of row and column, one on each line.

    Rows and columns that the model has not seen count as typical ones, and are counted.
    """
    terminal = Terminal(json=False, quiet=quiet, pipes_data=out is None, outputs=(out,))
    with terminal.errors(), bad_input():
        check_level(level)
        _check(terminal, model, pairs, out)
        fitted = leanrank.MatrixFactorization.load(model)
        asked = io.read_labels(
            pairs,
            2,
            columns_of(columns),
            header=header,
            delimiter=delimiter_of(delimiter),
            usual=fitted.column_names_,
        )
        labels = asked[0].like(fitted.users_), asked[1].like(fitted.items_)
        table = {column.name: column.values for column in asked}
        if len({*table, "prediction", "low", "high"}) < 5:
            raise io.FileError(
                f"{pairs}: its columns {asked[0].name}, {asked[1].name} cannot be told from those "
                "that are written beside them: prediction, low, high"
            )
        _say_unknown(terminal, asked[0], fitted.users_)
        _say_unknown(terminal, asked[1], fitted.items_)
        with _known_to_be_unknown():
            table["prediction"] = fitted.predict(*labels)
            if intervals:
                table["low"], table["high"] = fitted.predict_interval(*labels, level=level)
        _write(terminal, out, table, f"{len(labels[0])} predictions")


def recommend(
    model: Model,
    users: Annotated[
        str | None,
        typer.Option(
            help="Whom to recommend for: a file with a label on each line. By default all rows of "
            "the model.",
            metavar="FILE",
        ),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(
            help="The same, by their labels. Can be given several times.", metavar="LABEL"
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many columns for each row.")] = 10,
    out: Out = None,
    seen: Annotated[
        bool, typer.Option("--include-seen", help="Also columns that the row has entries in.")
    ] = False,
    columns: PairColumns = None,
    header: Header = None,
    delimiter: Delimiter = None,
    quiet: Quiet = False,
) -> None:
    """List the best columns for each row: the best items for each user.

    Rows that the model has not seen get what is best on average.
    """
    terminal = Terminal(json=False, quiet=quiet, pipes_data=out is None, outputs=(out,))
    with terminal.errors(), bad_input():
        _check(terminal, model, users, out)
        if users is not None and user:
            raise ValueError("--user and --users both say whom to recommend for: give one of them")
        fitted = leanrank.MatrixFactorization.load(model)
        asked, column = fitted.users_, None
        if users is not None:
            (column,) = io.read_labels(
                users,
                1,
                columns_of(columns),
                header=header,
                delimiter=delimiter_of(delimiter),
                usual=fitted.column_names_,
            )
        elif user:
            labels, codes = np.unique(np.array(user, dtype=object), return_inverse=True)
            column = io.LabelColumn(fitted.column_names_[0], codes, labels)
        if column is not None:
            asked = column.like(fitted.users_)
            _say_unknown(terminal, column, fitted.users_)
        with _known_to_be_unknown():
            ranking = _ranking(model, fitted, asked, top, seen)
        table = ranking.to_dict()
        if column is not None:  # as they came, those that are not known, too
            table |= {ranking.names[0]: column.values[ranking.places]}
        _write(terminal, out, table, f"{ranking.scores.size} recommendations")


def _ranking(
    path: Path, model: leanrank.MatrixFactorization, asked: np.ndarray, top: int, seen: bool
) -> Any:
    try:
        return model.recommend(asked, top, exclude_seen=not seen)
    except ValueError as error:
        if "exclude_seen" not in str(error):
            raise
        raise io.FileError(
            f"{path}: holds no entries, as after --memory-limit, so that it cannot be told which "
            "ones to leave out: say --include-seen"
        ) from None


def _check(terminal: Terminal, model: Path, given: str | None, out: Path | None) -> None:
    """Refuse what cannot be read or written."""
    io.check_readable(model)
    source = None if given in (None, "-") else Path(str(given))
    terminal.check_outputs(source, (out, ()))
    if out is not None:
        io.check_columns_format(out)


def _say_unknown(terminal: Terminal, column: io.LabelColumn, known: np.ndarray) -> None:
    """Say how many lines have a label that the model does not know."""
    unknown = column.unknown(known)
    lines = int(np.count_nonzero(unknown[column.codes]))
    if lines:
        terminal.say(
            f"Note: {lines} of {column.codes.size} lines have a {column.name} that the model has "
            f"not seen, such as '{column.labels[unknown][0]}': a typical one stands for it"
        )


@contextmanager
def _known_to_be_unknown() -> Iterator[None]:
    """No warning of what was said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", leanrank.UnknownLabelWarning)
        yield


def _write(
    terminal: Terminal, out: Path | None, table: Mapping[str, np.ndarray], what: str
) -> None:
    if out is not None:
        io.write_columns(out, table)
        terminal.wrote(what, out)
    else:
        io.write_csv(sys.stdout, table)
