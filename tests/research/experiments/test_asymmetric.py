"""Wind's claims at small sizes: exponents, fresh measurements, invariants, misalignment."""

from __future__ import annotations

import numpy as np
import pytest

from leanrank import simulate
from leanrank.research import experiments as papers
from leanrank.research.experiments import (
    Results,
    Status,
    _admissible,
    _asymmetric,
    asymmetric_kappa,
    asymmetric_misalignment,
    asymmetric_reduction,
    asymmetric_theorem28,
    asymmetric_theorem29,
    asymmetric_theorem43,
)
from leanrank.research.theory import FlowAssumption
from leanrank.solvers import GradientDescent

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
    together = _asymmetric.errors_together(problem, truth, starts, 0.1, [40, 70])
    for error, begin, steps in zip(together, starts, (40, 70), strict=True):
        alone = _asymmetric.errors_after(GradientDescent(0.05), problem, truth, begin, steps)
        assert error == pytest.approx(alone[0])
    path = _asymmetric.errors_after(GradientDescent(0.05), problem, truth, starts[0], 40, every=10)
    assert path.shape == (4,)
    assert path[-1] == pytest.approx(together[0])


def test_a_gaussian_set_is_told_from_fewer_rows_by_nothing_that_descent_sees():
    shape, m = (3, 4), 60
    small = _asymmetric.gaussian_set(shape, 10, np.random.default_rng(0))
    assert small.size == 10
    drawn = []
    for seed in range(400):
        op = _asymmetric.gaussian_set(shape, m, np.random.default_rng(seed))
        assert op.size == 12
        rows = op.matrices(np.arange(12)).reshape(12, 12)
        drawn.append(op.weight * rows.T @ rows)
    # A Wishart matrix over m: its mean is I, variances are 2 / m on the diagonal and 1 / m off it.
    drawn = np.array(drawn)
    np.testing.assert_allclose(drawn.mean(axis=0), np.eye(12), atol=0.05)
    expected = (np.ones((12, 12)) + np.eye(12)) / m
    np.testing.assert_allclose(drawn.var(axis=0), expected, rtol=0.45)
    assert drawn.var(axis=0).sum() == pytest.approx(expected.sum(), rel=0.05)


def test_steps_until_a_target_are_those_of_the_errors():
    rng = np.random.default_rng(0)
    problem, truth = _asymmetric.population(8, 1, 1.0, rng)
    begin, solver = _asymmetric.start(truth, 0.01, rng), GradientDescent(0.05)
    errors = _asymmetric.errors_after(solver, problem, truth, begin, 150, every=1)
    first = int(np.flatnonzero(errors < 0.01)[0]) + 1
    assert _asymmetric.steps_until(solver, problem, truth, begin, 150, 0.01) == first
    assert _asymmetric.steps_until(solver, problem, truth, begin, first - 1, 0.01) == INF


def test_where_a_curve_goes_below_a_level():
    assert _asymmetric.crossing([1.0, 2.0, 4.0], np.array([0.9, 0.7, 0.3]), 0.5) == pytest.approx(3)
    assert _asymmetric.crossing([1.0, 2.0], np.array([0.4, 0.9]), 0.5) == 0
    assert _asymmetric.crossing([1.0, 2.0], np.array([0.6, 0.6]), 0.5) == 2
    assert _asymmetric.crossing([1.0, 2.0], np.array([0.6, -INF]), 0.5) == 1


def test_theorem28_exponents_over_the_number_of_measurements():
    small = {"n": 8, "rank": 1, "kinds": ("constant",), "sizes": 1.0, "kappas": 1.0}
    verdict = run("theorem28", multiples=(2, 40), learning_rate=0.1, **small)
    assert verdict.status is WITH
    exponent = verdict.numbers["exponent"]
    assert exponent["perfect 0 kappa 1"] > 0.95
    assert exponent["fresh 2 kappa 1"] > 0.93
    assert exponent["fixed 2 kappa 1"] < 0.5
    assert exponent["fixed 40 kappa 1"] > 0.7
    constants = verdict.numbers["isometry_constant_at_least"]
    assert constants["2"] > 1 > constants["40"]
    assert "fixed sets of 40 r (n1 + n2) or more" in verdict.condition
    few = run("theorem28", multiples=2, fresh=10.0, shares=(1.0, 0.1), **small)
    assert few.status is FAILS


