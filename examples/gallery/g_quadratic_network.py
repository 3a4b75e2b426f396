"""
A quadratic network, and how many neurons it has
================================================

A network with one hidden layer, squares as activations and output weights of one is a matrix of
low rank in disguise: a sum of squared projections is x' U U' x. So the number of neurons is a
rank, and it is found.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# Three neurons see twenty features; what comes out has a constant and some noise.

rng = np.random.default_rng(0)
neurons = rng.standard_normal((3, 20))
x = rng.standard_normal((400, 20))
y = np.sum((x @ neurons.T) ** 2, axis=1) - 7.0 + rng.normal(0, 1.0, 400)
fit, new = slice(0, 250), slice(250, None)

network = lr.QuadraticNetworkRegressor().fit(x[fit], y[fit])
print(f"{network.rank_} neurons, {network.status_.name}; constant {network.intercept_:.1f}")
print(f"R2 on new samples: {network.score(x[new], y[new]):.3f}")

# %%
# 250 samples are hardly more than the 231 products of features that a quadratic regression has
# to weigh. It fits the noise; the network, with 58 parameters, does not.

i, j = np.triu_indices(20)
products = np.column_stack([np.ones(400), x[:, i] * x[:, j]])
weights = np.linalg.lstsq(products[fit], y[fit])[0]

figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), sharex=True, sharey=True, layout="constrained")
shown = {"three neurons": network.predict(x[new]), "all products": products[new] @ weights}
for ax, (name, predicted) in zip(axes, shown.items(), strict=True):
    ax.plot(y[new], predicted, ".", alpha=0.6)
    ax.axline((0, 0), slope=1, color="gray", linewidth=1)
    ax.set(title=name, xlabel="new samples", xlim=(-20, 200), ylim=(-20, 200))
axes[0].set_ylabel("predicted")
plt.show()
