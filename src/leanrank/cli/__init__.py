"""The command line: ``leanrank recover``, ``complete``, ``fit``, ``predict``, ``recommend``,
``explain``, ``demo`` and ``reproduce``.

Data goes to standard output, and everything else with it, unless the data needs it for itself:
then words go to standard error; both are in UTF-8. Exit codes of ``recover``, ``complete`` and
``fit``: 0 where the certificate holds or unseen entries are predicted, 1 where not or the run was
stopped (results are written all the same). The others exit with 0 where they did what they are for.
Of all: 2 for bad input, and for output that cannot be written; 130 after Ctrl-C; 141 where the
reader of standard output has left; 3 after a traceback, which is a fault of leanrank.
"""

from leanrank.cli._commands import app, main

__all__ = ["app", "main"]