def test_theorem28_scales_and_sizes_are_within_the_theorem():
    t = {"n": 8, "rank": 2, "shares": (1.0, 0.1), "sizes": (1.0, 0.5)}
    scales = asymmetric_theorem28._scales(t, 4.0)
    np.testing.assert_allclose(scales, np.array([1.0, 0.1]) * 0.5 / (16 + 4))
    sizes = asymmetric_theorem28._sizes(t, 4.0)
    np.testing.assert_allclose(sizes, np.array([1.0, 0.5]) / (64 * np.log(0.25 / scales[1] ** 2)))


def test_theorem28_kinds_of_perturbation():
    quick = {
        "kinds": asymmetric_theorem28._KINDS,
        "multiples": 40.0,
        "fresh": 10.0,
        "shares": (1.0, 0.1),
        "learning_rate": 0.2,
    }
    verdict = run("theorem28", n=8, kappas=(1.0, 3.0), **quick)
    assert max(verdict.numbers["growth_with_kappa"].values()) < 1.5
    over = verdict.numbers["error_over_size"]
    np.testing.assert_allclose(over["tilt"], 1.0, atol=0.05)
    assert over["independent"].max() < 0.6 * over["noise"].max()
    assert verdict.numbers["largest_error_over_kappa_size"] < 3


def theorem28(fixed=(0.8, 0.9), fresh=1.0, growth=1.0, share=1.0):
    """Verdict on exponents at 2 and 10 r (n1 + n2), and on errors share * kappa^growth * xi."""
    shares, kappas = (0.1, 0.01), (1.0, 9.0)
    parameters = {"shares": shares, "sizes": (0.1, 1.0), "kappas": kappas, "n": 10, "rank": 2}

    def row(source, multiple, exponent):
        errors = np.array(shares) ** (2 * exponent)
        return {"part": "scale", "source": source, "multiple": multiple, "kappa": 1.0} | {
            "errors": errors,
            "rho": 0.5,
        }

    rows = [row("perfect", 0.0, 1.0), row("fresh", 5.0, fresh)]
    rows += [row("fixed", x, e) for x, e in zip((2.0, 10.0), fixed, strict=True)]
    rows += [
        {"part": "size", "kind": kind, "kappa": k}
        | {"errors": share * k**g * asymmetric_theorem28._sizes(parameters, k)}
        for kind, g in (("tilt", 0.0), ("unbalancing", growth))
        for k in kappas
    ]
    return asymmetric_theorem28.judge(
        parameters | {"kinds": ("tilt", "unbalancing")}, Results(rows)
    )


def test_theorem28_verdicts():
    holds = theorem28()
    assert holds.status is HOLDS
    assert "grows with kappa for unbalancing" in holds.measured
    assert "grows with kappa for none" in theorem28(growth=0.0).measured
    some = theorem28(fixed=(0.4, 0.7))
    assert some.status is WITH
    assert "fixed sets of 10 r (n1 + n2) or more" in some.condition
    # There is no slack below 2/3.
    assert theorem28(fixed=(0.4, 0.66)).status is FAILS
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
    found = asymmetric_theorem28._exponents({"shares": (0.1, 0.01)}, Results(rows))
    assert found == {("fixed", 2.0, 1.0): -INF}
    with pytest.raises(ValueError, match="shares must have at least two"):
        run("theorem28", shares=0.1)


def test_theorem28_perturbations_follow_the_seed():
    trial = {"part": "size", "n": 4, "rank": 1, "kappa": 1.0, "shares": (0.1,), "stream": 0}
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


