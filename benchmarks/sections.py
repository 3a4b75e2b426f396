"""The sections of a benchmark, as the command line asks for them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["print_sections"]


def print_sections(
    about: str,
    sections: tuple[Callable[[range, bool], None], ...],
    *,
    seeds: int,
    flag: str,
    meaning: str,
) -> None:
    """Call those that are named, or all, with a range of seeds and whether a flag is given."""
    known = {section.__name__: section for section in sections}
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(known)}; all by default"
    )
    parser.add_argument("--seeds", type=int, default=seeds, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument(f"--{flag}", action="store_true", help=meaning)
    args = parser.parse_args()
    unknown = set(args.sections) - set(known)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in args.sections or known:
        known[name](range(args.first, args.first + args.seeds), getattr(args, flag))
