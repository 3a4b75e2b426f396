"""
Multiple imputation
===================

A completed table looks more certain than it is: gaps that were filled in count as if they had
been measured. So what is computed from it is computed from several draws of the table, and
pooled by Rubin's rules (1987).
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import t
from sklearn.datasets import load_diabetes

import leanrank as lr

# %%
# Of 442 patients three readings in ten are hidden. Wanted is the slope of blood pressure on body
# mass index.

full = load_diabetes().data[:, :10] * 100
bmi, pressure = 2, 3
table = np.where(np.random.default_rng(3).random(full.shape) < 0.3, np.nan, full)


def slope(X):
    """Least-squares slope and its variance."""
    x, y = X[:, bmi] - X[:, bmi].mean(), X[:, pressure] - X[:, pressure].mean()
    b = x @ y / (x @ x)
    return b, np.sum((y - b * x) ** 2) / (len(x) - 2) / (x @ x)


# %%
# Twenty draws, a slope from each. The variance of the pooled slope is the mean of their
# variances and, on top, how far they are apart, which is what the gaps cost.

imputer = lr.LowRankImputer().fit(table)
draws = imputer.draw(table, 20)
estimates, variances = np.transpose([slope(draw) for draw in draws])
within, between = variances.mean(), estimates.var(ddof=1) * (1 + 1 / 20)
freedom = 19 * (1 + within / between) ** 2
pooled = estimates.mean(), t.ppf(0.975, freedom) * np.sqrt(within + between)
print(f"share of the variance that is due to gaps: {between / (within + between):.0%}")

# %%
# Beside it the slope of the full table, which nobody would have; of the patients with both
# readings; and of a table that was completed once, whose interval is too short.


def interval(X):
    """Slope and half the length of its 95 % interval."""
    b, variance = slope(X)
    return b, t.ppf(0.975, len(X) - 2) * np.sqrt(variance)


both = table[np.isfinite(table[:, [bmi, pressure]]).all(axis=1)]
ways = {
    "full table": interval(full),
    f"the {len(both)} with both readings": interval(both),
    "completed once": interval(imputer.transform(table)),
    "20 draws, pooled": pooled,
}
figure, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
for row, (name, (middle, half)) in enumerate(ways.items()):
    print(f"{name:26} {middle:.2f} +- {half:.2f}")
    ax.errorbar(middle, row, xerr=half, fmt="o", capsize=4)
ax.set_yticks(range(len(ways)), list(ways))
ax.invert_yaxis()
ax.set_xlabel("slope, and its 95 % interval")
plt.show()