def test_theorem29_small_batches_and_a_total_below_the_entries_of_large_matrices_only():
    verdict = run(
        "theorem29",
        n=12,
        batches=(8, 24, 240),
        sizes=(12, 140),
        counted_rates=(0.5,),
        counted_shares=(1.0,),
    )
    assert verdict.status is WITH
    assert "n of 140 or more" in verdict.condition
    numbers = verdict.numbers
    assert (numbers["fresh"] < 1e-3).all()
    assert numbers["fixed"][0] > 0.3
    assert numbers["smallest_batch"] == 8
    assert numbers["samples_to_target"][0][0] > 144
    assert numbers["samples_to_target"][0][1] < 140**2
    assert 1.0 < numbers["power_of_n"] < 1.5


def test_theorem29_says_so_when_batches_are_too_small_for_the_step():
    verdict = run("theorem29", n=12, batches=(1, 2), learning_rate=0.4, sizes=(12,))
    assert verdict.status is FAILS
    assert not np.isfinite(verdict.numbers["smallest_batch"])


def theorem29(fixed=(0.1, 1e-5), fresh=(1e-5, 1e-5), samples=((300.0, 500.0), (500.0, 600.0))):
    """Verdict on these errors at 10 and 40 measurements, n = 10, and samples at n = 20 and 30."""
    rows = [
        {"part": "error", "source": source, "m": m, "error": error}
        for source, errors in (("fixed", fixed), ("fresh", fresh))
        for m, error in zip((10, 40), errors, strict=True)
    ]
    rows += [
        {"part": "samples", "learning_rate": 0.1, "share": 1.0, "n": n, "samples": count}
        for n, counts in zip((20, 30), samples, strict=True)
        for count in counts
    ]
    parameters = {"n": 10, "rank": 1, "batches": (10, 40), "target": 1e-3, "sizes": (20, 30)}
    parameters |= {"counted_rates": (0.1,), "counted_shares": (1.0,)}
    return asymmetric_theorem29.judge(parameters, Results(rows))


def test_theorem29_verdicts():
    # The slowest run counts: 500 of 400 entries, and 600 of 900.
    some = theorem29()
    assert some.status is WITH
    assert "n of 30 or more" in some.condition
    assert "600" not in some.condition
    assert theorem29(samples=((300.0, 390.0), (500.0, 600.0))).status is HOLDS
    none = theorem29(fixed=(0.1, 0.1), samples=((500.0, 500.0), (1000.0, 1000.0)))
    assert none.status is FAILS
    assert "no fixed set tried gets below" in none.measured
    # A run that fails saves no samples.
    assert theorem29(samples=((300.0, 300.0), (500.0, INF))).status is FAILS
    lost = theorem29(fresh=(0.1, 0.1))
    assert lost.status is FAILS
    assert "fresh batches of no size tried" in lost.measured
    assert theorem29(fresh=(0.1, 1e-5)).status is FAILS
    with pytest.raises(ValueError, match="one batch size for each of the 2 counted_rates, got 1"):
        run("theorem29", counted_rates=(0.1, 0.2), counted_shares=1.0)


def test_theorem61_watches_up_to_the_end_of_the_warm_up():
    done = papers.run("asymmetric-theorem61", quick=True, sources="fixed", n=4, kappas=1.0)
    for row in done.results:
        share = row["share_of_time"]
        assert share[0] == 0
        assert 0.98 < share[-1] <= 1
        assert share.size == row["ratios"].shape[0] == row["sizes"].shape[0] == 41


def test_theorem61_invariants():
    verdict = run("theorem61", n=6, kappas=1.0, sources="fixed", multiple=3.0)
    assert verdict.status is HOLDS
    # Perturbations are as large as the proof allows: up to the bounds, and not beyond.
    np.testing.assert_allclose(verdict.numbers["largest_sizes"], 1.0, atol=1e-3)
    worst = verdict.numbers["all, kappa 1"]
    assert worst.max() <= 1 + 1e-6
    assert worst[7] == pytest.approx(1.0)
    # What feeds the imbalance is felt, and a thousand times of it is too much.
    quiet = verdict.numbers["none, kappa 1"]
    assert worst[1] > 5 * quiet[1]
    assert verdict.numbers["all, 1000 times as large"][1] > 1
    assert verdict.numbers["fixed, kappa 1, sizes"].min() > 100
    assert "breaks items 2" in verdict.measured
    # A start beyond what the theorem allows breaks the bounds on what must stay small.
    assert (
        run("theorem61", n=6, kappas=1.0, sources="fixed", start_share=30.0, times=2.0).status
        is FAILS
    )


