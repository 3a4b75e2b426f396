"""Measurements on several machines, by Dask: data stay where they are, factors travel."""

from leanrank.cluster._sensing import stacked

__all__ = ["stacked"]
