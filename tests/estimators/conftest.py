"""Generated ratings, with the truth behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from leanrank import MatrixFactorization


@dataclass(frozen=True)
class Rated:
    """Pairs and their ratings, and what was to be expected of them; the first ``seen`` to fit."""

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    expected: np.ndarray
    noise: float
    rank: int
    seen: int

    @property
    def given(self):
        return self.users[: self.seen], self.items[: self.seen], self.ratings[: self.seen]

    @property
    def held(self):
        return self.users[self.seen :], self.items[self.seen :], self.ratings[self.seen :]


def rated(seed=0, shape=(300, 200), rank=3, size=12_000, noise=0.5, seen=0.8):
    """Intercepts and low rank, no pair twice; popular items are met more often."""
    rng = np.random.default_rng([seed, 13])
    X = 3.5 + 0.4 * rng.normal(size=(shape[0], 1)) + 0.4 * rng.normal(size=shape[1])
    X += 0.6 * rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    chance = np.outer(rng.lognormal(0, 0.5, shape[0]), rng.lognormal(0, 0.5, shape[1])).ravel()
    at = rng.choice(X.size, size, replace=False, p=chance / chance.sum())
    users, items = np.unravel_index(at, shape)
    expected = X[users, items]
    ratings = expected + noise * rng.normal(size=size)
    return Rated(users, items, ratings, expected, noise, rank, int(seen * size))


@pytest.fixture(scope="package")
def make_ratings():
    """Makes ratings from a seed and what else is to differ."""
    return rated


@pytest.fixture(scope="package")
def ratings():
    return rated()


@pytest.fixture(scope="package")
def model(ratings):
    """Fitted to the ratings; not to be changed."""
    return MatrixFactorization().fit(*ratings.given)