@pytest.mark.parametrize("kind", _admissible.KINDS)
def test_admissible_perturbations_are_within_the_assumption(kind, rng):
    truth = simulate.full_observation(6, 2, kappa=3.0, random_state=0).truth
    allowed = FlowAssumption(gamma=1.0, beta=0.01, mu=0.02, nu=0.001)
    E = _admissible.admissible(kind, truth, allowed, rng)
    for scale in (1e-3, 1.0):
        f = _asymmetric.start(truth, scale, rng)
        size, drive = allowed.ratios(E(0, f), f, truth)
        assert size <= 1 + 1e-9
        assert drive <= 1 + 1e-9
    if kind == "all":
        assert drive == pytest.approx(1.0)


def test_theorem43_bounds_and_constants():
    done = papers.run("asymmetric-theorem43", quick=True, n=6, kappas=1.0)
    assert done.verdict.status is HOLDS
    assert done.verdict.numbers["exponent"] == pytest.approx(1.0, abs=0.02)
    # The tilt is an error of its own size.
    assert 0.9 < done.verdict.numbers["constant_needed"] < 2
    row = done.results[0]
    assert row["found"].shape == row["bounds"].shape
    assert row["share_of_time"].size == len(row["found"])


def theorem43(found=1.0, final=1.0):
    """Verdict on quantities and a final error so many times their bounds."""
    common = {"kappa": 1.0, "perturbed": 0.0, "stream": 0, "constant": 0.4, "final_bound": 1.0}
    rows = [
        {**common, "start": start, "found": found * np.ones((2, 2)), "bounds": np.ones((2, 2))}
        | {"final": final * start**2}
        for start in (1.0, 0.1)
    ]
    parameters = {"kappas": (1.0,), "starts": (1.0, 0.1), "perturbed": (0.0,), "theta": 0.5}
    return asymmetric_theorem43.judge(parameters | {"seeds": 1}, Results(rows))


def test_theorem43_verdicts():
    assert theorem43().status is HOLDS
    assert theorem43().numbers["exponent"] == pytest.approx(1.0)
    assert theorem43(found=1.01).status is FAILS
    assert theorem43(final=1.01).status is FAILS


def test_reduction_bounds_hold_along_descent():
    done = papers.run("asymmetric-reduction", quick=True, n=6, kappas=1.0, draws=100)
    assert done.verdict.status is HOLDS
    ratios = done.verdict.numbers["ratios"]
    assert 0.05 < ratios["isometric"]["F.1 size"] < 1
    assert 0.05 < ratios["isometric"]["theorem size"] < 1
    assert np.isnan(ratios["few"]["theorem size"])
    assert done.verdict.numbers["isometry_constant_at_most"] < 1 / (16 * 2**0.5)
    assert done.verdict.numbers["isometry_constant_of_few_at_least"] > 1 / (16 * 2**0.5)
    # A constant as large as that of the draws is what is called one.
    few = {"n": 4, "rank": 1, "time": 0.5, "draws": 100}
    assert run("reduction", kappas=1.0, xi=1.0, **few).status is FAILS


def test_reduction_tail_is_the_largest_constant_that_bounds_it():
    xi = np.array([1.0, 2.0, 3.0])
    c = asymmetric_reduction._tail(xi, 4)
    shares = np.array([1.0, 2 / 3, 1 / 3])
    assert (8 * np.exp(-c * xi**2) >= shares * (1 - 1e-12)).all()
    assert (8 * np.exp(-1.01 * c * xi**2) < shares).any()


