"""How many deliberate faults the tests see: a seeded sample of mutants of each core room.

    python tools/mutation.py [ROOM ...] [--sample 60] [--seed 0]

A mutant is the library with one change by an operator of cosmic-ray: a number one more or less, one
arithmetic or comparison operator for another, a condition negated, a decorator removed. Places in
the code are drawn, then one of the changes that are possible there, so that an operator with many
replacements does not count for more than another. Left out is what is too easy or says nothing:
operators on bits in the place of arithmetic, which raise at once, annotations, and the bare star of
a signature.

Each mutant meets the tests that concern its module, its own first, until one fails. What takes four
times as long as all of them on sound code counts as killed, too. All of it happens in a copy: the
checkout is not touched. Mutants that no test can tell from the original stand in
``equivalent.toml``, each with the reason, and do not count.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain, islice
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

HERE = Path(__file__).resolve().parent
FROZEN = "tests/test_package.py::test_parts_of_the_core_are_frozen"
ROOMS = {
    "search": [FROZEN, "tests/test_recover.py"],
    "evidence": [FROZEN],
    "solvers": ["tests/test_callbacks.py", "tests/test_package.py"],
    "operators": [FROZEN, "tests/test_problem.py", "tests/test_testing.py"],
}
"""Rooms, and tests that concern them beside those of the same name."""
SLOW = {"tests/search/test_saved.py": {"saved.py"}}
"""Tests that only mutants of these modules meet."""
KINDS = [
    {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
    {"BitOr", "BitAnd", "BitXor"},
    {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"},
    {"Is", "IsNot", "In", "NotIn"},
    {"USub", "UAdd", "Not", "Invert", "Delete"},
]
"""Operators that may stand in for one another."""
PRELOADED = [
    "array_api_strict",
    "hypothesis",
    "numba",
    "pandas",
    "pytest",
    "scipy.optimize",
    "sklearn.utils.estimator_checks",
]

_ELSEWHERE = 3


@dataclass(frozen=True)
class Mutant:
    """One change in one file."""

    path: str
    line: int
    operator: str
    occurrence: int

    def code(self, source: str) -> str:
        """The whole file with the change."""
        changed = mutate_code(source, get_operator(self.operator)(), self.occurrence)
        if changed is None:
            raise ValueError(f"{self} is not possible")
        return changed

    def lines(self, source: str) -> tuple[str, str]:
        """What is changed, before and after."""
        old, new = source.splitlines(), self.code(source).splitlines()
        changes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        spans = [(old[a:b], new[c:d]) for kind, a, b, c, d in changes if kind != "equal"]
        before, after = (" ".join(chain.from_iterable(lines)) for lines in zip(*spans, strict=True))
        return " ".join(before.split()), " ".join(after.split())


def mutants(path: str, source: str) -> Iterator[tuple[tuple, Mutant]]:
    """All mutants of a file, each with its place: what is changed and from where to where."""
    tree, annotations, lines = get_ast(source), _annotations(source), source.splitlines()
    for name in operator_names():
        operator, replaced = get_operator(name), set(name.split("_")[1:])
        if operator.arguments() or not (len(replaced) < 2 or any(replaced <= k for k in KINDS)):
            continue
        positions = (p for node in ast_nodes(tree) for p in operator().mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            bare = lines[start[0] - 1][start[1] :].startswith("*,")  # of a signature
            if not bare and not any(begin <= start <= stop for begin, stop in annotations):
                place = (path, start, end, name.split("_")[0])
                yield place, Mutant(path, start[0], name, occurrence)


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    found = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if part is not None:
                start = (part.lineno, part.col_offset)
                found.append((start, (part.end_lineno, part.end_col_offset)))
    return found


def sample(root: Path, room: str, size: int, seed: int) -> list[Mutant]:
    """Mutants of a room, no two of them at one place."""
    places: dict[tuple, list[Mutant]] = {}
    for file in sorted((root / "src/leanrank" / room).glob("*.py")):
        path = file.relative_to(root).as_posix()
        for place, mutant in mutants(path, file.read_text(encoding="utf-8")):
            places.setdefault(place, []).append(mutant)
    rng = random.Random(f"{room} {seed}")
    chosen = (rng.choice(places[place]) for place in rng.sample(sorted(places), len(places)))
    return list(islice((mutant for mutant in chosen if _compiles(root, mutant)), size))


def _compiles(root: Path, mutant: Mutant) -> bool:
    """Not so where a star in a signature is taken for an operator."""
    try:
        compile(mutant.code((root / mutant.path).read_text(encoding="utf-8")), mutant.path, "exec")
    except (SyntaxError, SyntaxWarning):
        return False
    return True


def concerned(root: Path, room: str, path: str | None = None) -> list[list[str]]:
    """The tests that concern a module, or a whole room: its own, and then the others."""
    name = Path(path).name if path else ""
    own = f"tests/{room}/test_{name.lstrip('_')}"
    others = sorted(f.relative_to(root).as_posix() for f in (root / "tests" / room).glob("test_*"))
    others = [t for t in others if not path or name in SLOW.get(t, {name})]
    first = [path, own] if own in others else [path] if path else []
    return [first, [t for t in others if t != own] + ROOMS[room]]


def run_tests(root: str, parts: list[list[str]], log: str) -> None:
    """In a process of its own: it ends with 0 if all tests pass, with 1 if one fails."""
    import pytest

    os.chdir(root)
    with Path(log).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    options = ["-x", "-q", "-p", "no:cacheprovider"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # what is preloaded
    codes = (pytest.main([*options, *tests]) for tests in parts if tests)
    failed = any(code not in (0, 5) for code in codes)  # 5: a module without an example
    package = sys.modules.get("leanrank")
    if package is not None and not package.__file__.startswith(root):
        os._exit(_ELSEWHERE)
    os._exit(int(failed))


def outcome(root: Path, parts: list[list[str]], limit: float | None = None) -> str:
    """``survived``, ``killed`` or ``timeout``."""
    log = str(root / "mutation.log")
    process = multiprocessing.get_context("forkserver").Process(
        target=run_tests, args=(str(root), parts, log)
    )
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return "timeout"
    if process.exitcode == _ELSEWHERE:
        raise RuntimeError("the tests did not run on the copy, but on a package that is installed")
    return "survived" if process.exitcode == 0 else "killed"


def copied(into: str) -> Path:
    """The files of the checkout that git knows or would add, in a folder."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=HERE.parent, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (HERE.parent / name).is_file():
            (Path(into) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HERE.parent / name, Path(into) / name)
    return Path(into)


