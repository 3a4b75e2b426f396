"""
Do intervals hold what they promise?
====================================

An interval of level 0.8 should hold eight of ten readings that nobody has seen. Whether it does
can be checked: keep some readings back, and count.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# A noisy matrix of rank 3; a fifth of what was read is kept back.

rng = np.random.default_rng(1)
truth = rng.standard_normal((100, 3)) @ rng.standard_normal((3, 60))
rows, cols = np.nonzero(rng.random(truth.shape) < 0.3)
readings = truth[rows, cols] + 0.5 * rng.standard_normal(rows.size)
kept_back = rng.random(rows.size) < 0.2

seen = lr.operators.ObservedEntries(rows[~kept_back], cols[~kept_back], truth.shape)
posterior = lr.posterior(seen, readings[~kept_back])
there = rows[kept_back], cols[kept_back]

# %%
# The share inside, at every level. The diagonal is what was promised; the band is what chance
# allows.


def interval(level):
    """For new readings, which have noise of their own: longer than those of the entries."""
    return posterior.interval(*there, level, reading=True)


figure = plt.figure(figsize=(4.5, 4.2), layout="constrained")
lr.plotting.calibration(interval, readings[kept_back], figure=figure)
plt.show()

# %%
# The intervals themselves, sorted by length: entries of rows and columns with few readings are
# known less well.

figure = plt.figure(figsize=(8, 3.4), layout="constrained")
middle = posterior.mean(*there)
lr.plotting.intervals(middle, *interval(0.8), readings[kept_back], figure=figure)
plt.show()
