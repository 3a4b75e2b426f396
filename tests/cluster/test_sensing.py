"""Operators held by workers."""

import os
from copy import copy
from operator import attrgetter, methodcaller

import numpy as np
import pytest

from leanrank import Factors, Status, recover, simulate
from leanrank.cluster import stacked
from leanrank.operators import ObservedEntries, RankOneSensing, Stacked
from leanrank.testing import check_adjoint

OPTIONS = {"oversampling": 5, "symmetric": True, "random_state": 0}
INSTANCE = simulate.dense_sensing(10, 1, **OPTIONS)
PARTS = [np.arange(i, INSTANCE.op.size, 4) for i in range(4)]
Y = INSTANCE.y[np.concatenate(PARTS)]


def held(client):
    """The instance's operator in parts, each made where it is held."""
    whole = client.submit(simulate.dense_sensing, 10, 1, **OPTIONS)
    op = client.submit(attrgetter("op"), whole)
    return [client.submit(methodcaller("subset", index), op) for index in PARTS]


def here():
    return Stacked([INSTANCE.op.subset(index) for index in PARTS])


@pytest.mark.parametrize("kind", ["dense", "rank-one", "entries"])
def test_is_the_operator_that_stands_here(client, kind):
    rng = np.random.default_rng(0)
    if kind == "dense":
        ops = [INSTANCE.op.subset(index) for index in PARTS]
    elif kind == "rank-one":
        ops = [RankOneSensing(rng.standard_normal((m, 8))) for m in (5, 9)]
    else:
        cells = [rng.permutation(56)[:m] for m in (11, 17)]
        ops = [ObservedEntries(c // 7, c % 7, (8, 7)) for c in cells]
    near, far = Stacked(ops), stacked([client.submit(copy, op) for op in ops], client)
    check_adjoint(far)
    assert (far.shape, far.size) == (near.shape, near.size)
    assert far.symmetric == near.symmetric
    W = [Factors(rng.standard_normal((n, 2))) for n in near.shape]
    f = W[0] if near.symmetric else Factors(W[0].U, W[1].U)
    index = rng.permutation(near.size)[: near.size // 2]
    Z, w = rng.standard_normal(f.W.shape), rng.uniform(size=near.size)
    np.testing.assert_array_equal(far.forward(f), near.forward(f))
    np.testing.assert_array_equal(far.subset(index).forward(f), near.subset(index).forward(f))
    np.testing.assert_array_equal(far.gains(), near.gains())
    for a, b in zip(far.undetermined(2), near.undetermined(2), strict=True):
        np.testing.assert_array_equal(a, b)
    J, K = far.tangent(f), near.tangent(f)
    np.testing.assert_allclose(J.normal(Z, w), K.normal(Z, w), rtol=1e-13)
    np.testing.assert_allclose(J.blocks(w), K.blocks(w), rtol=1e-13)
    np.testing.assert_allclose(J.column_curvature(), K.column_curvature(), rtol=1e-13)
    assert J.exact_blocks == K.exact_blocks
    assert (J.build_cost, J.normal_cost) == (K.build_cost, K.normal_cost)


def test_recovers_the_same_with_one_worker_and_with_several(cluster):
    near = recover(here(), Y, symmetric=True)
    for workers in (1, 2, 4):
        with cluster(workers, processes=False) as client:
            far = recover(stacked(held(client), client), Y, symmetric=True)
        assert far.status is Status.CONVERGED
        assert far.rank == 1
        apart = far.factors.to_dense() - near.factors.to_dense()
        assert np.abs(apart).max() <= 1e-10 * near.factors.norm()


def test_goes_on_after_a_worker_has_died(cluster):
    with cluster(2) as client:
        op = stacked(held(client), client)
        W = Factors(np.ones((10, 1)))
        tangent, before = op.tangent(W), op.forward(W)
        (dead, *_), *_ = client.who_has([part.held.future for part in op.ops]).values()
        process = client.run(os.getpid, workers=[dead])[dead]
        os.kill(process, 9)
        np.testing.assert_allclose(op.forward(W), before, rtol=1e-13)
        np.testing.assert_allclose(tangent.matvec(W.W), 2.0 * before, rtol=1e-13)
        assert client.run(os.getpid).get(dead) != process


def test_refuses_what_is_no_operator(client):
    with pytest.raises(TypeError, match=r"parts\[1\] must be a future, got DenseSensing"):
        stacked([held(client)[0], INSTANCE.op], client)
    with pytest.raises(TypeError, match="parts must be measurement operators, got int"):
        stacked([client.submit(copy, 3)], client)
    with pytest.raises(ValueError, match="ops is empty"):
        stacked([], client)
