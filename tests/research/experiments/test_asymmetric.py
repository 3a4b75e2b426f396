"""Wind's claims at small sizes: exponents, fresh measurements, invariants, misalignment."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank.research import experiments as papers
from leanrank.research.experiments import (
    Results,
    Status,
    _asymmetric,
    asymmetric_misalignment,
    asymmetric_theorem28,
    asymmetric_theorem29,
)

HOLDS, WITH, FAILS = Status.HOLDS, Status.HOLDS_WITH, Status.FAILS

INF = float("inf")


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


def theorem28(fixed=(0.8, 0.9), fresh=1.0, growth=1.0, share=1.0):
    """Verdict on exponents at 2 and 10 r (n1 + n2), and on errors share * kappa^growth * xi."""
    scales, sizes, kappas = (0.1, 0.01), (0.01, 0.1), (1.0, 9.0)

    def row(source, multiple, exponent):
        errors = np.array(scales) ** (2 * exponent)
        return {"part": "scale", "source": source, "multiple": multiple, "kappa": 1.0} | {
            "errors": errors
        }

    rows = [row("perfect", 0.0, 1.0), row("fresh", 5.0, fresh)]
    rows += [row("fixed", x, e) for x, e in zip((2.0, 10.0), fixed, strict=True)]
    rows += [
        {"part": "size", "kind": kind, "kappa": k, "errors": share * k**g * np.array(sizes)}
        for kind, g in (("tilt", 0.0), ("unbalancing", growth))
        for k in kappas
    ]
    parameters = {"scales": scales, "sizes": sizes, "kappas": kappas}
    return asymmetric_theorem28.judge(
        parameters | {"kinds": ("tilt", "unbalancing")}, Results(rows)
    )


def test_theorem28_verdicts():
    holds = theorem28()
    assert holds.status is HOLDS
    assert "growing with kappa for unbalancing perturbations only" in holds.measured
    assert "growing with kappa for no perturbations" in theorem28(growth=0.0).measured
    some = theorem28(fixed=(0.4, 0.7))
    assert some.status is WITH
    assert "about 10 r (n1 + n2)" in some.condition
    assert theorem28(fixed=(0.7, 0.4)).status is FAILS
    assert theorem28(fresh=0.5).status is FAILS
    assert theorem28(share=2.9).status is HOLDS
    # Above three times kappa xi; and faster than kappa.
    assert theorem28(share=3.1).status is FAILS
    assert theorem28(growth=2.0).status is FAILS


def test_theorem28_a_run_that_diverged_has_no_exponent():
    rows = [
        {"part": "scale", "source": "fixed", "multiple": 2.0, "kappa": 1.0, "errors": errors}
        for errors in (np.array([0.1, 0.001]), np.array([0.1, INF]))
    ]
    found = asymmetric_theorem28._exponents({"scales": (0.1, 0.01)}, Results(rows))
    assert found == {("fixed", 2.0, 1.0): -INF}
    with pytest.raises(ValueError, match="scales must have at least two"):
        run("theorem28", scales=0.1)


def test_theorem28_perturbations_follow_the_seed():
    trial = {"part": "size", "n": 4, "rank": 1, "kappa": 1.0, "scale": 0.01, "stream": 0}
    trial |= {"kind": "constant", "sizes": (0.1,), "learning_rate": 0.2, "time": 2.5}
    drawn = []

    def watch(kind, truth, size, rng):
        drawn.append(rng.standard_normal())
        return original(kind, truth, size, rng)

    original = asymmetric_theorem28._perturbation
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asymmetric_theorem28, "_perturbation", watch)
        for seed in (0, 1, 0):
            asymmetric_theorem28.run_trial(trial, np.random.default_rng(seed))
    assert drawn[0] == drawn[2] != drawn[1]


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


def theorem29(fixed=(0.1, 1e-5), fresh=(1e-5, 1e-5), samples=((50.0, 60.0),)):
    """Verdict on these errors at 10 and 40 measurements, n = 10, and counts of samples."""
    rows = [
        {"part": "error", "source": source, "m": m, "error": error}
        for source, errors in (("fixed", fixed), ("fresh", fresh))
        for m, error in zip((10, 40), errors, strict=True)
    ]
    rows += [
        {"part": "samples", "learning_rate": 0.1 * i, "m": 5, "samples": count}
        for i, counts in enumerate(samples)
        for count in counts
    ]
    rates = tuple(0.1 * i for i in range(len(samples)))
    parameters = {"n": 10, "rank": 1, "batches": (10, 40), "target": 1e-3}
    parameters |= {"counted_rates": rates, "counted_batches": (5,) * len(rates)}
    return asymmetric_theorem29.judge(parameters, Results(rows))


def test_theorem29_verdicts():
    both = "larger than the number of entries and than a fixed set"
    assert theorem29(samples=((300.0, 400.0),)).condition.endswith(both)
    assert theorem29().condition.endswith("here larger than a fixed set")
    assert theorem29(samples=((20.0, 30.0),)).status is HOLDS
    none = theorem29(fixed=(0.1, 0.1), samples=((300.0, 400.0),))
    assert none.condition.endswith("here larger than the number of entries")
    assert "no fixed set tried gets below" in none.measured
    # A setting at which a run fails saves no samples.
    partly = theorem29(samples=((20.0, INF), (300.0, 400.0)))
    assert partly.numbers["samples_to_target"].tolist() == [INF, 400]
    assert "1 of 2 runs with eta = 0, m = 5" in partly.measured
    assert theorem29(samples=((20.0, INF),)).status is FAILS
    lost = theorem29(fresh=(0.1, 0.1))
    assert lost.status is FAILS
    assert "fresh batches of no size tried" in lost.measured
    assert "inf" not in lost.measured
    assert theorem29(fresh=(0.1, 1e-5)).status is FAILS
    with pytest.raises(ValueError, match="one batch size for each of the 2 counted_rates, got 1"):
        run("theorem29", counted_rates=(0.1, 0.2), counted_batches=5)


def test_theorem61_watches_up_to_the_end_of_the_warm_up():
    done = papers.run("asymmetric-theorem61", quick=True, sources="perfect", n=6, kappas=1.0)
    share = done.results[0]["share_of_time"]
    assert share[0] == 0
    assert 0.99 < share[-1] <= 1
    assert share.size == done.results[0]["ratios"].shape[0] == 41


def test_theorem61_needs_perfect_measurements_to_be_judged_by():
    with pytest.raises(ValueError, match="sources must have 'perfect'"):
        run("theorem61", sources="fixed")


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


def misalignment(wide=3.0, semidefinite=1.0, general=2.0, negative=INF, stuck=1.0, free=1e-6):
    """Verdict on these misalignments, and on the errors at which descent before -u u' ends."""
    rows = [{"part": "gaussian", "n": 10, "rank": 1, "width": 10, "alpha": np.array([2.0, wide])}]
    kinds = {"positive semi-definite": semidefinite, "general": general, "negative": negative}
    rows += [
        {"part": "identity", "target": kind, "alpha": np.array([alpha])}
        | {"errors_identity": np.array([1.0, stuck]), "errors_gaussian": np.array([1.0, free])}
        for kind, alpha in kinds.items()
    ]
    return asymmetric_misalignment.judge({}, Results(rows))


def test_misalignment_verdicts():
    assert misalignment(general=1.0, negative=1.0, stuck=1e-6).status is HOLDS
    stuck = misalignment()
    assert stuck.status is WITH
    assert "descent from it is stuck" in stuck.condition
    # As far from the target as a Gaussian start is: that is no sign of being stuck.
    early = misalignment(free=1.0)
    assert early.status is WITH
    assert "stuck" not in early.condition
    assert misalignment(wide=21.0).status is FAILS
    assert misalignment(semidefinite=1.5).status is FAILS


def test_misalignment_refuses_what_it_cannot_judge():
    with pytest.raises(ValueError, match="widths must have a value of at least max"):
        run("misalignment", widths=0.5)
    with pytest.raises(ValueError, match="ranks must be at most the smallest of the sizes, 4"):
        run("misalignment", sizes=(4, 9), ranks=5)
