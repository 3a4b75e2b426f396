"""What type checkers of users see."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import leanrank

_SCRIPT = """
import numpy as np
import numpy.typing as npt
import leanrank as lr

rng = np.random.default_rng(0)
table = rng.standard_normal((30, 2)) @ rng.standard_normal((2, 20))
rows, cols = np.nonzero(rng.random(table.shape) < 0.5)
op = lr.operators.ObservedEntries(rows, cols, (30, 20))
few = lr.operators.ObservedEntries([0, 1], [1, 0], (2, 2))
result = lr.recover(op, table[rows, cols].tolist(), time_limit=60.0)
problem = lr.Problem(few, [1.0, 2.0])
X: npt.NDArray[np.float64] = result.factors.to_dense()

reveal_type(result.factors.U)
reveal_type(result.factors.V)
reveal_type(result.factors.W)
reveal_type(result.factors.to_dense())
reveal_type(result.factors.entries([0], [1]))
reveal_type(result.factors.singular_values())
reveal_type(result.factors.column_norms())
reveal_type(op.forward(result.factors))
reveal_type(lr.simulate.dense_sensing(4, 1).y)
reveal_type(lr.LowRankImputer().fit_transform(table))
reveal_type(lr.LowRankImputer().fit(table).transform(table))
reveal_type(lr.QuadraticNetworkRegressor().fit(table, X[:, 0]).predict(table))
reveal_type(lr.DeepLinearCompletion().fit_transform(table))
reveal_type(lr.MatrixFactorization().fit(rows, cols, problem.y).predict(rows, cols))
reveal_type(problem.y)
result.rank.bit_length()
result.factors.to_dens()
"""


def test_script_of_a_user_under_mypy_strict(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    config = tmp_path / "mypy.ini"
    source = Path(leanrank.__file__).parents[1]
    config.write_text(
        f"[mypy]\nstrict = True\nmypy_path = {source}\nfollow_imports = silent\n"
        "cache_dir = .mypy_cache\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(config), str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    lines = done.stdout.splitlines()
    revealed = [line for line in lines if "Revealed type" in line]
    assert len(revealed) == _SCRIPT.count("reveal_type")
    assert all("numpy.ndarray[" in line for line in revealed), done.stdout
    # Nothing else is complained of but the slip of the pen in the last line.
    errors = [line for line in lines if "error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert "to_dens" in errors[0]


def test_package_says_that_it_is_typed() -> None:
    assert (files("leanrank") / "py.typed").is_file()
