"""Kill runs at random times, go on from their checkpoints, and compare the answers.

    python benchmarks/resume.py --runs 100

A noisy table is completed once without interruption. Then, as often as asked for, the same command
is killed (SIGKILL) at a random time, resumed, and its factors are compared with the first ones.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from leanrank import simulate
from leanrank.io import load_factors

QUIET = {"stdout": subprocess.DEVNULL}
"""The completed matrix goes to standard output, where nobody is to see it."""


def command(folder: Path, *more: str) -> list[str]:
    """The command line that is killed and resumed."""
    options = ["--seed", "3", "--quiet", "--checkpoint-every", "0", *more]
    return [sys.executable, "-m", "leanrank.cli", "complete", str(folder / "table.npz"), *options]


def main() -> int:
    """Say how many runs came to the same answer; the exit code is 1 if one did not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    inst = simulate.matrix_completion((60, 40), 3, oversampling=3, noise=0.2, random_state=0)
    killed, worst, unsaved, wrong = 0, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = {"rows": inst.op.rows, "cols": inst.op.cols, "y": inst.y}
        np.savez(folder / "table.npz", **entries, shape=np.array(inst.op.shape))
        whole, saved, again = (folder / f"{file}.npz" for file in ("whole", "saved", "again"))
        for _ in range(2):  # the first may have to compile
            start = time.monotonic()
            subprocess.run(command(folder, "--factors", str(whole)), check=False, **QUIET)
            seconds = time.monotonic() - start
        reference = load_factors(whole)
        for _ in range(args.runs):
            saved.unlink(missing_ok=True)
            run = subprocess.Popen(command(folder, "--checkpoint", str(saved)), **QUIET)
            try:
                run.wait(rng.uniform(0.2, 1.0) * seconds)
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                killed += 1
            resume = ("--resume", str(saved)) if saved.exists() else ()
            unsaved += not resume
            subprocess.run(command(folder, "--factors", str(again), *resume), check=False, **QUIET)
            error = load_factors(again).distance(reference) / reference.norm()
            worst, wrong = max(worst, error), wrong + (error > 1e-10)
    sys.stdout.write(
        f"{args.runs} runs, {killed} killed, {unsaved} of them before a checkpoint; "
        f"largest difference {worst:.1e}, {wrong} beyond 1e-10\n"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
