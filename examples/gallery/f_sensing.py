"""
Sensing: a matrix from weighted sums
====================================

Sometimes no single entry is seen, but sums of all of them with known weights: each measurement
is the inner product of the matrix with a sensing matrix. A scanner, a random projection and a
quantum state that is measured are of this kind.
"""

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# A picture of 24 x 24 with 576 entries, of rank 3, from 280 random sums.

picture = np.zeros((24, 24))
picture[3:21, 3:6] = picture[18:21, 3:12] = 1.0  # the letter L
picture[3:21, 14:17] = picture[3:21, 19:22] = 1.0  # and a square A
picture[3:6, 14:22] = picture[11:14, 14:22] = 1.0
print(f"rank {np.linalg.matrix_rank(picture)}")

rng = np.random.default_rng(0)
A = rng.standard_normal((280, 24, 24))
y = np.einsum("mij,ij->m", A, picture)

# %%
# An operator says what was measured, and ``recover`` does the rest. A **pass** is one sweep over
# the measurements; passes tell what a run costs, whatever the machine.

result = lr.recover(lr.operators.DenseSensing(A), y)
print(f"rank {result.rank}, {result.status.name}: {result.message}")
print(f"largest error of an entry: {abs(result.factors.to_dense() - picture).max():.0e}")

lr.plotting.convergence(result, figure=plt.figure(figsize=(7, 3.4), layout="constrained"))
plt.show()

# %%
# What least squares of smallest norm makes of the same sums, without knowing that the rank is
# low:

figure, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
plain = np.linalg.lstsq(A.reshape(280, -1), y)[0].reshape(24, 24)
shown = {"the picture": picture, "least squares": plain, "leanrank": result.factors.to_dense()}
for ax, (name, X) in zip(axes, shown.items(), strict=True):
    ax.imshow(X, cmap="cividis", vmin=0, vmax=1)
    ax.set_title(name)
    ax.set_axis_off()
plt.show()
