"""Real tables that packages ship, entries hidden at random: leanrank beside other imputers.

    pip install -e '.[benchmarks]'
    python benchmarks/tables.py                               # 10, 30 and 50 %, three seeds
    python benchmarks/tables.py --tables wine elnino --shares .3 --seeds 0 1 --out cases.jsonl
    python benchmarks/tables.py --long                        # memory and time of long tables

An error is the root mean square over hidden entries in standard deviations of their whole column.
Peers get columns of mean zero and deviation one, as they need; leanrank gets the table as it is.
Tables of packages that are not installed are left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import long_tables
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn import datasets
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

import leanrank as lr

SKLEARN = ("wine", "breast_cancer", "diabetes", "digits", "iris", "linnerud")
STATSMODELS = (
    "anes96", "ccard", "committee", "copper", "cpunish", "danish_data", "elnino", "fair",
    "grunfeld", "longley", "macrodata", "modechoice", "randhie", "scotland", "stackloss", "star98",
    "statecrime",
)  # fmt: skip
NAMES = (*SKLEARN, *STATSMODELS, "penguins", "cars")
MOST_ROWS = 1500
"""Of longer tables as many rows, evenly spread."""
LEVEL = 0.95
PEERS: dict[str, Callable[[], Any]] = {
    "BayesianRidge": lambda: IterativeImputer(random_state=0, keep_empty_features=True),
    "KNN": lambda: KNNImputer(keep_empty_features=True),
    "means": lambda: SimpleImputer(keep_empty_features=True),
}
BETTER, SAME = 0.9, 1.02
"""Predicting better than means, or no worse than something: ratios of errors."""


def loaded(name: str) -> np.ndarray:
    """The columns of numbers of a table that vary; NaN where it has gaps."""
    if name in SKLEARN:
        found = getattr(datasets, f"load_{name}")()
        X = np.hstack([found.data, found.target]) if name == "linnerud" else found.data
    else:
        X = _frame(name).select_dtypes("number").to_numpy(dtype=float)
    X = X[:: -(-len(X) // MOST_ROWS)]
    return X[:, np.nanstd(X, axis=0) > 0]


def _frame(name: str) -> Any:
    """A table as pandas has it; ImportError without its package."""
    if name == "penguins":
        from palmerpenguins import load_penguins

        return load_penguins()
    if name == "cars":
        from vega_datasets import local_data

        return local_data.cars()
    from statsmodels import datasets as shipped

    return getattr(shipped, name).load_pandas().data


def hidden(X: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which of the entries that are there are hidden; no column loses all but one."""
    rng = np.random.default_rng([seed, round(100 * share)])
    mask = (rng.random(X.shape) < share) & ~np.isnan(X)
    for column, gone in zip(X.T, mask.T, strict=True):
        left = np.flatnonzero(~np.isnan(column))
        gone[rng.choice(left, 2, replace=False)] = False
    return mask


def leanrank(seen: np.ndarray, hide: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, dict]:
    """What is completed, with status and the share of hidden entries in their intervals."""
    imputer = lr.LowRankImputer(on_failure="ignore")
    begun = time.process_time()
    Z = imputer.fit_transform(seen)
    told = {"cpu": time.process_time() - begun, "status": imputer.status_.name}
    told["rank"] = int(imputer.rank_)
    if hasattr(imputer, "predict_interval"):
        low, high = imputer.predict_interval(seen, level=LEVEL)
        told["covered"] = float((np.clip(X, low, high) == X)[hide].mean())
    return Z, told


def cases(names: list[str], shares: list[float], seeds: list[int]) -> Iterator[dict]:
    """One record for each table, share and seed."""
    for name in names:
        try:
            X = loaded(name)
        except ImportError as error:
            Console().print(f"{name} is left out: {error}")
            continue
        spread = np.nanstd(X, axis=0)
        for share in shares:
            for seed in seeds:
                hide = hidden(X, share, seed)
                seen = np.where(hide, np.nan, X)

                def error(Z: np.ndarray, X: np.ndarray = X, hide: np.ndarray = hide) -> float:
                    return float(np.sqrt(np.mean(((Z - X) / spread)[hide] ** 2)))  # noqa: B023

                record: dict[str, Any] = {"table": name, "share": share, "seed": seed}
                Z, told = leanrank(seen, hide, X)
                record |= {"shape": X.shape, "leanrank": error(Z), **told}
                for peer, make in PEERS.items():
                    scaler = StandardScaler()
                    begun = time.process_time()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        Z = scaler.inverse_transform(
                            make().fit_transform(scaler.fit_transform(seen))
                        )
                    record[peer] = error(Z)
                    record[f"cpu {peer}"] = time.process_time() - begun
                yield record


