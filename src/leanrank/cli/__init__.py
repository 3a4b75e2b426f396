"""The command line: ``leanrank recover``, ``leanrank complete``, ``leanrank demo``,
``leanrank reproduce``.

Data goes to standard output, and everything else with it, unless the data needs it for itself:
then words go to standard error; both are in UTF-8. Exit codes of ``recover`` and ``complete``: 0
where the certificate holds, 1 where it does not or the run was stopped (results are written all
the same). ``demo`` and ``reproduce`` exit with 0 where they did what they are for. Of all: 2 for
bad input, and for output that cannot be written; 130 after Ctrl-C; 141 where the reader of
standard output has left; 3 after a traceback, which is a fault of leanrank.
"""

from leanrank.cli._commands import app, main

__all__ = ["app", "main"]
