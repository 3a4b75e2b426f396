"""What benchmarks count and keep: ratios by seed, goals, the history and its changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    names = ("changes", "history", "measuring", "rows", "summary")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield SimpleNamespace(**{name: import_module(name) for name in names})


def row_called(bench: SimpleNamespace, name: str) -> Any:
    return next(row for row in bench.rows.ROWS if row.name == name)


def records(bench: SimpleNamespace, row: Any) -> tuple[list[Any], list[Any]]:
    """Three seeds of leanrank and, in another order, of the reference."""

    def one(method: Any, seed: int, seconds: float) -> Any:
        return bench.measuring.Record(
            row.name, method.name, method.told, seed, 7 * seed, 5, 5, 1e-12, 40.0, seconds, ""
        )

    mine = [one(bench.rows.LEANRANK, seed, s) for seed, s in ((4, 2.0), (5, 6.0), (6, 3.0))]
    told = [one(row.reference, seed, s) for seed, s in ((6, 3.0), (4, 1.0), (5, 2.0))]
    return mine, told


def test_ratios_are_those_of_the_same_seed(bench: SimpleNamespace) -> None:
    row = row_called(bench, "psd-exact")
    mine, told = records(bench, row)
    found = bench.summary.summary(row, [*mine, *told])
    assert (found["ratio"], found["ratio_worst"]) == (2.0, 3.0)  # of 2, 3 and 1
    assert (found["seconds"], found["seconds_spread"]) == (3.0, 2.0)
    assert found["unsolved"] == 0.0
    assert "ratio" not in bench.summary.summary(row, mine)
    assert bench.summary.summary(row, []) == {}


def test_what_is_not_solved_counts(bench: SimpleNamespace) -> None:
    row = row_called(bench, "psd-exact")
    mine, told = records(bench, row)
    mine[0] = replace(mine[0], rank=4)
    mine[1] = replace(mine[1], error=2 * row.tolerance)
    assert bench.summary.summary(row, [*mine, *told])["unsolved"] == pytest.approx(2 / 3)


def test_under_noise_an_error_is_compared_with_that_of_the_oracle(bench: SimpleNamespace) -> None:
    row = row_called(bench, "psd-noise")
    mine, told = records(bench, row)
    mine[2] = replace(mine[2], error=1.03 * mine[2].error)
    assert bench.summary.summary(row, [*mine, *told])["unsolved"] == pytest.approx(1 / 3)


def test_two_instances_of_a_seed_do_not_compare(bench: SimpleNamespace) -> None:
    mine, told = records(bench, row_called(bench, "psd-exact"))
    with pytest.raises(ValueError, match="psd-exact: seed 4 made two instances"):
        bench.summary.paired(mine, [replace(record, instance=1) for record in told])


def test_a_goal_is_reached_at_its_limit_and_missed_above(bench: SimpleNamespace) -> None:
    row = replace(row_called(bench, "psd-exact"), goals={"ratio": 1.0, "passes": 25.0, "peak": 1.0})
    ratio, passes, peak = bench.summary.goals(row, {"ratio": 1.0, "passes": 25.5})
    assert "reached" in ratio
    assert "CPU ratio" in ratio
    assert "missed" in passes
    assert "not measured" in peak


def test_goals_are_of_quantities_that_are_measured(bench: SimpleNamespace) -> None:
    for row in (*bench.rows.ROWS, *bench.rows.LIMITS):
        assert row.reference.told
        assert row.goals.keys() <= bench.summary.LABELS.keys()
        assert row.measure_memory or not row.goals.keys() & {"memory", "peak"}


def kept(row: str, commit: str, **quantities: float) -> dict[str, Any]:
    machine = {"cpu": "one", "cores": 2}
    told = {"version": f"1.{commit[0]}", "commit": commit, "machine": machine, "row": row}
    return {**told, "first": 0, "seeds": 10, "solved": 10, "seconds": 1.0, **quantities}


def test_the_history_keeps_what_it_has(bench: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert bench.history.read(path) == []
    one, two = kept("a", "1f", error=1e-12), kept("a", "2f")
    bench.history.append([one], path)
    bench.history.append([two], path)
    assert bench.history.read(path) == [one, two]
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(TypeError):
        bench.history.append([{"row": object()}], path)
    assert bench.history.read(path) == [one, two]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("line", ["{", "[]", json.dumps({"row": "a"})])
def test_a_line_that_is_no_record_is_named(
    bench: SimpleNamespace, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps(kept("a", "1f")) + f"\n{line}\n")
    with pytest.raises(ValueError, match="line 2 is not a record"):
        bench.history.read(path)


def test_the_last_two_records_of_each_row_are_compared(bench: SimpleNamespace) -> None:
    given = [kept("a", "1f"), kept("b", "1f"), kept("a", "2f"), kept("a", "3f"), kept("c", "3f")]
    assert bench.changes.pairs(given) == [(given[2], given[3])]


def test_versions_and_commits_are_compared_by_name(bench: SimpleNamespace) -> None:
    given = [kept("a", "1f"), kept("b", "1f"), kept("a", "2f"), kept("a", "2f", ratio=2.0)]
    given += [kept("a", "3f"), kept("b", "3f")]
    assert bench.changes.pairs(given, ["1.1", "2f"]) == [(given[0], given[3])]
    assert bench.changes.pairs(given, ["3f", "1.1"]) == [(given[4], given[0]), (given[5], given[1])]
    with pytest.raises(ValueError, match="'9f'"):
        bench.changes.pairs(given, ["1f", "9f"])


def test_only_clear_changes_have_a_colour(bench: SimpleNamespace) -> None:
    assert bench.changes.changed(2.0, 1.0) == "[green]2 → 1[/green]"
    assert bench.changes.changed(1.0, 2.0) == "[red]1 → 2[/red]"
    assert bench.changes.changed(1.0, 1.05) == "1 → 1.05"
    assert bench.changes.changed(1.05, 1.0) == "1.05 → 1"
    assert bench.changes.changed(None, 1.5) == "not measured → 1.5"
    assert bench.changes.changed(None, None) == ""


def test_seconds_of_two_machines_are_not_compared(bench: SimpleNamespace) -> None:
    one, two = kept("a", "1f"), kept("a", "2f")
    assert list(bench.changes.table([(one, two)]).columns[-1].cells) == ["1 → 1"]
    two["machine"] = {"cpu": "another", "cores": 2}
    assert list(bench.changes.table([(one, two)]).columns[-1].cells) == ["other machine"]
