"""
A robust fit: when some readings are plainly wrong
==================================================

One spoilt reading in twenty is enough to ruin a fit by squares, since what is far off counts
most. A loss that resists outliers leaves such readings aside, and estimates how noisy the others
are.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# Half of the entries of a matrix of rank 3 are read, with little noise; every twentieth reading
# is off by 10.

rng = np.random.default_rng(0)
truth = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 40))
rows, cols = np.nonzero(rng.random(truth.shape) < 0.5)
y = truth[rows, cols] + 0.05 * rng.standard_normal(rows.size)
y[::20] += 10.0
op = lr.operators.ObservedEntries(rows, cols, truth.shape)

# %%
# ``StudentT`` is the loss for noise with heavy tails (Student's t).

squares = lr.recover(op, y)
robust = lr.recover(op, y, loss=lr.StudentT())
for name, result in (("squares", squares), ("Student's t", robust)):
    error = np.linalg.norm(result.factors.to_dense() - truth) / np.linalg.norm(truth)
    print(f"{name:11} rank {result.rank}, relative error {error:.1%}, {result.status.name}")

# %%
# What the two leave of each reading. With the robust loss the spoilt ones stand out, so that
# they can be looked up.

figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
spoilt = np.arange(y.size) % 20 == 0
for ax, (name, result) in zip(axes, (("squares", squares), ("Student's t", robust)), strict=True):
    left = y - result.factors.entries(rows, cols)
    ax.plot(np.flatnonzero(~spoilt), left[~spoilt], ".", markersize=3, label="good")
    ax.plot(np.flatnonzero(spoilt), left[spoilt], "r.", label="spoilt")
    ax.set(title=name, xlabel="reading")
axes[0].set_ylabel("reading less fit")
axes[1].legend()
plt.show()
