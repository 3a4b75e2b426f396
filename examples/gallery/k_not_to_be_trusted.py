"""
When an answer is not to be trusted
===================================

There is always some matrix of low rank that fits what was seen. Whether it is *the* matrix is
another question. The certificate answers it from the data alone, and says what would help.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# The same matrix of rank 3 is seen in three ways: enough entries; enough, but in two blocks that
# share no row and no column, so that nothing joins them; and too few.

rng = np.random.default_rng(0)
truth = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 50))
enough = rng.random(truth.shape) < 0.4
blocks = rng.random(truth.shape) < 0.7
blocks[:30, 25:] = blocks[30:, :25] = False
few = rng.random(truth.shape) < 0.14

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
ways = {"enough": enough, "two blocks": blocks, "too few": few}
for ax, (name, mask) in zip(axes, ways.items(), strict=True):
    op, y = lr.operators.ObservedEntries.from_dense(np.where(mask, truth, np.nan))
    result = lr.recover(op, y)
    error = abs(result.factors.to_dense() - truth)
    print(f"{name}: {result.status.name}, largest error {error.max():.1e}")
    for reason in result.certificate.reasons:
        print("  -", reason)
    shown = ax.imshow(error, cmap="magma_r", vmin=0, vmax=2)
    ax.set_title(f"{name}: {result.status.name.lower()}")
figure.colorbar(shown, ax=axes, label="error", shrink=0.8)
plt.show()
