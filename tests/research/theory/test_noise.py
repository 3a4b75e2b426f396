from __future__ import annotations

import math

import numpy as np
import pytest

from leanrank.research import theory


def test_oracle_error_is_that_of_linear_least_squares(rng):
    n, p, noise = 40, 12, 0.3
    squares = []
    for _ in range(600):
        A = rng.standard_normal((n, p))
        squares.append(
            np.sum(np.linalg.lstsq(A, noise * rng.standard_normal(n), rcond=None)[0] ** 2)
        )
    assert math.sqrt(np.mean(squares)) == pytest.approx(theory.oracle_error(noise, p, n), rel=0.05)


def test_too_few_measurements_say_nothing():
    assert theory.oracle_error(0.1, 10, 11) == math.inf
    assert theory.oracle_error(0.1, 10, 12) == pytest.approx(0.1 * math.sqrt(10))


def test_noise_floor_is_the_rate_of_equation_16():
    assert theory.noise_floor(0.2, 20, 3, 240) == pytest.approx(0.1)
    assert theory.noise_floor(0.2, 20, 3, 10**9) < 1e-4
    with pytest.raises(ValueError, match="measurements must be at least 1"):
        theory.noise_floor(0.2, 20, 3, 0)
