"""The command line: ``leanrank recover``, ``leanrank complete``, ``leanrank demo``,
``leanrank reproduce``.

Data goes to standard output, and everything else with it, unless the data needs it for itself:
then words go to standard error. Exit codes of ``recover`` and ``complete``: 0 where the
certificate holds, 1 where it does not or the run was stopped (results are written all the same),
2 for bad input. ``demo`` and ``reproduce`` exit with 0 where they did what they are for.
"""

from leanrank.cli._commands import app, main

__all__ = ["app", "main"]
