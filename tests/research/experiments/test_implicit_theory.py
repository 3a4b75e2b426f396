"""Li, Ma and Zhang's theorems at small sizes: what holds, from how many measurements on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank.research import experiments as papers
from leanrank.research.experiments import (
    Results,
    Status,
    _implicit,
    implicit_lemmas,
    implicit_noise,
    implicit_theorem11,
    implicit_theorem12,
    implicit_theorem31,
    implicit_theorem42,
)

HOLDS, WITH, FAILS = Status.HOLDS, Status.HOLDS_WITH, Status.FAILS


def run(name, **parameters):
    done = papers.run(f"implicit-{name}", quick=True, **parameters)
    assert done.figure.axes
    return done.verdict


def gram(op):
    """The Gram matrix of symmetric sensing in an orthonormal basis of symmetric matrices."""
    A = op.matrices(np.arange(op.size))
    i, j = np.triu_indices(op.shape[0])
    rows = A[:, i, j] * np.where(i == j, 1.0, math.sqrt(2.0))
    return rows.T @ rows / op.size


@pytest.mark.parametrize("m", [3, 5, 40])
def test_as_few_measurements_have_the_law_of_many(m):
    rng = np.random.default_rng(0)
    drawn = np.array([gram(_implicit.reduced_operator(2, m, rng)) for _ in range(4000)])
    drawn = np.concatenate([drawn[:2000], drawn[2000:]])
    # A Wishart matrix over m: mean I, variance 2/m on the diagonal and 1/m off it.
    np.testing.assert_allclose(drawn.mean(axis=0), np.eye(3), atol=0.06)
    variance = drawn.var(axis=0) * m
    np.testing.assert_allclose(variance, 1.0 + np.eye(3), atol=0.25)
    # Its determinant has mean m (m - 1) (m - 2) / m^3.
    mean = np.linalg.det(drawn).mean()
    assert mean == pytest.approx((m - 1) * (m - 2) / m**2, abs=0.06)


def test_noise_is_that_of_all_measurements():
    noise, m, found = 0.5, 60, []
    for seed in range(400):
        problem, truth = _implicit.conditioned(3, 1, 1.0, m, np.random.default_rng(seed), noise)
        seen = problem.op.adjoint(problem.y - problem.op.forward(truth)) @ np.eye(3)
        found.append(seen * problem.op.weight)
    # (1/m) sum e_i A_i has variance sigma^2 / m on the diagonal, half of it off.
    variance = np.var(found, axis=0) * m / noise**2
    np.testing.assert_allclose(variance, 0.5 + 0.5 * np.eye(3), rtol=0.3)
    problem, truth = _implicit.conditioned(4, 2, 3.0, 10, np.random.default_rng(0))
    assert problem.op.size == 10
    np.testing.assert_allclose(truth.singular_values(), [1.0, 1 / 3])


def test_theorem42_breaks_its_second_item_where_measurements_are_few():
    verdict = run("theorem42", d=10, kappas=1.0, multiples=(4.0, 100.0), eta=0.2)
    assert verdict.status is WITH
    assert verdict.condition == "enough measurements: 100 d r at kappa = 1"
    assert "with 4 d r measurements (20) broken" in verdict.measured
    worst = verdict.numbers["kappa 1"]["worst"]
    assert worst["(20)"][0] > 1 > worst["(20)"][1]
    # What is observed keeps its subspace, and the error does not grow at all.
    assert worst["(19)"][-1] == 0.0
    assert worst["(20)"][-1] == pytest.approx(0.25)


def theorem42(item=None, value=0.5, *, at=10.0, kappa=2.0):
    """Verdict where every ratio and constant is 0.5, but for one at one m and one kappa."""
    places = ("(19)", "(20)", "(21)", "(22)", "(23)", "D.2", "D.4", "D.5", "C", "sine")
    rows = []
    for multiple in (10.0, math.inf):
        for k in (1.0, 2.0):
            x = dict.fromkeys(places, 0.5)
            if (multiple, k) == (at, kappa) and item:
                x[item] = value
            row = {
                "kappa": k,
                "multiple": multiple,
                "ratios": np.array([[0.5] * 5, [x[name] for name in places[:5]]]),
                "steps": np.array([x[name] for name in places[5:8]]),
                "proposition": x["C"],
                "largest_sine": x["sine"],
                "delta": 0.5,
            }
            rows.append(row)
    parameters = {"rank": 4, "kappas": (1.0, 2.0), "multiples": (10.0,)}
    return implicit_theorem42.judge(parameters, Results(rows))


@pytest.mark.parametrize(
    ("item", "most", "name"),
    [
        ("(20)", 1.0, "(20)"),
        ("(21)", 1.0, "(21)"),
        ("(22)", 1.0, "(22)"),
        ("(23)", 1.0, "(23)"),
        ("D.2", 10.0, "D.2"),
        ("D.5", 1.0, "D.5"),
        ("C", 10.0, "Proposition 4.3"),
        # The sine over sqrt(r) delta, which is 1 here.
        ("sine", 10.0, "(19) at T_1"),
    ],
)
def test_theorem42_verdicts_at_their_limits(item, most, name):
    assert theorem42(item, most).status is HOLDS
    verdict = theorem42(item, 1.01 * most)
    assert verdict.status is WITH
    assert verdict.condition.endswith("10 d r at kappa = 1, more than were tried at kappa = 2") or (
        verdict.condition == "enough measurements: 10 d r at kappa = 1, inf d r at kappa = 2"
    )
    assert f"{name} broken" in verdict.measured
    assert theorem42(item, 1.01 * most, at=math.inf).status is FAILS


def test_theorem42_constants_that_grow_with_kappa_are_none():
    assert theorem42("(19)", 1.0).status is HOLDS
    for item in ("(19)", "D.4"):
        verdict = theorem42(item, 1.01)
        assert verdict.status is WITH
        assert f"sqrt(r) delta for rho in {item}:" in verdict.condition
        assert theorem42(item, 1.01, kappa=1.0).status is HOLDS
    # Where the proposition never applied nothing is known of it.
    assert theorem42("C", math.nan).status is HOLDS


def test_theorem31_holds_with_room_to_spare():
    verdict = run("theorem31", d=8, multiples=(60.0, 600.0))
    assert verdict.status is HOLDS
    error, delta = verdict.numbers["error"], np.array(verdict.numbers["delta"])
    assert error[1] < 0.5 * error[0]
    assert np.all(error < delta * np.log(1 / delta))
    with pytest.raises(ValueError, match="multiples must be large enough"):
        run("theorem31", d=8, multiples=2.0)


def test_theorem31_verdicts():
    def status(worst, constants):
        row = {"multiple": 9.0, "worst": np.array(worst), "constants": np.array(constants)}
        rows = Results([row | {"delta": 0.1, "error": 0.2}])
        return implicit_theorem31.judge({"multiples": (9.0,)}, rows)

    assert status((1.0, 1.0, 1.0), (10.0, 10.0, 10.0)).status is HOLDS
    broken = status((1.0, 1.01, 1.0), (1.0, 10.1, 1.0))
    assert (broken.status, broken.condition) == (FAILS, "not Proposition 3.2, (15)")


def test_theorem11_bound_holds_and_its_window_does_not_end():
    verdict = run("theorem11", d=8, kappas=(1.0, 2.0), scales=(1e-2, 1e-4, 1e-5))
    assert verdict.status is HOLDS
    few = verdict.numbers["few, kappa 1"]
    assert few["constant"][-1] < 1e-2
    assert few["power"] > 0.5
    assert max(few["rise"]) <= 1.01
    growth = verdict.numbers["error over that of the smallest kappa"]
    assert growth["asked"] < growth["few"]
    empty = run("theorem11", d=8, kappas=1.0, scales=(1e-1, 1e-2))
    assert empty.status is FAILS
    assert "every window is empty" in empty.condition
    with pytest.raises(ValueError, match="scales must have at least 2"):
        run("theorem11", scales=1e-3)


def test_theorem11_sees_a_rise_and_a_broken_bound():
    p = {
        "d": 16,
        "rank": 1,
        "eta": 0.2,
        "scales": (1e-4, 1e-5),
        "kappas": (1.0,),
        "multiple": 10.0,
    }
    times = np.unique(np.geomspace(10, 10**5, 200).round())
    bound = np.array([[math.sqrt(a * 4)] for a in p["scales"]])

    def status(error):
        row = {"kind": "few", "kappa": 1.0, "times": times, "error": error}
        return implicit_theorem11.judge(p, Results([row])).status

    assert status(3.16 * bound * np.ones(times.size)) is HOLDS
    assert status(3.17 * bound * np.ones(times.size)) is FAILS
    assert status(bound * np.where(times > 5e4, 1.009, 1.0)) is HOLDS
    assert status(bound * np.where(times > 5e4, 1.011, 1.0)) is FAILS


def test_theorem12_laws():
    verdict = run("theorem12", d=8, rank=1, scales=(1e-3, 1e-2), kappas=1.0, etas=(0.04, 0.02))
    assert verdict.status is HOLDS
    numbers = verdict.numbers
    assert numbers["power"]["alpha"] > 1.5
    assert abs(numbers["power"]["eta"]) < 1.0
    assert numbers["time_over_first"]["eta"].max() < 2.0
    lost = run("theorem12", d=8, rank=1, scales=(1e-3, 1e-2), kappas=1.0, etas=2.0, seeds=1)
    assert (lost.status, lost.condition) == (FAILS, "shorter steps")


def test_generalisation_error_is_that_of_samples(rng):
    D = rng.standard_normal((3, 3))
    D = D + D.T
    x = rng.standard_normal((400_000, 3))
    mean = np.mean(np.einsum("ni,ij,nj->n", x, D, x) ** 2)
    assert implicit_theorem12._generalisation(D) == pytest.approx(mean, rel=0.02)


def test_theorem12_verdicts_at_their_limits():
    p = {"d": 10, "scales": (1e-3, 1e-2), "kappas": (1.0,), "etas": (0.1,)}

    def status(*errors):
        rows = [
            {"alpha": a, "kappa": 1.0, "eta": 0.1, "error": e, "reached": 1, "window": 1}
            for a, e in zip(p["scales"], errors, strict=True)
        ]
        return implicit_theorem12.judge(p, Results(rows)).status

    assert status(0.1, 0.99) is HOLDS
    assert status(0.101, 1.0) is FAILS
    assert status(0.1 * 10**-0.94, 0.1) is FAILS
    assert status(0.1 * 10**-0.96, 0.1) is HOLDS


def test_noise_is_reached_and_fitted_later_on():
    verdict = run("noise", d=10, rank=1, kinds="sensing", noises=(0.0, 0.5), times=100.0)
    clean, noisy = verdict.numbers["sensing, noise 0"], verdict.numbers["sensing, noise 0.5"]
    assert clean["end"] < 1e-4
    assert noisy["lowest"] < 2 * noisy["floor"]
    assert verdict.status is WITH
    assert "early stopping in sensing at sigma = 0.5" in verdict.condition


def test_noise_verdicts_at_their_limits():
    p = {"kinds": ("sensing",), "noises": (0.1,)}

    def status(*error):
        row = {"kind": "sensing", "noise": 0.1, "floor": 0.1, "error": np.array(error)}
        return implicit_noise.judge(p, Results([row | {"time": np.array([1.0, 3.0])}]))

    assert status(0.3, 0.3).status is HOLDS
    assert status(0.31, 0.31).status is FAILS
    assert status(0.25, 0.3).status is HOLDS
    late = status(0.24, 0.3)
    assert late.status is WITH
    assert late.condition.endswith("errors rise by up to 1.2 times")
    assert status(0.24, math.inf).condition.endswith("sensing at sigma = 0.1 diverges")


def test_lemmas_need_the_ranks_of_their_proofs():
    verdict = run("lemmas", d=6, multiples=(20.0, 1000.0))
    assert verdict.status is WITH
    assert "with the printed ranks 2.2, 2.3 and F.1, F.2 are wrong" in verdict.condition
    numbers = verdict.numbers
    np.testing.assert_allclose(numbers["example, gap"], 0.5)
    assert max(numbers["example, printed delta"]) < 1e-9
    assert max(numbers["gaussian, gap over delta of the proof"]) <= 1.0
    assert np.all(numbers["delta of rank r"] <= numbers["ceiling of every delta"])


def test_lemmas_verdicts():
    def status(gap, printed, proof, example=(0.5, 0.5, 0.5)):
        same = np.tile([gap, printed, proof], (3, 1))
        rows = [
            {"kind": "gaussian", "multiple": 9.0, "gaps": same, "ceiling": 1.0},
            {"kind": "determinant", "multiple": 1.0, "gaps": np.tile(example, (3, 1))},
        ]
        return implicit_lemmas.judge({"multiples": (9.0,)}, Results(rows)).status

    assert status(1.01, 1.0, 1.0) is HOLDS
    assert status(1.03, 1.0, 1.1) is WITH
    assert status(1.03, 1.1, 1.0) is FAILS
    assert status(1.0, 1.0, 1.0, (0.5, 0.0, 0.5)) is WITH
    assert status(1.0, 1.0, 1.0, (0.5, 0.5, 0.4)) is FAILS


def test_lemma_a1_needs_the_radius_of_its_proof():
    verdict = run("lemma-a1", sizes=3, samples=(30, 3000))
    assert verdict.status is WITH
    found = verdict.numbers["deviation"]
    assert found["printed"][0, 1] > 1.0
    assert found["proof"][0, 1] < 0.3
    assert verdict.numbers["bias"]["proof"] < 0.01 < verdict.numbers["bias"]["printed"]
    with pytest.raises(ValueError, match="delta must be"):
        run("lemma-a1", delta=0.1)
