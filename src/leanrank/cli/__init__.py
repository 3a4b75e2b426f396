"""The command line: ``leanrank recover``, ``complete``, ``fit``, ``predict`` and others."""

from leanrank.cli._commands import app, main

__all__ = ["app", "main"]
