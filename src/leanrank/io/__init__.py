"""Files in and out: problems, matrices with missing entries, results. Nothing is ever pickled."""

from leanrank._files import FileError, check_readable, check_writable, is_standard_output, is_stream
from leanrank.io._incomplete import IncompleteMatrix
from leanrank.io._matrices import (
    check_dense,
    check_matrix_format,
    read_matrix,
    write_matrix,
)
from leanrank.io._pairs import (
    LabelColumn,
    check_columns_format,
    read_labels,
    write_columns,
    write_csv,
)
from leanrank.io._posteriors import load_posterior, save_posterior
from leanrank.io._problems import ProblemFile, read_problem
from leanrank.io._ratings import Ratings, read_ratings
from leanrank.io._results import (
    dump_summary,
    load_checkpoint,
    load_factors,
    load_result,
    plain_values,
    save_factors,
    save_result,
    save_summary,
    summary,
)
from leanrank.io._stored import StoredEntries, open_stored, stored_entries
from leanrank.io._tables import Passed, Table, listed, number_text, write_table

__all__ = [
    "FileError",
    "IncompleteMatrix",
    "LabelColumn",
    "Passed",
    "ProblemFile",
    "Ratings",
    "StoredEntries",
    "Table",
    "check_columns_format",
    "check_dense",
    "check_matrix_format",
    "check_readable",
    "check_writable",
    "dump_summary",
    "is_standard_output",
    "is_stream",
    "listed",
    "load_checkpoint",
    "load_factors",
    "load_posterior",
    "load_result",
    "number_text",
    "open_stored",
    "plain_values",
    "read_labels",
    "read_matrix",
    "read_problem",
    "read_ratings",
    "save_factors",
    "save_posterior",
    "save_result",
    "save_summary",
    "stored_entries",
    "summary",
    "write_columns",
    "write_csv",
    "write_matrix",
    "write_table",
]
