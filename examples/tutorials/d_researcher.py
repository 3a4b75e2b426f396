"""
A researcher with measurements
==============================

You measured a matrix, not entry by entry, perhaps: projections, correlations, some entries and
some sums. You want the matrix, its rank, and to know whether the measurements determine it.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr
from leanrank.research.theory import degrees_of_freedom, enough_measurements

# %%
# What was measured
# -----------------
#
# A **measurement operator** says which numbers of a matrix X were read: y_i = <A_i, X>, the
# inner product with a sensing matrix A_i. There is one for dense A_i, one for products x_i' X
# z_i, one for entries; and they combine. Here an experiment gave 240 entries of a 30 x 20 matrix
# and 60 weighted sums of them all.

rng = np.random.default_rng(0)
X = rng.standard_normal((30, 2)) @ rng.standard_normal((2, 20))
cells = rng.choice(X.size, 240, replace=False)
rows, cols = np.unravel_index(cells, X.shape)
A = rng.standard_normal((60, 30, 20)) / np.sqrt(X.size)

op = lr.operators.Stacked(
    [lr.operators.ObservedEntries(rows, cols, X.shape), lr.operators.DenseSensing(A)]
)
exact = np.concatenate([X[rows, cols], np.einsum("mij,ij->m", A, X)])

# %%
# Without noise
# -------------
#
# ``recover`` finds the matrix of least rank that fits, and a certificate says whether there
# could be another.

result = lr.recover(op, exact)
print(result.rank, result.status.name)
print(result.certificate)

# %%
# Line by line: :doc:`/certificates`. The result is kept as **factors** U and V with X = U V',
# which are used like a matrix without forming it.

factors = result.factors
print("shape", factors.shape, "one entry", factors[3, 5].round(3), "in truth", X[3, 5].round(3))
print("times a vector", np.allclose(factors @ np.ones(20), X.sum(axis=1)))

# %%
# With noise
# ----------
#
# The same call. Some measurements are held out, and the rank is chosen by how well these are
# predicted. If noise is not the same everywhere, say so: weights are inverse variances, 1 /
# sigma^2.

sigma = np.where(rng.random(op.size) < 0.5, 0.05, 0.5)
y = exact + sigma * rng.standard_normal(op.size)
ignorant = lr.recover(op, y)
weighted = lr.recover(op, y, loss=lr.Squared(sigma**-2))
for name, found in (("all alike", ignorant), ("weighted", weighted)):
    error = np.linalg.norm(found.factors.to_dense() - X) / np.linalg.norm(X)
    print(f"{name}: rank {found.rank}, relative error {error:.1%}, {found.status.name}")

# %%
# Before the measurement, how many? A matrix of rank r has r (n1 + n2 - r) **degrees of
# freedom**, and no fewer measurements will do. The calculator tells what was seen to be enough
# for Gaussian ones, without noise.

print(degrees_of_freedom((30, 20), 2), "unknowns;", enough_measurements((30, 20), 2), "are enough")

# %%
# How sure
# --------
#
# Every result has a **posterior**: draws of the factors, given the measurements. Each quantity
# that you compute from X gets its uncertainty from them: an entry, a sum, the largest singular
# value.

posterior = weighted.posterior
low, high = posterior.interval(rows, cols, level=0.9)
print(f"in their intervals: {np.mean((low <= X[rows, cols]) & (X[rows, cols] <= high)):.0%}")

largest = [each.singular_values()[0] for each in posterior.draws(50)]
truth = np.linalg.norm(X, 2)
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.hist(largest, bins=12)
ax.axvline(truth, color="black", label="in truth")
ax.set(xlabel="largest singular value", ylabel="draws")
ax.legend()
plt.show()

# %%
# Correlated measurements
# -----------------------
#
# Measurements that share their noise (repeats in one session, colours of one pixel) must be held
# out together; otherwise each is predicted by its neighbours, whatever the rank. Hold out whole
# groups, and pass them as ``validation``:

session = np.arange(op.size) // 10
held = np.isin(session, [3, 11, 17, 25])
fit_to, hold_out = np.flatnonzero(~held), np.flatnonzero(held)
result = lr.recover(op.subset(fit_to), y[~held], validation=(op.subset(hold_out), y[held]))
print(f"rank {result.rank}; held-out error {result.certificate.held_out_error:.1%}")

# %%
# Long runs
# ---------
#
# ``callbacks=[Progress(), Checkpoint("so-far.npz")]`` shows progress and keeps what is done;
# ``start=lr.io.load_checkpoint("so-far.npz")`` goes on to the same answer; ``time_limit=60``
# ends a run with the best so far, which is then not certified.
#
# Keep what came out with ``lr.io.save_result("result.npz", result)``. In a terminal, ``leanrank
# recover problem.npz --out result.npz`` takes a file of arrays, made by ``np.savez("problem.npz",
# A=A, y=y)``, and ``leanrank explain result.npz`` goes through the certificate in words.
#
# Next: outliers, :doc:`/gallery/i_robust`; all kinds of measurements, :doc:`/recover`; one of
# your own, which is a class of a few lines, :doc:`/extending`.
