r"""
Exact completion, down to the limit
===================================

A matrix of rank r has r (n1 + n2 - r) degrees of freedom: the numbers that it takes to write it
down. With fewer entries nothing can be done. How many more are needed? Let **rho** be the number
of observed entries over the degrees of freedom.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# Matrices of 60 x 40 and rank 2, several for each rho; the rank is not told. An answer is right
# where its relative error is below one in a million, and it is claimed to be where the status is
# CONVERGED.

oversampling = np.array([1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5])
seeds = 6
right, claimed, wrong = np.zeros((3, oversampling.size))
for i, rho in enumerate(oversampling):
    for seed in range(seeds):
        instance = lr.simulate.matrix_completion(
            (60, 40), 2, oversampling=rho, random_state=100 + seed
        )
        result = lr.recover(instance.op, instance.y)
        correct = instance.error(result.factors) < 1e-6
        right[i] += correct
        claimed[i] += result.status is lr.Status.CONVERGED
        wrong[i] += result.status is lr.Status.CONVERGED and not correct

# %%
# Towards the limit some rows or columns have fewer entries than the rank, and cannot be known.
# The program then says so: it claims no success that is none.

figure, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.plot(oversampling, right / seeds, "o-", label="right")
ax.plot(oversampling, claimed / seeds, "s--", label="claimed to be right")
ax.set(xlabel="rho: entries over degrees of freedom", ylabel="share of the matrices")
ax.set_ylim(-0.05, 1.05)
ax.legend()
plt.show()
print(f"claims: {claimed.sum():.0f}, of which wrong: {wrong.sum():.0f}")
