"""The package as a namespace: what dir shows, what __all__ promises, what has moved."""

from __future__ import annotations

import ast
import inspect
import os
import pkgutil
import rlcompleter
import subprocess
import sys
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

import leanrank as lr
from leanrank.research.experiments import Experiment

ROOT = Path(lr.__file__).parent
MODULES = ["leanrank"] + [
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "leanrank.")
    if not module.name.endswith("__main__")  # importing it runs the command line
]


def tree(module: str) -> ast.Module:
    return ast.parse(Path(import_module(module).__file__).read_text("utf-8"))


def documented_constants(body: list[ast.stmt]) -> set[str]:
    """Names whose assignment, or a run of assignments, is followed by a string of its own."""
    found, waiting = set(), []
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            waiting += [target.id for target in targets if isinstance(target, ast.Name)]
        else:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            found |= set(waiting) if text else set()
            waiting = []
    return found


def test_the_version_to_cite_is_this_one():
    text = (Path(__file__).parent.parent / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {lr.__version__}\n" in text


def test_every_module_is_walked():
    assert {"leanrank.solvers", "leanrank.research.experiments.deep_fig1"} <= set(MODULES)
    assert len(MODULES) == len(list(ROOT.rglob("*.py"))) - 1


@pytest.mark.parametrize("name", MODULES)
def test_all_names_what_is_there(name):
    module = import_module(name)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for public in module.__all__:
        getattr(module, public)


CHANGING = {"Checkpoint", "FinishedFits", "Monitor"}
"""Parts of the core that are there to be written to."""


@pytest.mark.parametrize("room", ["search", "evidence", "solvers", "operators", "losses"])
def test_parts_of_the_core_are_frozen(room):
    found = set()
    for module in MODULES:
        for name, part in vars(import_module(module)).items():
            own = isinstance(part, type) and part.__module__.startswith(f"leanrank.{room}.")
            if own and is_dataclass(part):
                found.add(name)
                assert part.__dataclass_params__.frozen == (name not in CHANGING), name
    assert found


def test_what_is_public_is_documented():
    constants = set().union(*(documented_constants(tree(name).body) for name in MODULES))
    bare = []
    for name in (name for name in MODULES if "._" not in name):
        for public in import_module(name).__all__:
            value = getattr(import_module(name), public)
            own = inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)
            own |= isinstance(value, Experiment)  # its title and claim are part of it
            if not (value.__doc__ if own else public in constants):
                bare.append(f"{name}.{public}")
    assert not bare


def test_all_has_every_name_that_another_module_uses():
    missing = []
    for user in MODULES:
        for node in ast.walk(tree(user)):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("leanrank"):
                continue
            listed = {*import_module(node.module).__all__, *MODULES}
            missing += [
                f"{node.module}.{alias.name}, which {user} uses"
                for alias in node.names
                if not alias.name.startswith("_")
                and not {alias.name, f"{node.module}.{alias.name}"} & listed
            ]
    assert not missing


def test_dir_shows_the_public_names_and_no_others():
    assert dir(lr) == sorted(lr.__all__)
    code = "import leanrank as lr; print(*dir(lr)); [getattr(lr, name) for name in dir(lr)]"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT.parent)},
    )
    assert shown.stdout.split() == sorted(lr.__all__)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("lr.rec", {"lr.recover("}),
        ("lr.esti", {"lr.estimators"}),
        ("lr.research.d", {"lr.research.deep", "lr.research.diagnostics"}),
        ("lr.research.deep.tr", {"lr.research.deep.train("}),
        ("lr.operators.Obs", {"lr.operators.ObservedEntries("}),
    ],
)
def test_tab_completion(typed, expected):
    completer, found = rlcompleter.Completer({"lr": lr}), set()
    while (word := completer.complete(typed, len(found))) is not None:
        found.add(word)
    assert found == expected


OLD_SOLVERS = [
    "FreshGaussianDescent",
    "Perturbation",
    "PerturbedSensingDescent",
    "ProjectedGradientDescent",
    "RescaledGradientDescent",
    "StationaryPoint",
    "StochasticGradientDescent",
    "constant_perturbation",
    "descend_batch",
    "descend_together",
    "fresh_gaussian_average",
    "measurement_noise",
    "random_perturbation",
    "stationary_point",
    "tilting_perturbation",
    "unbalancing_perturbation",
]
OLD_MODULES = [
    "certificates",
    "deep",
    "deep_path",
    "diagnostics",
    "greedy",
    "papers",
    "path",
    "pipeline",
    "shrinkage",
    "theory",
    "validation",
]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("leanrank", name) for name in OLD_MODULES),
        *(("leanrank.solvers", name) for name in OLD_SOLVERS),
        ("leanrank.estimators", "DeepLinearCompletion"),
    ],
)
def test_a_name_that_moved_says_where_it_is(module, name):
    with pytest.raises(AttributeError, match=f"^{module}.{name} has moved: it is now ") as caught:
        getattr(import_module(module), name)
    place = str(caught.value).rpartition(" ")[2]
    home, _, last = place.rpartition(".")
    try:
        import_module(place)
    except ModuleNotFoundError:
        assert last in import_module(home).__all__
    assert name not in dir(import_module(module))


def test_other_names_are_as_unknown_as_ever():
    for module in (lr, lr.solvers, lr.estimators):
        with pytest.raises(AttributeError, match=rf"^module '{module.__name__}' has no .* 'sovle'"):
            _ = module.sovle
