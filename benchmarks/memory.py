"""Resident memory of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["MIB", "forget_peak", "resident"]

MIB = 2**20
_CLEAR = Path("/proc/self/clear_refs")


def forget_peak() -> None:
    """Count the most memory from here on, where there is /proc."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")


def resident(key: str) -> float:
    """MiB of memory now ("VmRSS"), or at most since it was asked to forget ("VmHWM").

    Where there is no /proc both are the most since the process began. On Linux ``getrusage`` would
    also count the memory of the parent that started the process.
    """
    if not _CLEAR.exists():
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (MIB if sys.platform == "darwin" else 1024)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024
