"""White noise: its edge, what singular values show as, and the shrinkage that is best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanrank.evidence.white_noise import WhiteNoise

shapes = st.tuples(st.integers(5, 3000), st.integers(5, 3000))


@given(shapes, st.floats(0.1, 10.0), st.floats(1.01, 20.0))
def test_what_shows_leads_back_to_what_is_beneath(shape, deviation, ratio):
    n1, n2 = shape
    noise = WhiteNoise(shape, deviation)
    x = np.array([ratio * deviation * (n1 * n2) ** 0.25])
    shown = np.sqrt((x**2 + deviation**2 * n1) * (x**2 + deviation**2 * n2)) / x
    assert shown > noise.edge
    np.testing.assert_allclose(noise.beneath(shown), x, rtol=1e-4)
    # Gavish and Donoho (2017): x times the cosines of the angles of both vectors.
    beta, y = min(shape) / max(shape), x / (deviation * max(shape) ** 0.5)
    left = (y**4 - beta) / (y**4 + beta * y**2)
    right = (y**4 - beta) / (y**4 + y**2)
    np.testing.assert_allclose(noise.shrunk(shown), x * np.sqrt(left * right), rtol=1e-3)


@given(shapes, st.floats(0.1, 10.0), st.floats(1.001, 20.0), st.floats(0.0, 2.0))
def test_no_other_value_is_expected_to_miss_less(shape, deviation, ratio, other):
    noise = WhiteNoise(shape, deviation)
    values = np.array([ratio * noise.edge])
    best = noise.shrunk(values)
    least = noise.expected_error(values, best)
    assert least <= noise.expected_error(values, other * best) * (1 + 1e-9)
    np.testing.assert_allclose(least**2, noise.beneath(values) ** 2 - best**2, rtol=1e-6)


def test_at_the_edge_nothing_is_left():
    noise = WhiteNoise((200, 50), 2.0)
    assert noise.edge == pytest.approx(2.0 * (200**0.5 + 50**0.5))
    assert noise.shrunk(np.array([noise.edge]))[0] == pytest.approx(0.0, abs=1e-4 * noise.edge)
    assert noise.threshold > noise.edge
    assert noise.standing_out(noise.threshold * np.array([1.5, 1.01, 0.99])) == 2


@pytest.mark.parametrize("symmetric", [False, True])
def test_noise_is_told_by_what_a_rank_leaves(rng, symmetric):
    n1, n2, rank = 300, 300 if symmetric else 200, 4
    E = 3.0 * rng.standard_normal((n1, n2))
    E = (E + E.T) / 2 if symmetric else E
    P, Q = (np.linalg.qr(rng.standard_normal((n, rank)))[0] for n in (n1, n2))
    Q = P if symmetric else Q
    left = E - P @ (P.T @ E)
    left = left - (left @ Q) @ Q.T
    noise = WhiteNoise.left_by(float(np.sum(left**2)), rank, (n1, n2), symmetric)
    assert noise.deviation == pytest.approx(3.0 / 2**0.5 if symmetric else 3.0, rel=0.02)
    assert np.linalg.norm(left, 2) == pytest.approx(noise.edge, rel=0.05)


@pytest.mark.parametrize(("shape", "symmetric"), [((60, 40), False), ((50, 50), True)])
def test_the_threshold_is_hardly_ever_reached(rng, shape, symmetric):
    noise, reached = WhiteNoise(shape, 2**-0.5 if symmetric else 1.0, symmetric), 0
    for _ in range(200):
        E = rng.standard_normal(shape)
        E = (E + E.T) / 2 if symmetric else E
        top = np.linalg.norm(E, 2)
        reached += top > noise.threshold
        assert top < 1.1 * noise.threshold
    assert reached <= 2