def test_width_does_not_matter_nor_does_misalignment():
    done = papers.run(
        "asymmetric-width", quick=True, n=8, widths=(2, 3, 8, 32), misaligned=1e3, seeds=2
    )
    assert done.verdict.status is HOLDS
    assert done.verdict.numbers["narrow_runs"] == 8
    assert done.verdict.numbers["narrow_within"] == 1
    for row in done.results:
        assert row["misaligned_alpha"][0] == pytest.approx(1e3, rel=0.01)
        assert row["alpha"][0] > row["alpha"][3]
    # Too little time for what is there to grow.
    assert run("width", n=8, widths=8, misaligned=10.0, seeds=1, time=0.1).status is FAILS
    with pytest.raises(ValueError, match="widths must be at least the rank, 3, and one at least"):
        run("width", rank=3, widths=(2, 40))


def test_operators_of_an_adversary():
    verdict = run("operators", n=8, constants=(0.1, 0.5), multiples=40.0, sets=(1, 8))
    assert verdict.status is HOLDS
    numbers = verdict.numbers
    for exponents in numbers["exponents_by_rank"].values():
        assert exponents[0] > 0.8 > 0.6 > exponents[1]
    # An adversary does more than chance.
    of_sets = numbers["exponents_of_sets"]
    assert of_sets["rank 1, sets 8"][0] < of_sets["rank 1, sets 1"][0]
    # Fixed sets of r (n1 + n2) times as many do as well at a higher rank.
    assert of_sets["rank 2, sets 1"][0] > 0.67
    assert "at ranks 1, 2" in verdict.measured
    few = {"n": 8, "ranks": 1, "sets": 1}
    assert run("operators", constants=(0.5, 0.6), multiples=80.0, **few).status is FAILS
    assert run("operators", constants=(0.1, 0.5), multiples=2.0, **few).status is FAILS
    for name in ("shares", "constants"):
        with pytest.raises(ValueError, match=f"{name} must have at least two"):
            run("operators", **{name: 0.1})


def kappa(constant=0.0, step=0.0, share=1.0):
    """Verdict where limits are these powers of kappa, and the error this much of kappa xi, at 4."""
    rows, rates = [], (0.1, 0.2, 0.4, 0.8)
    constants = tuple(0.4 * 2.0**x for x in np.linspace(-6.0, 1.0, 29))
    for k in (1.0, 4.0):
        limit = 0.4 * k**constant
        rows += [
            {"part": "isometry", "kappa": k, "constant": x, "exponent": 2 / 3 - 0.01 * (x - limit)}
            for x in constants
        ]
        rows += [
            {"part": "step", "kappa": k, "learning_rate": eta}
            | {"error": 1.0 if eta <= 0.8 * k**step * 1.001 else 9.0}
            for eta in rates
        ]
        shares = np.array([1.0 if k == 1 else share, 9.0])
        rows += [
            {"part": "error", "kind": kind, "kappa": k, "shares": shares}
            for kind in ("tilt", "unbalancing")
        ]
    parameters = {"kappas": (1.0, 4.0), "constants": constants, "rates": rates}
    return asymmetric_kappa.judge(parameters | {"powers": (3.0, 1.0)}, Results(rows))


def test_kappa_verdicts():
    even = kappa()
    assert even.status is HOLDS
    assert even.numbers["powers"] == pytest.approx({"isometry": 0.0, "step": 0.0}, abs=1e-6)
    assert "1 at p = 3, 9 at p = 1" in even.measured
    falling = kappa(constant=-1.5, step=-1.0)
    assert falling.status is HOLDS
    assert falling.numbers["powers"] == pytest.approx({"isometry": -1.5, "step": -1.0}, abs=0.01)
    assert kappa(constant=-2.5).status is FAILS
    assert kappa(share=2.9).status is HOLDS
    assert kappa(share=3.1).status is FAILS


def test_kappa_needs_no_more_than_the_theorem_asks_for():
    verdict = run("kappa", n=6, kappas=(1.0, 3.0), shares=(1.0, 0.1))
    assert verdict.status is HOLDS
    assert verdict.numbers["powers"]["isometry"] > -1
    assert verdict.numbers["powers"]["step"] > -0.5
    with pytest.raises(ValueError, match="kappas, constants, rates must"):
        run("kappa", kappas=2.0)
    with pytest.raises(ValueError, match="powers must have 3, the theorem's"):
        run("kappa", powers=2.0)


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
