"""Clusters on this machine."""

from contextlib import contextmanager

import pytest

distributed = pytest.importorskip("distributed", reason="it comes with leanrank[cluster]")


@contextmanager
def started(workers, **options):
    """A client of a cluster of so many workers."""
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0", **options
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def cluster():
    """Starts clusters."""
    return started


@pytest.fixture(scope="package")
def client():
    """Two workers in this process."""
    with started(2, processes=False) as client:
        yield client
