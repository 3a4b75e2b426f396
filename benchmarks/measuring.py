"""One method on one instance: time, passes, error and memory, here or in a process of its own.

    python benchmarks/measuring.py psd-exact leanrank 60

reads seeds from standard input, one a line, and prints a line of JSON for each.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from memory import MIB, forget_peak, resident
from rows import LEANRANK, LIMITS, ROWS, Method, Row
from threadpoolctl import threadpool_limits

__all__ = ["HERE", "Record", "Worker", "run_one"]

HERE = Path(__file__).resolve().parent.parent
"""This checkout."""


@dataclass(frozen=True)
class Record:
    """One method on one instance.

    ``instance`` is a check sum of the measurements; ``peak`` the most memory of the process in
    bytes, instance and libraries included; ``memory`` the most beyond that of the libraries, as a
    multiple of the measurement matrices, for rows that measure it.
    """

    row: str
    method: str
    told: bool
    seed: int
    instance: int
    true_rank: int
    rank: int
    error: float
    passes: float
    seconds: float
    note: str
    peak: float = float("nan")
    memory: float = float("nan")


def run_one(row: Row, method: Method, seed: int, cap: float) -> Record:
    """Make the instance of a seed, and measure a method on it."""
    gc.collect()
    forget_peak()
    before = resident("VmRSS")
    instance = row.make(seed)
    size = instance.op.nbytes / MIB if row.measure_memory else float("nan")
    start = time.process_time()
    answer = method.solve(instance, seed, cap)
    seconds = time.process_time() - start
    most = resident("VmHWM")
    factors, claims_rank = answer.factors, method.told or method.name == LEANRANK.name
    return Record(
        row.name,
        method.name,
        method.told,
        seed,
        zlib.crc32(np.ascontiguousarray(instance.y)),
        instance.truth.width,
        factors.width if claims_rank else effective_rank(factors.singular_values()),
        instance.error(factors),
        answer.passes,
        seconds,
        answer.note,
        most * MIB,
        (most - before) / size,
    )


def effective_rank(values: np.ndarray) -> int:
    """Count singular values that are more than rounding errors or a remnant of convergence."""
    return int(np.sum(values > 1e-7 * values[0])) if len(values) and values[0] > 0 else 0


class Worker:
    """A process that runs a method on instances of a row, with the leanrank of a checkout."""

    def __init__(self, row: Row, method: Method, cap: float, checkout: Path = HERE) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, row.name, method.name, str(cap)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        )

    def run(self, seed: int) -> Record:
        """What the method did on the instance of a seed."""
        self._process.stdin.write(f"{seed}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {' '.join(self._process.args)} has ended")
        return Record(**json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()


def main(row_name: str, method_name: str, cap: str) -> None:
    """Answer seeds with records, after a warm-up that compiles kernels."""
    row = next(row for row in (*ROWS, *LIMITS) if row.name == row_name)
    method = next(method for method in row.methods if method.name == method_name)
    method.solve(row.warm_up(), 0, float(cap))
    for line in sys.stdin:
        print(json.dumps(asdict(run_one(row, method, int(line), float(cap)))), flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main(*sys.argv[1:])
