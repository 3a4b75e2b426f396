"""Hidden layers without what has faded: the same descent."""

import numpy as np
import pytest

import leanrank as lr
from leanrank.operators import FullObservation
from leanrank.problem import Problem
from leanrank.research.deep import DeepFactors, Phase, _blocks, annealing, initial_layers, train
from leanrank.research.deep._narrow import narrowed, widened
from leanrank.research.experiments._deep import observed as two_by_two


def both(monkeypatch, problem, starts, schedule, **options):
    """With and without, and the widths that there were."""
    widths = []

    def watched(layers):
        found = narrowed(layers)
        widths.append(tuple(W.shape[0] for W in (found[0] if found else layers)[:-1]))
        return found

    monkeypatch.setattr(_blocks, "narrowed", watched)
    own = train(problem, starts, schedule, random_state=0, **options)
    monkeypatch.setattr(_blocks, "narrowed", lambda layers: None)
    return own, train(problem, starts, schedule, random_state=0, **options), widths


def agree(own, reference):
    s = reference.singular_values
    assert np.all(np.abs(own.singular_values - s) <= 1e-12 * s[:, :, :1])
    kept = [(own.networks, reference.networks)]
    kept += [(own.kept[step], networks) for step, networks in reference.kept.items()]
    for networks, references in kept:
        for network, expected in zip(networks, references, strict=True):
            for W, V in zip(network.layers, expected.layers, strict=True):
                np.testing.assert_allclose(W, V, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(("epsilon", "depth", "rate"), [(0.25, 3, 0.2), (0.1, 4, 0.25)])
def test_trajectories_are_those_of_the_wide_network(monkeypatch, epsilon, depth, rate):
    starts = [initial_layers((2, 2), depth, width, random_state=0) for width in (20, 50)]
    own, reference, widths = both(
        monkeypatch,
        two_by_two(epsilon),
        starts,
        (*annealing(8000, 0, learning_rate=rate), Phase(3000, 0.05, 0.001)),
        keep=[1000, 4000],
    )
    agree(own, reference)
    np.testing.assert_array_equal(own.jumps(), reference.jumps())
    assert np.any(own.jumps() >= 0)
    assert (50,) * (depth - 1) in widths
    assert (2,) * (depth - 1) in widths
    assert (1,) * (depth - 1) in widths


def test_of_dense_measurements_too(monkeypatch):
    inst = lr.simulate.dense_sensing((4, 3), 1, oversampling=2, random_state=0)
    start = initial_layers((4, 3), 3, 20, random_state=0)
    own, reference, widths = both(
        monkeypatch, Problem(inst.op, inst.y), start, [Phase(9000, 0.02, 0.3)], batch_size=2
    )
    agree(own, reference)
    assert widths[0] == (20, 20)
    assert max(widths[-1]) <= 3


def test_where_nothing_fades_nothing_is_narrowed(monkeypatch):
    start = initial_layers((2, 2), 3, 20, random_state=0)
    own, reference, widths = both(monkeypatch, two_by_two(0.5), start, [Phase(9000, 0.1, 0.0)])
    assert widths == [(20, 20)]
    np.testing.assert_array_equal(own.singular_values, reference.singular_values)


def test_it_is_tried_as_soon_as_a_ridge_has_had_time():
    schedule = [Phase(500, 0.03, 0.1), Phase(9000, 0.2, 0.1), Phase(9000, 0.2, 0.0)]
    blocks = _blocks.plan(schedule, 20, (), (2, 2))
    assert [block.end for block in blocks if block.fading] == [2140, 3860, 5580, 7300, 9020]
    for warm_up, steps in ((500, 1640), (0, 1720)):  # to 1e-15, in whole records
        for less, faded in ((0, True), (20, False)):
            decay = (1 - 0.003) ** warm_up * (1 - 0.02) ** (steps - less)
            assert (decay <= 1e-15) == faded


def test_bases_give_the_wide_layers_back(rng):
    matrix = rng.standard_normal((6, 5))
    spare = DeepFactors.balanced(matrix, 4, 30)
    layers, bases = narrowed(spare.layers)
    assert [W.shape for W in layers] == [(5, 5), (5, 5), (5, 5), (6, 5)]
    for W, V in zip(widened(layers, bases), spare.layers, strict=True):
        np.testing.assert_allclose(W, V, rtol=0.0, atol=1e-13)
    assert narrowed(initial_layers((6, 5), 4, 30, random_state=0).layers) is None
    for size, left in ((1e-12, 6), (1e-16, 5)):
        spare.layers[0][8] = size
        assert [Q.shape[1] for Q in narrowed(spare.layers)[1]] == [left, 5, 5]
    zero, _ = narrowed([np.zeros((3, 2)), np.zeros((3, 3)), np.zeros((2, 3))])
    assert [W.shape for W in zero] == [(1, 2), (1, 1), (2, 1)]


@pytest.mark.filterwarnings("ignore::leanrank.research.deep.CollapseWarning")  # it is to take all
def test_two_layers_find_back_what_a_ridge_had_taken():
    # Unlike with more: zero is no minimum there.
    problem = Problem(FullObservation((2, 2)), np.diag([1.0, 0.3]))
    schedule = [Phase(20_000, 0.1, 0.25), Phase(20_000, 0.1, 0.01)]
    ends = {
        depth: train(
            problem,
            initial_layers((2, 2), depth, 8, random_state=0),
            schedule,
            batch_size=None,
            keep=20_000,
        )
        for depth in (2, 3)
    }
    for training in ends.values():
        assert training.kept[20_000][0].singular_values()[1] < 1e-12
    assert ends[2].singular_values[-1, 0, 1] == pytest.approx(0.28, rel=1e-6)
    assert ends[3].singular_values[-1, 0, 1] < 1e-12
