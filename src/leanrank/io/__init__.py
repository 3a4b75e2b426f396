"""Files in and out: problems, matrices with missing entries, results. Nothing is ever pickled."""

from leanrank._files import FileError, check_readable, check_writable, is_standard_output, is_stream
from leanrank.io._incomplete import IncompleteMatrix
from leanrank.io._matrices import (
    check_dense,
    check_matrix_format,
    read_matrix,
    write_matrix,
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
from leanrank.io._tables import Passed, Table, number_text, write_table

__all__ = [
    "FileError",
    "IncompleteMatrix",
    "Passed",
    "ProblemFile",
    "Ratings",
    "Table",
    "check_dense",
    "check_matrix_format",
    "check_readable",
    "check_writable",
    "dump_summary",
    "is_standard_output",
    "is_stream",
    "load_checkpoint",
    "load_factors",
    "load_posterior",
    "load_result",
    "number_text",
    "plain_values",
    "read_matrix",
    "read_problem",
    "read_ratings",
    "save_factors",
    "save_posterior",
    "save_result",
    "save_summary",
    "summary",
    "write_matrix",
    "write_table",
]
