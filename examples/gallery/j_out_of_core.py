"""
Out of core: more ratings than memory
=====================================

Ratings that do not fit into memory are sorted on disk once, and then read block by block in each
sweep. The example is small so that it runs in seconds; the limit on memory is smaller still.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# A file of 60,000 ratings, as an export might look.

rng = np.random.default_rng(0)
liking = 3.5 + rng.normal(0, 0.5, (1500, 1)) + rng.normal(0, 0.5, 400)
liking += rng.normal(0, 0.6, (1500, 2)) @ rng.normal(0, 0.6, (2, 400))
users, items = np.nonzero(rng.random(liking.shape) < 0.1)
stars = (liking[users, items] + rng.normal(0, 0.4, users.size)).clip(1, 5).round(1)
folder = Path(tempfile.mkdtemp())
lines = [f"{u},{i},{s}\n" for u, i, s in zip(users, items, stars, strict=True)]
(folder / "ratings.csv").write_text("user,item,rating\n" + "".join(lines))

# %%
# Sort them into a folder of plain arrays, which can be fitted to again and again.

stored = lr.io.stored_entries(folder / "ratings.csv", folder / "sorted", memory_limit=2**20)
size = sum(path.stat().st_size for path in (folder / "sorted").rglob("*") if path.is_file())
print(f"{stored.cols.size} ratings of shape {stored.shape}, {size / 2**20:.1f} MiB on disk")

# %%
# A fit to the folder, and one in memory, which draws the ratings that it holds out in another
# order: predictions are nearly the same.

on_disk = lr.MatrixFactorization(min_value=1, max_value=5).fit(stored)
in_memory = lr.MatrixFactorization(min_value=1, max_value=5).fit(users, items, stars)
asked = rng.integers(0, 1500, 2000), rng.integers(0, 400, 2000)
first, second = on_disk.predict(*asked), in_memory.predict(*asked)
print(f"largest difference of 2000 predictions: {abs(first - second).max():.1e} stars")

figure, ax = plt.subplots(figsize=(4.2, 3.8), layout="constrained")
ax.plot(second, first, ".", markersize=3)
ax.set(xlabel="predicted, fitted in memory", ylabel="predicted, fitted on disk")
ax.set_aspect("equal")
plt.show()
