"""One pass of packed dense sensing against the memory bandwidth, interleaved in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from rich.table import Table

from leanrank import simulate


@dataclass(frozen=True)
class Rate:
    """Median seconds of an operation, and the bytes that it moves at the least."""

    dtype: str
    name: str
    seconds: float
    nbytes: int
    of_gemv: float = float("nan")
    of_copy: float = float("nan")

    @property
    def gigabytes_per_second(self) -> float:
        """Bytes moved over time."""
        return self.nbytes / self.seconds / 1e9


def measure(d: int, m: int, dtype: type, repeats: int) -> list[Rate]:
    """Time all operations in turn, ``repeats`` times over, and take medians."""
    instance = simulate.dense_sensing(d, 5, m=m, symmetric=True, dtype=dtype, random_state=0)
    op, y, factors = instance.op, instance.y, instance.truth
    packed = op.reference
    vector = np.ones(packed.shape[1], dtype=dtype)
    residual = np.ones(m, dtype=dtype)
    target = np.empty_like(packed)
    once = packed.nbytes
    operations: dict[str, tuple[Callable[[], object], int]] = {
        "GEMV (read)": (lambda: packed @ vector, once),
        "GEMV, transposed": (lambda: residual @ packed, once),
        "copy (read + write)": (lambda: np.copyto(target, packed), 2 * once),
        "forward": (lambda: op.forward(factors), once),
        "adjoint": (lambda: op.adjoint(residual), once),
        "residual_and_adjoint": (lambda: op.residual_and_adjoint(factors, y), once),
        "tangent": (lambda: op.tangent(factors), once),
    }
    times: dict[str, list[float]] = {name: [] for name in operations}
    for repeat in range(repeats + 1):
        for name, (operation, _) in operations.items():
            start = time.process_time()
            operation()
            if repeat:
                times[name].append(time.process_time() - start)
    median = {name: float(np.median(values)) for name, values in times.items()}
    read = once / median["GEMV (read)"]
    copied = 2 * once / median["copy (read + write)"]
    return [
        Rate(
            np.dtype(dtype).name,
            name,
            median[name],
            size,
            *(size / median[name] / np.array([read, copied])),
        )
        for name, (_, size) in operations.items()
    ]


def table(rates: list[Rate]) -> Table:
    """Put the rates side by side."""
    shown = Table(
        title="bandwidth: one pass of packed dense sensing, d=200, r=5",
        caption="to reach: 70 % of the GEMV's read rate or of the copy rate",
        title_justify="left",
        caption_justify="left",
    )
    for name in ("dtype", "operation", "ms", "GB/s", "of GEMV", "of copy"):
        shown.add_column(name, justify="left" if name in ("dtype", "operation") else "right")
    for rate in rates:
        shown.add_row(
            rate.dtype,
            rate.name,
            f"{1e3 * rate.seconds:.1f}",
            f"{rate.gigabytes_per_second:.1f}",
            f"{rate.of_gemv:.0%}",
            f"{rate.of_copy:.0%}",
        )
    return shown


def run(quick: bool = False) -> tuple[list[dict[str, object]], Table]:
    """Measure both precisions; an array of 100 MB is far outside the caches."""
    d, repeats = (100, 5) if quick else (200, 15)
    size = 50_000_000 if quick else 200_000_000
    rates = []
    for dtype in (np.float64, np.float32):
        m = size // (d * (d + 1) // 2 * np.dtype(dtype).itemsize)
        rates += measure(d, m, dtype, repeats)
    return [asdict(rate) for rate in rates], table(rates)
