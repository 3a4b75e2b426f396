"""Descent of deep linear networks: the formula to the letter."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import leanrank as lr
from leanrank.operators import DenseSensing, ObservedEntries, RankOneSensing
from leanrank.problem import Problem
from leanrank.research.deep import (
    DeepFactors,
    Phase,
    _engines,
    initial_layers,
    train,
)
from leanrank.research.deep._engines import Sampling
from leanrank.research.experiments._deep import observed as two_by_two
from leanrank.results import Status


def by_the_formula(layers, rows, cols, y, picks, rate, ridge):
    """Products and gradients of all layers, step by step."""
    layers = [W.copy() for W in layers]
    for batch in picks:
        A = np.linalg.multi_dot(layers[::-1])
        R = np.zeros_like(A)
        for p in batch:
            R[rows[p], cols[p]] += 2.0 * (A[rows[p], cols[p]] - y[p]) / len(batch)
        gradients = []
        for i in range(len(layers)):
            above, below = np.eye(A.shape[0]), np.eye(A.shape[1])
            for W in layers[i + 1 :][::-1]:
                above = above @ W
            for W in layers[:i]:
                below = W @ below
            gradients.append(above.T @ R @ below.T)
        layers = [
            (1.0 - rate * ridge) * W - rate * G for W, G in zip(layers, gradients, strict=True)
        ]
    return layers


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("batch", [1, 3, None])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_updates_are_those_of_the_formula(rng, depth, batch, replacement):
    rows, cols = np.nonzero(rng.random((4, 3)) < 0.7)
    y = rng.standard_normal(rows.size)
    problem = Problem(ObservedEntries(rows, cols, (4, 3)), y)
    start = initial_layers((4, 3), depth, 6, random_state=1)
    schedule = (Phase(70, 0.05, 0.03), Phase(31, 0.02, 0.07))
    training = train(
        problem,
        start,
        schedule,
        every=20,
        batch_size=batch,
        replacement=replacement,
        random_state=3,
    )
    seed = int(np.random.default_rng(3).integers(2**62))
    picks = Sampling(y.size, batch, replacement).picks(seed, 0, 101)
    layers = by_the_formula(start.layers, rows, cols, y, picks[:70], 0.05, 0.03)
    layers = by_the_formula(layers, rows, cols, y, picks[70:], 0.02, 0.07)
    for own, reference in zip(training.networks[0].layers, layers, strict=True):
        np.testing.assert_allclose(own, reference, rtol=1e-11, atol=1e-13)
    s = np.linalg.svd(training.networks[0].product(), compute_uv=False)
    np.testing.assert_allclose(training.singular_values[-1, 0], s, rtol=1e-10)
    assert training.steps.tolist() == [0, 20, 40, 60, 80, 100, 101]
    assert training.statuses == (Status.MAX_ITER,)


@pytest.mark.parametrize("depth", [2, 3])
def test_weight_decay_that_compiled_code_puts_off_never_underflows(depth):
    # Half of all weights in each of 3000 steps, and the gradient makes up for it.
    start = DeepFactors([np.array([[1.2]])] * depth)
    rows = cols = np.zeros(1, int)
    picks = np.zeros((3000, 1), int)
    problem = Problem(ObservedEntries(rows, cols, (1, 1)), np.array([2.0]))
    engine = _engines.engine(problem, start, Sampling(1, 1, True))
    squares, products = engine.advance(picks, Phase(3000, 0.2, 2.5), np.array([1000, 3000]))
    own = by_the_formula(start.layers, rows, cols, problem.y, picks, 0.2, 2.5)
    assert squares.size == 3000
    for W, reference in zip(engine.layers(), own, strict=True):
        np.testing.assert_allclose(W, reference, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(products.ravel(), np.prod(own) if depth == 2 else 0.0, atol=1e-9)
    assert (own[0] > 0.5) == (depth == 2)  # a deeper network collapses under such a ridge


def test_the_gradient_is_that_of_the_loss(rng):
    # One step on all entries without a ridge, against differences of the loss.
    problem = two_by_two(0.25)
    start = initial_layers((2, 2), 3, 4, random_state=0)
    end = train(problem, start, (Phase(1, 1e-3, 0.0),), batch_size=None).networks[0]

    def loss(layers):
        A = DeepFactors(layers).product()
        return np.mean((A[[0, 1, 1], [0, 0, 1]] - problem.y) ** 2)

    for i, W in enumerate(start.layers):
        direction = rng.standard_normal(W.shape)
        moved = [list(start.layers) for _ in range(2)]
        for layers, sign in zip(moved, (1, -1), strict=True):
            layers[i] = W + sign * 1e-6 * direction
        slope = (loss(moved[0]) - loss(moved[1])) / 2e-6
        assert np.sum((W - end.layers[i]) / 1e-3 * direction) == pytest.approx(slope, rel=1e-6)


def test_uneven_widths_are_padded_without_a_trace(rng):
    start = DeepFactors([rng.standard_normal(s) / 2 for s in ((3, 2), (5, 3), (2, 5), (2, 2))])
    problem = two_by_two(0.5)
    training = train(problem, start, (Phase(50, 0.05, 0.1),), random_state=0)
    seed = int(np.random.default_rng(0).integers(2**62))
    picks = Sampling(3, 1, True).picks(seed, 0, 50)
    rows, cols = np.array([0, 1, 1]), np.array([0, 0, 1])
    expected = by_the_formula(start.layers, rows, cols, problem.y, picks, 0.05, 0.1)
    for own, reference in zip(training.networks[0].layers, expected, strict=True):
        np.testing.assert_allclose(own, reference, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("replacement", [True, False])
def test_draws_depend_on_seed_and_step_alone(replacement):
    sampling = Sampling(7, 3, replacement)
    whole = sampling.picks(5, 0, 40)
    parts = [sampling.picks(5, a, b) for a, b in ((0, 1), (1, 6), (6, 7), (7, 40))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    if not replacement:
        for epoch in whole.reshape(-1)[: 7 * 17].reshape(17, 7):
            assert sorted(epoch) == list(range(7))
    many = Sampling(7, 1, True).picks(0, 0, 70_000)
    assert np.bincount(many.ravel()) == pytest.approx(np.full(7, 10_000), rel=0.05)
    orders = Sampling(3, 1, False).picks(0, 0, 60_000).reshape(-1, 3) @ [9, 3, 1]
    assert np.unique(orders, return_counts=True)[1] == pytest.approx(
        np.full(6, 20_000 / 6), rel=0.06
    )


@pytest.mark.parametrize("kind", ["entries", "dense", "rank-one", "symmetric"])
@pytest.mark.parametrize("batch", [1, 4, None])
def test_products_of_layers_give_the_same_updates(rng, kind, batch):
    """Against gradients of the squared residuals by differences of the loss."""
    shape = (4, 4) if kind == "symmetric" else (4, 3)
    if kind == "entries":
        rows, cols = np.nonzero(np.ones(shape))
        A = np.zeros((rows.size, *shape))
        A[np.arange(rows.size), rows, cols] = 1.0
        op = ObservedEntries(rows, cols, shape)
    elif kind == "rank-one":
        x, z = rng.standard_normal((9, 4)), rng.standard_normal((9, 3))
        op, A = RankOneSensing(x, z), np.einsum("mi,mj->mij", x, z)
    else:
        A = rng.standard_normal((9, *shape))
        if kind == "symmetric":
            A = (A + A.transpose(0, 2, 1)) / 2.0
        op = DenseSensing(A, symmetric=kind == "symmetric")
    y = rng.standard_normal(op.size)
    start = initial_layers(shape, 3, 5, random_state=2)
    problem = Problem(op, y)
    phases = (Phase(1, 1e-3, 0.2),)
    end = train(problem, start, phases, batch_size=batch, random_state=3).networks[0]
    (picks,) = Sampling(op.size, batch, True).picks(
        int(np.random.default_rng(3).integers(2**62)), 0, 1
    )

    def loss(layers):
        product = DeepFactors(layers).product()
        return np.mean((np.einsum("mij,ij->m", A[picks], product) - y[picks]) ** 2)

    for i, W in enumerate(start.layers):
        direction = rng.standard_normal(W.shape)
        values = []
        for sign in (1, -1):
            layers = list(start.layers)
            layers[i] = W + sign * 1e-6 * direction
            values.append(loss(layers))
        slope = (values[0] - values[1]) / 2e-6
        moved = (W * (1.0 - 2e-4) - end.layers[i]) / 1e-3
        assert np.sum(moved * direction) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("make", [lr.simulate.dense_sensing, lr.simulate.rank_one_sensing])
def test_sensing_matrices_one_by_one_and_by_operator_agree(monkeypatch, make):
    inst = make((5, 4), 1, oversampling=3, random_state=0)
    start = initial_layers((5, 4), 3, 6, random_state=0)
    runs = []
    for numbers in (0, 50, 1 << 16):  # none, two updates at a time, all of them
        monkeypatch.setattr(_engines, "_FEW_NUMBERS", numbers)
        runs.append(train(Problem(inst.op, inst.y), start, [Phase(101, 0.01, 0.1)], random_state=0))
    for other in runs[1:]:
        np.testing.assert_allclose(other.losses, runs[0].losses, rtol=1e-10)
        np.testing.assert_allclose(
            other.networks[0].product(), runs[0].networks[0].product(), rtol=1e-10
        )


def test_both_engines_agree_on_large_batches(rng):
    # More entries than n1 + n2 go by products; the same entries one step at a time by the formula.
    rows, cols = np.nonzero(rng.random((6, 5)) < 0.8)
    y = rng.standard_normal(rows.size)
    problem = Problem(ObservedEntries(rows, cols, (6, 5)), y)
    start = initial_layers((6, 5), 4, 7, random_state=1)
    training = train(problem, start, (Phase(30, 0.1, 0.1),), batch_size=None)
    picks = Sampling(y.size, None, True).picks(0, 0, 30)
    layers = by_the_formula(start.layers, rows, cols, y, picks, 0.1, 0.1)
    for own, reference in zip(training.networks[0].layers, layers, strict=True):
        np.testing.assert_allclose(own, reference, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("distribution", ["linear", "width", "xavier", "lecun", "he"])
def test_the_variance_of_starting_weights(distribution):
    layers = initial_layers((40, 60), 3, 90, distribution=distribution, random_state=0).layers
    for W in layers:
        out, into = W.shape
        expected = {
            "linear": 1.0 / (3 * into),
            "width": 1.0 / 90,
            "xavier": 2.0 / (into + out),
            "lecun": 1.0 / into,
            "he": 2.0 / into,
        }[distribution]
        assert np.var(W) == pytest.approx(expected, rel=0.1)
        assert abs(np.mean(W)) < 0.1 * expected**0.5


def test_full_observation_is_fitted():
    inst = lr.simulate.full_observation((4, 3), 1, random_state=0)
    start = initial_layers((4, 3), 3, 6, random_state=0)
    training = train(Problem(inst.op, inst.y), start, (Phase(60_000, 0.05, 0.0),), batch_size=4)
    assert inst.error(training.networks[0].to_factors(1e-3)) < 1e-3


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_a_step_is_that_of_pytorch_with_weight_decay(depth):
    torch = pytest.importorskip("torch")
    problem = two_by_two(0.25)
    start = initial_layers((2, 2), depth, 5, random_state=depth)
    layers = [torch.tensor(W, requires_grad=True) for W in start.layers]
    descent = torch.optim.SGD(layers, lr=0.1, weight_decay=0.3)
    seed = int(np.random.default_rng(7).integers(2**62))
    for pick in Sampling(3, 1, True).picks(seed, 0, 5)[:, 0]:
        A = torch.linalg.multi_dot(layers[::-1])
        loss = (A[[0, 1, 1][pick], [0, 0, 1][pick]] - problem.y[pick]) ** 2
        descent.zero_grad()
        loss.backward()
        descent.step()
    own = train(problem, start, [Phase(5, 0.1, 0.3)], random_state=7).networks[0]
    for W, reference in zip(own.layers, layers, strict=True):
        np.testing.assert_allclose(W, reference.detach().numpy(), rtol=1e-12, atol=1e-14)


# Also under a ridge that leaves nothing in the end.
@pytest.mark.filterwarnings("ignore::leanrank.research.deep.CollapseWarning")
@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    depth=st.integers(2, 5),
    ridge=st.floats(0.0, 0.5),
    batch=st.sampled_from([1, None]),
)
def test_under_gradient_flow_balance_errors_decay_with_twice_the_ridge(seed, depth, ridge, batch):
    # Whatever is sampled: each entry's gradient leaves the differences as they are.
    problem = two_by_two(0.5)
    start = initial_layers((2, 2), depth, 4, random_state=seed)
    steps, rate = 20_000, 1e-4
    end = train(
        problem, start, [Phase(steps, rate, ridge)], batch_size=batch, every=steps, random_state=0
    ).networks[0]
    decay = np.exp(-2.0 * ridge * steps * rate)
    for (low, high), (a, b) in zip(pairwise(start.layers), pairwise(end.layers), strict=True):
        before, after = low @ low.T - high.T @ high, a @ a.T - b.T @ b
        np.testing.assert_allclose(after, decay * before, atol=2e-3)


def test_products_at_records_are_those_of_the_singular_values_and_the_networks():
    problem = Problem(ObservedEntries([0, 1, 1], [0, 0, 1], (2, 2)), [1.0, 0.25, 1.0])
    starts = [initial_layers((2, 2), 3, 5, random_state=i) for i in range(2)]
    schedule = [Phase(250, 0.05, 0.1)]
    plain = train(problem, starts, schedule, every=100, random_state=0)
    full = train(problem, starts, schedule, every=100, products=True, random_state=0)
    assert plain.products is None
    assert full.products.shape == (4, 2, 2, 2)
    np.testing.assert_array_equal(full.singular_values, plain.singular_values)
    np.testing.assert_allclose(
        np.linalg.svd(full.products, compute_uv=False), full.singular_values, atol=1e-14
    )
    np.testing.assert_allclose(full.products[0, 1], starts[1].product(), rtol=1e-12)
    np.testing.assert_allclose(full.products[-1, 1], full.networks[1].product(), atol=1e-12)