def meet(root: Path, mutant: Mutant, parts: list[list[str]], limit: float) -> str:
    """What becomes of a mutant; the file is as it was afterwards."""
    file = root / mutant.path
    source, stat = file.read_text(encoding="utf-8"), file.stat()
    file.write_text(mutant.code(source), encoding="utf-8")
    try:
        return outcome(root, parts, limit)
    finally:
        file.write_text(source, encoding="utf-8")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # what was compiled is still good


def known_equivalents() -> set[tuple[str, str, str]]:
    """File, line before and line after."""
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))
    return {(m["file"], m["before"], m["after"]) for m in listed["mutant"]}


def judge(root: Path, room: str, size: int, seed: int) -> dict[str, int]:
    """Counts of outcomes in a sample of a room, each mutant in a line on the way."""
    began = time.monotonic()
    if outcome(root, concerned(root, room)) != "survived":
        log = (root / "mutation.log").read_text(encoding="utf-8")
        raise RuntimeError(f"the tests of {room} fail without any mutant:\n{log[-3000:]}")
    limit = max(60.0, 4.0 * (time.monotonic() - began))
    counts = dict.fromkeys(("killed", "timeout", "survived", "equivalent"), 0)
    equivalents = known_equivalents()
    for mutant in sample(root, room, size, seed):
        before, after = mutant.lines((root / mutant.path).read_text(encoding="utf-8"))
        if (mutant.path, before, after) in equivalents:
            result = "equivalent"
        else:
            result = meet(root, mutant, concerned(root, room, mutant.path), limit)
        counts[result] += 1
        print(f"{result:10} {mutant.path}:{mutant.line}\n    {before}\n    {after}", flush=True)
    return counts


def main() -> None:
    """Sample the rooms and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", choices=[*ROOMS, []], help="all if left out")
    parser.add_argument("--sample", type=int, default=60, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    rooms = options.rooms or list(ROOMS)
    with tempfile.TemporaryDirectory() as folder:
        root = copied(folder)
        rows = [(room, judge(root, room, options.sample, options.seed)) for room in rooms]
    print(f"\n| room | killed | timeout | survived | equivalent | score |\n|{' --- |' * 6}")
    for room, counts in rows:
        seen = counts["killed"] + counts["timeout"]
        told = seen + counts["survived"]
        numbers = " | ".join(str(n) for n in counts.values())
        print(f"| {room} | {numbers} | {100 * seen / max(told, 1):.0f} % |")


if __name__ == "__main__":
    main()
