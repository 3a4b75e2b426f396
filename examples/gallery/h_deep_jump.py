r"""
A deep network jumps to lower rank
==================================

Train a deep *linear* network, a product of matrices, on some entries of a matrix, by stochastic
gradient descent with weight decay. Wang and Jacot (2024) show that it may jump to lower rank, at
a random time, and does not come back: noise finds the simpler answer, and keeps it.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr
from leanrank.research.deep import annealing, initial_layers, train

# %%
# Three entries of a 2 x 2 matrix are seen. The fourth is open: with 4 there the matrix has rank
# one, with anything else rank two.

op = lr.operators.ObservedEntries(np.array([0, 1, 1]), np.array([0, 0, 1]), (2, 2))
problem = lr.Problem(op, np.array([1.0, 0.25, 1.0]))

# %%
# Eight networks of three layers and a hundred neurons warm up, descend under much noise and a
# strong ridge, and are then fitted quietly. A step sees one entry.

starts = [initial_layers((2, 2), depth=3, width=100, random_state=i) for i in range(8)]
training = train(problem, starts, annealing(20_000), random_state=0)
print("jumped at step", training.jumps())

# %%
# The second singular value over the first: zero means rank one.

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for run in range(8):
    values = training.singular_values[:, run]
    ax.plot(training.steps, values[:, 1] / values[:, 0], linewidth=1)
ax.set(xlabel="step", ylabel="second over first singular value")
plt.show()

# %%
# Those that have jumped have found the fourth entry, 4 less what the ridge takes off; one that has
# not (-1 above) has made up another.

for run, step in enumerate(training.jumps()):
    print(f"{'jumped' if step >= 0 else 'not yet'}: {training.networks[run].product()[0, 1]:.2f}")
