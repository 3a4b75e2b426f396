"""
A photograph from half of its pixels
====================================

Patches of a photograph look alike. With one patch in each row, the picture is a matrix that is
nearly of low rank, and pixels that were lost come back from those that were kept. They do not
come back exactly: no photograph is exactly of low rank.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import leanrank as lr

# %%
# A part of a photograph that scikit-learn ships. Half of the pixels are hidden, in all three
# colours at once.

photograph = load_sample_image("flower.jpg")[120:280, 200:400] / 255.0
side = 4
h, w = (n - n % side for n in photograph.shape[:2])
photograph = photograph[:h, :w]
hidden = np.random.default_rng(0).random((h, w)) < 0.5
seen = np.where(hidden[:, :, None], np.nan, photograph)


def patches(picture):
    """One row for each patch, one column for each place and colour in it."""
    blocks = picture.reshape(h // side, side, w // side, side, 3).swapaxes(1, 2)
    return blocks.reshape(-1, 3 * side**2)


def picture(rows):
    """The picture that patches were taken from."""
    return rows.reshape(h // side, w // side, side, side, 3).swapaxes(1, 2).reshape(h, w, 3)


# %%
# To the imputer a patch is a row like any other. Where a patch has lost a pixel, its other pixels
# and patches like it tell.

imputer = lr.LowRankImputer(min_value=0, max_value=1)
completed = picture(imputer.fit_transform(patches(seen)))
print(f"{imputer.status_.name}: {imputer.message_}\n")

error = np.sqrt(np.mean((completed - photograph)[hidden] ** 2))
print(f"error on hidden pixels: {error:.3f}; spread of the picture: {photograph.std():.3f}")

figure = plt.figure(figsize=(9, 2.6), layout="constrained")
lr.plotting.completion(seen, completed, photograph, figure=figure)
plt.show()
