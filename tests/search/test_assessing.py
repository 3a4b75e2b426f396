"""What held-out measurements say of columns with a prior: drawn when asked, and once."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from leanrank import Status, recover, simulate
from leanrank.search import assessing


@pytest.fixture
def draws(monkeypatch) -> list:
    """What held-out measurements were compared with draws."""
    seen, draw = [], assessing.draws_of_held_out

    def counted(*args):
        seen.append(draw(*args))
        return seen[-1]

    monkeypatch.setattr(assessing, "draws_of_held_out", counted)
    return seen


def noisy(noise: float, rho: float) -> tuple:
    inst = simulate.matrix_completion((100, 80), 2, oversampling=rho, random_state=0)
    rng = np.random.default_rng(0)
    return inst.op, inst.y + noise * np.std(inst.y) * rng.standard_normal(inst.y.size)


def test_a_certified_fit_needs_no_draws_until_its_posterior_is_asked_for(draws):
    result = recover(*noisy(0.1, 8.0))
    assert result.status is Status.CONVERGED
    assert draws == []
    post = result.posterior
    assert len(draws) == 1
    if draws[0].scores is not None:
        np.testing.assert_array_equal(post.scores, draws[0].scores)
    low, high = post.interval(np.arange(100)[:, None], np.arange(80))
    assert (low < high).all()
    np.testing.assert_array_equal(result.posterior.left, post.left)
    assert len(draws) == 1


def test_what_is_only_predicted_says_how_many_intervals_hold(draws):
    result = recover(*noisy(1.0, 3.0))
    assert result.status is not Status.CONVERGED
    assert result.certificate.prediction.coverage == np.mean(draws[0].inside)
    assert len(draws) == 1


def test_draws_do_not_depend_on_when_they_are_made(monkeypatch):
    op, y = noisy(0.1, 8.0)
    late = recover(op, y)
    kept = assessing.Assessment.__init__

    def at_once(self, *args, **options):
        kept(self, *args, **options)
        assert self.prediction.size

    monkeypatch.setattr(assessing.Assessment, "__init__", at_once)
    early = recover(op, y)
    np.testing.assert_array_equal(late.factors.W, early.factors.W)
    np.testing.assert_array_equal(late.posterior.left, early.posterior.left)


def test_a_run_that_is_over_asks_no_callbacks():
    """Draws that come later are nobody's to stop."""
    asked = []
    result = recover(*noisy(0.1, 8.0), callbacks=[lambda state: asked.append(state)])
    before, passes = len(asked), len(result.history)
    assert replace(result).posterior.size > 1
    assert (len(asked), len(result.history)) == (before, passes)


def test_results_can_be_copied_whatever_callbacks_a_run_had():
    """As scikit-learn asks: a function of a function cannot be pickled."""
    result = recover(*noisy(0.1, 8.0), callbacks=[lambda state: None])
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(copy.posterior.left, result.posterior.left)
