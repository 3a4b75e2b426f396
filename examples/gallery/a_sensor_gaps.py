"""
Gaps in a sensor table
======================

Forty thermometers are read every hour for two weeks. Single readings are lost at random, and
some thermometers fail for half a day. Neighbouring columns tell what is missing, and intervals
say how well.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# The readings are made up: a daily rhythm that is stronger at some places than at others,
# weather that comes and goes, and the noise of a thermometer. One row is an hour, one column a
# place.

rng = np.random.default_rng(0)
hours = np.arange(14 * 24)
rhythm = np.sin(2 * np.pi * (hours - 9) / 24)
weather = np.cumsum(rng.normal(0, 0.25, (hours.size, 2)), axis=0)
truth = 12 + np.outer(rhythm, rng.uniform(2, 6, 40)) + weather @ rng.normal(0.5, 0.5, (2, 40))
truth += rng.normal(0, 0.3, truth.shape)

gaps = rng.random(truth.shape) < 0.2
for place in range(0, 40, 2):
    start = rng.integers(0, hours.size - 12)
    gaps[start : start + 12, place] = True
table = np.where(gaps, np.nan, truth)

# %%
# One call completes the table. What was read stays as it is.

imputer = lr.LowRankImputer()
completed = imputer.fit_transform(table)
print(f"{imputer.status_.name}: {imputer.message_}")

error = np.sqrt(np.mean((completed - truth)[gaps] ** 2))
of_means = np.sqrt(np.mean((np.nanmean(table, axis=0) - truth)[gaps] ** 2))
print(f"\nerror in the gaps: {error:.2f} degrees (column means: {of_means:.2f} degrees)")

# %%
# Intervals of level 0.9 for one thermometer, in the days around its failure:

low, high = imputer.predict_interval(table, level=0.9)
place = 4
failed = np.flatnonzero(np.convolve(gaps[:, place], np.ones(12), "valid") == 12)[0]
days = slice(max(failed - 30, 0), failed + 42)

figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
ax.fill_between(hours[days], low[days, place], high[days, place], alpha=0.3, label="90 % interval")
ax.plot(hours[days], completed[days, place], label="completed")
ax.plot(hours[days], table[days, place], "k.", label="read")
lost = np.flatnonzero(gaps[:, place])
lost = lost[(lost >= days.start) & (lost < days.stop)]
ax.plot(lost, truth[lost, place], "rx", label="lost, and what it was")
ax.set(xlabel="hour", ylabel="degrees")
ax.legend(ncols=2, fontsize=8)
plt.show()

print(
    f"in their intervals: {np.mean((low <= truth) & (truth <= high), where=gaps):.0%} of the gaps"
)
