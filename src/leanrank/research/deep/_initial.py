"""Random layers to start from, by the names that the field has given them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from leanrank import _checks
from leanrank.research.deep._factors import DeepFactors

__all__ = ["DISTRIBUTIONS", "initial_layers"]

DISTRIBUTIONS = ("linear", "width", "xavier", "lecun", "he")


def initial_layers(
    shape: tuple[int, int],
    depth: int,
    width: int,
    *,
    distribution: str = "linear",
    random_state: Any = None,
) -> DeepFactors:
    r"""Independent random weights of mean zero.

    Parameters
    ----------
    shape : tuple of int
        (n1, n2) of the product.
    depth, width : int
        L, at least 2, and the width of all hidden layers.
    distribution : str
        With ``into`` and ``out`` for the inputs and outputs of a layer:

        - ``"linear"``: uniform on :math:`\pm 1 / \sqrt{\text{into}}`, the default of PyTorch's
          linear layers and the one with which the figures of Wang and Jacot (2024) come out;
        - ``"width"``: normal, variance 1 / ``width``;
        - ``"xavier"``: uniform on :math:`\pm\sqrt{6 / (\text{into} + \text{out})}`;
        - ``"lecun"``: normal, variance 1 / into;
        - ``"he"``: normal, variance 2 / into.
    random_state : int, Generator or None

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or the distribution has another name.

    Examples
    --------
    >>> initial_layers((2, 3), 3, 5, random_state=0)
    DeepFactors(depth=3, shape=(2, 3), hidden 5 x 5)
    """
    n1, n2 = _checks.matrix_shape(shape, "shape")
    depth = _checks.whole_number(depth, "depth", least=2)
    width = _checks.whole_number(width, "width", least=1)
    if distribution not in DISTRIBUTIONS:
        names = ", ".join(DISTRIBUTIONS)
        raise ValueError(f"distribution must be one of {names}, got {distribution!r}")
    rng = _checks.generator(random_state)

    def layer(into: int, out: int) -> np.ndarray:
        if distribution == "linear":
            return rng.uniform(-1.0, 1.0, (out, into)) / into**0.5
        if distribution == "xavier":
            return rng.uniform(-1.0, 1.0, (out, into)) * (6.0 / (into + out)) ** 0.5
        variance = {"width": 1.0 / width, "lecun": 1.0 / into, "he": 2.0 / into}[distribution]
        return rng.standard_normal((out, into)) * variance**0.5

    sizes = [n2, *[width] * (depth - 1), n1]
    return DeepFactors([layer(*pair) for pair in pairwise(sizes)])
