"""What the tests of the command line share."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from leanrank.cli import app


@pytest.fixture(scope="session")
def run():
    """Runs a command, which has to end with an exit code and without a traceback."""

    def run(*arguments, code=0, stdin=None):
        outcome = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        assert outcome.exit_code == code, outcome.output
        assert "Traceback" not in outcome.output
        return outcome

    return run