def shown(records: list[dict], share: float) -> Table:
    """A row for each table: medians over seeds."""
    out = Table(title=f"{share:.0%} hidden: medians over seeds", title_justify="left")
    out.add_column("table")
    for name in (
        "shape", "leanrank", *PEERS, "over BayesianRidge", "over the best", "over means",
        "CPU over BayesianRidge", "covered", "rank", "status",
    ):  # fmt: skip
        out.add_column(name, justify="right")
    by_name: dict[str, list[dict]] = {}
    for r in records:
        by_name.setdefault(r["table"], []).append(r)
    for name, rows in by_name.items():
        median = {k: float(np.median([r[k] for r in rows])) for k in ("leanrank", *PEERS)}
        ratios = [
            np.median([r["leanrank"] / base(r) for r in rows])
            for base in (lambda r: r["BayesianRidge"], best, lambda r: r["means"])
        ]
        seconds = np.median([r["cpu"] / r["cpu BayesianRidge"] for r in rows])
        covered = [r["covered"] for r in rows if "covered" in r]
        out.add_row(
            name, "{} x {}".format(*rows[0]["shape"]), *(f"{v:.3f}" for v in median.values()),
            *(f"{v:.3f}" for v in ratios), f"{seconds:.1f}",
            f"{np.mean(covered):.3f}" if covered else "", " ".join(str(r["rank"]) for r in rows),
            " ".join(sorted({r["status"] for r in rows})),
        )  # fmt: skip
    return out


def best(record: dict) -> float:
    """The smallest error of a peer."""
    return min(record[peer] for peer in PEERS)


def summary(records: list[dict], title: str) -> str:
    """The quantities that have goals, in one line."""
    own = np.array([r["leanrank"] for r in records])
    means = np.array([r["means"] for r in records])
    over = ", ".join(f"{k} {np.median([r['leanrank'] / r[k] for r in records]):.3f}" for k in PEERS)
    status = np.array([r["status"] for r in records])
    good = own <= BETTER * means
    stalled = f"{np.mean(status[good] == 'STALLED'):.0%}" if good.any() else "none"
    seconds = np.array([r["cpu"] / r["cpu BayesianRidge"] for r in records])
    whole = sum(r["cpu"] for r in records) / sum(r["cpu BayesianRidge"] for r in records)
    covered = [r["covered"] for r in records if "covered" in r]
    return (
        f"{title}, {len(records)} cases: loses by more than 2 % to the best in "
        f"{np.mean(own > SAME * np.array([best(r) for r in records])):.0%}; error, median over "
        f"{over}; more than 2 % above means in "
        f"{np.sum(own > SAME * means)}; CPU over BayesianRidge {np.median(seconds):.1f} (median), "
        f"{seconds.max():.1f} (largest), {whole:.1f} (in sum); STALLED of those 10 % better than "
        f"means {stalled}; APPROXIMATE of the others {np.sum(status[~good] == 'APPROXIMATE')} of "
        f"{np.sum(~good)}" + (f"; covered {np.mean(covered):.3f}" if covered else "")
    )


def main() -> None:
    """Print a table for each share, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tables", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--shares", nargs="+", type=float, default=(0.1, 0.3, 0.5))
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--out", type=Path, help="a file for records, JSON lines")
    parser.add_argument(
        "--long", nargs="*", metavar="NxP", help="memory and time of long tables, or of such sizes"
    )
    args = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 160)
    if args.long is not None:
        console.print(long_tables.shown(args.long or long_tables.SIZES, args.seeds[0]))
        return
    # Kernels are compiled before anything is timed.
    warm = loaded("iris")[:40]
    leanrank(np.where(hidden(warm, 0.2, 0), np.nan, warm), np.zeros(warm.shape, bool) | True, warm)
    records = []
    for record in cases(args.tables, args.shares, args.seeds):
        records.append(record)
        if args.out:
            with args.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
    for share in args.shares:
        console.print(shown([r for r in records if r["share"] == share], share))
    for share in args.shares:
        console.print(summary([r for r in records if r["share"] == share], f"{share:.0%} hidden"))
    console.print(summary(records, "all"))


if __name__ == "__main__":
    main()
