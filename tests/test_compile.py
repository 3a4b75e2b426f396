"""The cache of kernels: used where it can be, never a reason to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import leanrank
from leanrank._compile import _SealedFile

_RECOVER = """
import numpy as np
import leanrank as lr
from leanrank.operators._kernels import entries_forward
rng = np.random.default_rng(0)
X = np.outer(rng.standard_normal(12), rng.standard_normal(9))
rows, cols = np.nonzero(rng.random(X.shape) < 0.7)
result = lr.recover(lr.operators.ObservedEntries(rows, cols, X.shape), X[rows, cols])
assert result.rank == 1 and np.allclose(result.factors.to_dense(), X)
print(lr.__file__)
print(entries_forward.stats.cache_path)
"""

_FIRST_USES = """
import numpy as np
from numba.core import event
import leanrank as lr
from leanrank.research.deep import annealing, initial_layers, train
from leanrank.research.solvers import descend_batch
packed = lr.simulate.dense_sensing(6, 1, symmetric=True, random_state=0)
seen = lr.simulate.matrix_completion((6, 5), 1, random_state=0)
with event.install_recorder("numba:compile") as recorder:
    lr.recover(packed.op, packed.y, symmetric=True, max_iter=2)
    lr.recover(seen.op, seen.y, max_iter=2)
    train(lr.Problem(seen.op, seen.y), initial_layers((6, 5), 3, 4, random_state=0), annealing(100))
    states = descend_batch(
        [lr.Problem(packed.op, packed.y)], [packed.truth], step_size=0.1, stride=1
    )
    next(states), next(states)
for name in sorted({e.data["dispatcher"].py_func.__module__ for _, e in recorder.buffer}):
    print(name)
"""


def _run(code: str, **environment: str) -> list[str]:
    """Lines that the code prints in a process of its own, in which warnings are errors."""
    left_out = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_recover_where_nothing_can_be_written(tmp_path: Path) -> None:
    # A file in the place of a folder stops root, too, whom no permission stops.
    package = tmp_path / "leanrank"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(leanrank.__file__).parent, package, ignore=ignored)
    for folder in {file.parent for file in package.rglob("*.py")}:
        (folder / "__pycache__").touch()
    printed = _run(_RECOVER, PYTHONPATH=str(tmp_path), HOME=os.devnull + "/home")
    assert printed == [str(package / "__init__.py"), "None"]


def test_kernels_compile_no_text(tmp_path: Path) -> None:
    # For some moves of whole arrays Numba compiles a sentence about shapes, which takes longer
    # than all of our kernels together.
    source = str(Path(leanrank.__file__).parents[1])
    modules = _run(_FIRST_USES, PYTHONPATH=source, NUMBA_CACHE_DIR=str(tmp_path))
    kernels = ("operators._kernels", "research.deep._kernels", "research.solvers._many_problems")
    assert {f"leanrank.{kernel}" for kernel in kernels} <= set(modules)
    assert "numba.cpython.unicode" not in modules


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Any]:
    """The same kernel as each new process finds it."""
    source = tmp_path / "kernel.py"
    source.write_text(
        "from leanrank._compile import compiled\n"
        "@compiled(fastmath=False)\n"
        "def ratio(a, b):\n"
        "    return a / b\n"
    )

    def load() -> Any:
        spec = spec_from_file_location("kernel", source)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.ratio

    return load


def hits(kernel: Any) -> int:
    return sum(kernel.stats.cache_hits.values())


def test_second_process_loads_what_the_first_compiled(fresh: Callable[[], Any]) -> None:
    first, second = fresh(), fresh()
    assert first(1.0, 4.0) == second(1.0, 4.0) == 0.25
    assert (hits(first), hits(second)) == (0, 1)


def test_division_is_that_of_numpy(fresh: Callable[[], Any]) -> None:
    assert fresh()(1.0, 0.0) == float("inf")


@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_cache_is_replaced(
    fresh: Callable[[], Any], tmp_path: Path, kind: str, damage: str
) -> None:
    fresh()(1.0, 4.0)
    (file,) = tmp_path.rglob(kind)
    content = file.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    file.write_bytes({"cut": content[:middle], "flipped": flipped, "empty": b""}[damage])
    again, after = fresh(), fresh()
    assert again(1.0, 4.0) == after(1.0, 4.0) == 0.25
    assert (hits(again), hits(after)) == (0, 1)


def test_processes_that_compile_at_once_do_not_mix_up_their_code(
    fresh: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    save = _SealedFile._save_data

    def interrupted(self: Any, name: str, data: Any) -> None:
        monkeypatch.setattr(_SealedFile, "_save_data", save)
        with monkeypatch.context() as stale:  # another had looked before anything was there
            stale.setattr(_SealedFile, "_load_index", lambda self: {})
            assert fresh()(1, 4) == 0.25
        save(self, name, data)

    monkeypatch.setattr(_SealedFile, "_save_data", interrupted)
    assert fresh()(1.0, 4.0) == 0.25
    for a, b in ((1.0, 4.0), (1, 4)):
        later = fresh()
        assert later(a, b) == 0.25
        assert hits(later) == 1


def test_folder_that_goes_away_costs_only_the_cache(
    fresh: Callable[[], Any], tmp_path: Path
) -> None:
    kernel = fresh()
    shutil.rmtree(tmp_path / "__pycache__")
    (tmp_path / "__pycache__").touch()
    assert kernel(1.0, 4.0) == 0.25
    assert hits(kernel) == 0
