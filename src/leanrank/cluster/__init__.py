"""Measurements on several machines, by Dask: data stay where they are, factors travel."""

from leanrank.cluster._entries import EntriesOnCluster
from leanrank.cluster._ratings import shared_entries
from leanrank.cluster._sensing import stacked

__all__ = ["EntriesOnCluster", "shared_entries", "stacked"]
