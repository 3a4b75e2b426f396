"""Drawing: which chain is sampled, and that what is returned is what was tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leanrank import inference, simulate
from leanrank.operators import ObservedEntries
from leanrank.posterior import Layout, entries_of, fit, start
from leanrank.problem import Problem
from leanrank.search import Fitter, Monitor, assessing, drawing, predicting
from leanrank.search.drawing import Chain, HeldOutDraws, wide_chain
from leanrank.solvers import GaussNewton

NARROW = Chain()


def nearly_low_rank(seed: int, shape=(120, 100)):
    """Singular values that fall slowly, half of the entries, and no noise."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((n, min(shape))))[0] for n in shape)
    X = (U * (1.0 + np.arange(min(shape))) ** -1.2) @ V.T
    X /= X.std()
    seen = rng.random(shape) < 0.6
    return X, seen, ObservedEntries(*np.nonzero(seen), shape)


def state_of(width: int, sweeps: int):
    X, seen, op = nearly_low_rank(0)
    entries, _ = entries_of(Problem(op, X[seen]))
    return replace(start(entries, Layout(width), np.random.default_rng(0)), sweeps=sweeps)


def missed(size: float) -> HeldOutDraws:
    errors = size * np.linspace(0.9, 1.1, 400)
    return HeldOutDraws(errors, size, True, None, np.ones(400, bool))


def tried(state, sizes, *, chain=NARROW, most=100):
    """The chains that are tried, where these are what they miss, and the one that is taken."""
    seen: list[Chain] = []

    def try_out(chain: Chain) -> HeldOutDraws:
        seen.append(chain)
        return missed(sizes[len(seen) - 1])

    taken, drawn = wide_chain(state, chain, missed(1.0), try_out, most)
    return seen, taken, float(drawn.errors.mean())


def test_the_noise_is_halved_while_that_pays():
    seen, taken, error = tried(state_of(12, 3), [0.9, 0.8, 0.85, 0.1])
    assert [chain.least_noise for chain in seen] == pytest.approx([0.7, 0.35, 0.175])
    assert all(chain.spare == 48 for chain in seen)  # sixty columns
    assert taken is seen[1]
    assert error == pytest.approx(0.8)
    # No more columns than there may be.
    seen, _, _ = tried(state_of(12, 3), [0.9, 0.9], most=16)
    assert seen[0].spare == 4


def test_what_is_not_better_is_not_taken():
    seen, taken, error = tried(state_of(12, 3), [1.01, 1.02])
    assert (len(seen), taken, error) == (2, NARROW, pytest.approx(1.0))


def test_a_first_level_of_noise_that_is_too_high_is_not_the_last():
    seen, taken, error = tried(state_of(12, 3), [1.2, 0.9, 0.95])
    assert (len(seen), error) == (3, pytest.approx(0.9))
    assert taken is seen[1]


@pytest.mark.parametrize(
    ("width", "sweeps", "options"),
    [(11, 3, {}), (12, 3, {"chain": Chain(column_noise=True)})],
)
def test_nothing_is_tried_where_columns_are_few_or_have_noise_of_their_own(width, sweeps, options):
    assert tried(state_of(width, sweeps), [0.1, 0.05, 0.1], **options)[0] == []


def test_nothing_is_tried_of_millions_of_entries(monkeypatch):
    monkeypatch.setattr(drawing, "_LARGE", state_of(12, 3).entries.size)
    assert tried(state_of(12, 3), [0.9, 0.8, 0.85])[0] == []
    monkeypatch.setattr(drawing, "_LARGE", state_of(12, 3).entries.size + 1)
    assert len(tried(state_of(12, 3), [0.9, 0.8, 0.85])[0]) == 3


def test_a_wide_chain_leaves_the_point_estimate():
    state = state_of(12, 3)
    post = Chain(spare=12, least_noise=0.3).sample(state, np.random.default_rng(0), 5)
    assert post.left.shape[2] == 24
    np.testing.assert_array_equal(post.factors.U, state.rows)
    assert (post.noise >= 0.3 * (1 - 1e-12)).all()
    # Of many those that count most.
    wide = state_of(70, 3)
    many = Chain(least_noise=0.3, spare=0).sample(wide, np.random.default_rng(0), 2)
    assert many.left.shape[2] == 60
    np.testing.assert_array_equal(many.factors.U, wide.rows)
    # Not wider than the matrix.
    more = Chain(spare=200, least_noise=0.3).sample(state, np.random.default_rng(0), 2)
    assert more.left.shape[2] == 100


@pytest.mark.parametrize(("rho", "noise"), [(2.0, 0.5), (2.0, 1.0), (4.0, 0.1)])
def test_matrices_of_low_rank_cost_no_more(monkeypatch, rho, noise):
    asked = []
    draw = drawing.draws_of_held_out

    def counted(*args):
        asked.append(args)
        return draw(*args)

    monkeypatch.setattr(assessing, "draws_of_held_out", counted)
    for seed in range(2):
        inst = simulate.matrix_completion((100, 80), 3, oversampling=rho, random_state=seed)
        rng = np.random.default_rng(seed)
        y = inst.y + noise * np.std(inst.y) * rng.standard_normal(inst.y.size)
        inference.posterior(inst.op, y, draws=2)
    assert len(asked) == 2


@pytest.mark.parametrize(("nearly", "sweeps"), [(True, 0), (False, 0), (True, 2)])
def test_low_rank_is_told_from_what_is_so_only_nearly(nearly, sweeps):
    """By directions that are left, where sweeps need not be stopped early."""
    rng = np.random.default_rng(1)
    X = nearly_low_rank(1)[0]
    if not nearly:
        U, V = (rng.standard_normal((n, 14)) for n in X.shape)
        X = U @ V.T
    seen = rng.random(X.shape) < 0.7
    problem = Problem(
        ObservedEntries(*np.nonzero(seen), X.shape),
        X[seen] / X.std() + 0.2 * rng.standard_normal(np.sum(seen)),
    )
    fitter = Fitter(GaussNewton(), rng, Monitor())
    state = fit(start(entries_of(problem)[0], Layout(14), rng), prune=False)
    found = predicting._is_approximately_low_rank(replace(state, sweeps=sweeps), problem, fitter)
    assert found == nearly
    few = fit(start(entries_of(problem)[0], Layout(4), rng), prune=False)
    assert not predicting._is_approximately_low_rank(few, problem, fitter)
