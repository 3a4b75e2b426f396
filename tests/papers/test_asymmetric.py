"""Wind's claims at small sizes: exponents, fresh measurements, invariants, misalignment."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import papers
from leanrank.papers import Status, _asymmetric

HOLDS, WITH, FAILS = Status.HOLDS, Status.HOLDS_WITH, Status.FAILS


def run(name, **parameters):
    done = papers.run(f"asymmetric-{name}", quick=True, **parameters)
    assert done.figure.axes
    return done.verdict


def test_runs_side_by_side_end_at_their_own_times():
    rng = np.random.default_rng(0)
    problem, truth = _asymmetric.population(8, 1, 1.0, rng)
    starts = [_asymmetric.start(truth, scale, rng) for scale in (0.1, 0.01)]
    from leanrank.solvers import GradientDescent

    together = _asymmetric.errors_together(problem, truth, starts, 0.1, [40, 70])
    for error, begin, steps in zip(together, starts, (40, 70), strict=True):
        alone = _asymmetric.errors_after(GradientDescent(0.05), problem, truth, begin, steps)
        assert error == pytest.approx(alone[0])
    path = _asymmetric.errors_after(GradientDescent(0.05), problem, truth, starts[0], 40, every=10)
    assert path.shape == (4,)
    assert path[-1] == pytest.approx(together[0])


def test_theorem28_exponents_over_the_number_of_measurements():
    verdict = run("theorem28", n=12, rank=1, multiples=(2, 40), kinds=("constant",))
    assert verdict.status is WITH
    exponent = verdict.numbers["exponent"]
    assert exponent["perfect 0 kappa 1"] > 0.95
    assert exponent["fresh 2 kappa 1"] > 0.93
    assert exponent["fixed 2 kappa 1"] < 0.5
    assert exponent["fixed 40 kappa 1"] > 0.7
    assert "about 40 r (n1 + n2)" in verdict.condition
    few = run("theorem28", n=12, rank=1, multiples=(2,), kinds=("constant",), kappas=(1.0,))
    assert few.status is FAILS


def test_theorem28_only_what_breaks_the_balance_grows_with_kappa():
    verdict = run(
        "theorem28", n=10, multiples=(40,), fresh=(10,), kappas=(1.0, 6.0), scales=(0.1, 0.001)
    )
    growth = verdict.numbers["growth_with_kappa"]
    assert growth.pop("unbalancing") > 2
    assert max(growth.values()) < 1.5
    over = verdict.numbers["error_over_size"]
    np.testing.assert_allclose(over["tilt"], 1.0, atol=0.05)
    assert over["independent"].max() < 0.6 * over["noise"].max()
    assert verdict.numbers["largest_error_over_kappa_size"] < 1.1


def test_theorem29_fresh_measurements_in_small_batches_but_many_in_all():
    verdict = run(
        "theorem29",
        n=12,
        rank=1,
        batches=(8, 24, 240),
        counted_rates=(0.05, 0.2),
        counted_batches=(8, 24),
        seeds=2,
    )
    assert verdict.status is WITH
    numbers = verdict.numbers
    assert (numbers["fresh"] < 1e-5).all()
    assert numbers["fixed"][0] > 0.3
    assert numbers["smallest_batch"] == 8
    assert numbers["samples_to_target"].min() > numbers["entries"] == 144


def test_theorem29_says_so_when_batches_are_too_small_for_the_step():
    verdict = run("theorem29", n=12, rank=1, batches=(1, 2), learning_rate=0.4, seeds=1)
    assert verdict.status is FAILS
    assert not np.isfinite(verdict.numbers["smallest_batch"])


def test_theorem61_invariants():
    verdict = run("theorem61", sources=("perfect",), n=8)
    assert verdict.status is HOLDS
    for worst in verdict.numbers.values():
        assert worst.max() <= 1 + 1e-6
        assert worst[7] == pytest.approx(1.0)
    verdict = run("theorem61", sources=("perfect", "fixed"), kappas=(1.0,), n=8, multiple=3.0)
    assert verdict.status is WITH
    assert "perfect, kappa = 1: all" in verdict.measured
    # A start beyond what the theorem allows breaks the bounds on what must stay small.
    verdict = run("theorem61", sources=("perfect",), kappas=(1.0,), n=8, start_share=30.0)
    assert verdict.status is FAILS


def test_misalignment_and_the_identity_that_is_stuck():
    verdict = run("misalignment", sizes=12, ranks=(1, 2), widths=(0.5, 1.0, 4.0), draws=20)
    assert verdict.status is WITH
    identity = verdict.numbers["identity"]
    assert identity["positive semi-definite"] == pytest.approx(1.0)
    assert 1.1 < identity["general"] < 4
    assert identity["negative"] == np.inf
    assert verdict.numbers["error_identity"] == pytest.approx(1.0, abs=1e-6)
    assert verdict.numbers["error_gaussian"] < 1e-3
    narrow, wide = (verdict.numbers[f"n 12, rank 2, width {h}"]["median"] for h in (6, 48))
    assert narrow > 1.5 * wide
