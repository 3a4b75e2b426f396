"""The demonstration: a photograph from two fifths of its pixels."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leanrank.operators import ObservedEntries
from leanrank.recover import recover
from leanrank.results import Result
from leanrank.solvers import Callback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Demo", "load_photograph", "run_demo"]

PATCH = 8
"""Side of the square patches that become rows of the matrix, in pixels."""


@dataclass(frozen=True)
class Demo:
    """What the demonstration came to.

    Attributes
    ----------
    original, seen, completed : ndarray, shape (h, w, 3)
        Colours from 0 to 1; NaN in ``seen`` where a pixel is missing.
    result : Result
        Of the matrix of patches, in standard deviations from the mean colour value.
    psnr : float
        Peak signal-to-noise ratio on the missing pixels, in dB.
    psnr_of_mean : float
        The same where they are all filled with the mean of the pixels that were seen.
    seconds : float
    """

    original: np.ndarray
    seen: np.ndarray
    completed: np.ndarray
    result: Result
    psnr: float
    psnr_of_mean: float
    seconds: float

    def caption(self) -> str:
        """The outcome in a line."""
        certificate = self.result.certificate
        verdict = "stopped early, not certified"
        if certificate is not None:
            verdict = "certified" if certificate.holds else "of low rank only approximately"
        return (
            f"Rank {self.result.rank}, {verdict}; {self.psnr:.1f} dB on the pixels that were not "
            f"seen (mean colour: {self.psnr_of_mean:.1f} dB)"
        )

    def figure(self) -> Figure:
        """One picture: photographs above, singular values and column norms below."""
        from matplotlib.figure import Figure

        from leanrank import plotting

        h, w, _ = self.original.shape
        top = 4.0 * h / w + 0.35
        figure = Figure(figsize=(12.0, top + 3.2), layout="constrained")
        figure.suptitle(self.caption(), x=0.006, ha="left", fontsize=11)
        photographs, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(top, 2.9))[:, 0]
        plotting.completion(self.seen, self.completed, self.original, figure=photographs)
        left, right = below.subfigures(1, 2, squeeze=False)[0]
        plotting.singular_values(self.result, figure=left)
        if self.result.column_norms:
            plotting.column_norms(self.result, figure=right)
        return figure


def load_photograph(shrink: int = 1) -> np.ndarray:
    """scikit-learn's photograph of a Chinese temple, colours from 0 to 1, shape (h, w, 3).

    Cut to whole patches. ``shrink`` > 1 keeps every so many pixels only.
    """
    from sklearn.datasets import load_sample_image

    image = np.asarray(load_sample_image("china.jpg"), dtype=float)[::shrink, ::shrink] / 255.0
    h, w = (n - n % PATCH for n in image.shape[:2])
    return image[:h, :w]


def to_patches(image: np.ndarray) -> np.ndarray:
    """One row for each patch, one column for each place and colour in it."""
    h, w, channels = image.shape
    blocks = image.reshape(h // PATCH, PATCH, w // PATCH, PATCH, channels)
    return blocks.transpose(0, 2, 1, 3, 4).reshape(-1, PATCH * PATCH * channels)


def from_patches(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The picture that :func:`to_patches` took apart."""
    h, w, channels = shape
    blocks = matrix.reshape(h // PATCH, w // PATCH, PATCH, PATCH, channels)
    return blocks.transpose(0, 2, 1, 3, 4).reshape(shape)


def _observe(mask: np.ndarray) -> ObservedEntries:
    rows, cols = np.nonzero(mask)
    return ObservedEntries(rows, cols, (mask.shape[0], mask.shape[1]))


def run_demo(
    image: np.ndarray,
    *,
    missing: float = 0.6,
    seed: int = 0,
    callbacks: Iterable[Callback] = (),
    time_limit: float | None = None,
) -> Demo:
    """Hide pixels at random, all three colours of each, and complete the matrix of patches.

    The rank is chosen on a tenth of the seen pixels. They are held out whole: of a pixel whose
    red is known, green is easily guessed, which would make every rank look good.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3)
        Sides that are whole patches.
    missing : float
        Share of the pixels to hide.
    seed : int
    callbacks, time_limit
        As in :func:`leanrank.recover`.
    """
    start = time.monotonic()
    rng = np.random.default_rng(seed)
    draw = rng.random(image.shape[:2])
    hidden, held = draw < missing, (draw >= missing) & (draw < missing + 0.1 * (1 - missing))
    matrix = to_patches(image)
    train, held_out = (
        to_patches(np.repeat(mask[:, :, None], 3, axis=2)) for mask in (~hidden & ~held, held)
    )
    mean, spread = matrix[train].mean(), matrix[train].std()
    unit = (matrix - mean) / spread
    result = recover(
        _observe(train),
        unit[train],
        validation=(_observe(held_out), unit[held_out]),
        callbacks=callbacks,
        time_limit=time_limit,
        random_state=seed,
    )
    came_back = from_patches(mean + spread * result.factors.to_dense(), image.shape).clip(0, 1)
    completed = np.where(hidden[:, :, None], came_back, image)
    return Demo(
        original=image,
        seen=np.where(hidden[:, :, None], np.nan, image),
        completed=completed,
        result=result,
        psnr=_psnr(came_back[hidden] - image[hidden]),
        psnr_of_mean=_psnr(mean - image[hidden]),
        seconds=time.monotonic() - start,
    )


def _psnr(error: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, for a peak of 1."""
    return -10 * math.log10(max(float(np.mean(error**2)), 1e-30))
