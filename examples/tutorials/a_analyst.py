"""
An analyst with a CSV
=====================

You have a table; some cells are empty. You want them filled in, and to know which of the values
that were filled in to rely on.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

import leanrank as lr

# %%
# A table to work with
# --------------------
#
# Thirteen measurements of each of 178 wines, which scikit-learn ships, as a CSV with a name for
# each wine and a third of the cells empty. Here the true values are known, so that the outcome
# can be checked; put your own file in its place.

wine = load_wine(as_frame=True).data
hidden = np.random.default_rng(0).random(wine.shape) < 1 / 3
names = [f"wine {i:03}" for i in range(len(wine))]
folder = Path(tempfile.mkdtemp())
wine.mask(hidden).set_axis(names).rename_axis("name").to_csv(folder / "wine.csv")

table = pd.read_csv(folder / "wine.csv", index_col="name")
table.iloc[:4, :5]

# %%
# Fill in the gaps
# ----------------
#
# ``lr.complete`` takes a DataFrame and gives one back, with the same labels. Cells that had a
# value keep it. (A warning would say so if nothing could be said about the gaps.)

filled = lr.complete(table)
filled.iloc[:4, :5].round(2)

# %%
# It needs no settings: columns may have different units, and how many independent things vary
# behind them, the *rank* of the table, is found out. Write it with ``filled.to_csv(...)``. A
# terminal does the same, in one line::
#
#     leanrank complete wine.csv --out filled.csv --intervals intervals.csv
#
# It first says how it read the file: how many rows, columns and labels, and what it left alone.
# If that is not what you have, tell it: see the :doc:`questions </faq>`. Semicolons and decimal
# commas are understood, and written again. ``intervals.csv`` has a line for each cell that was
# filled in: row, column, low, value, high. ``--report report.html`` makes a page about the fit,
# with pictures.

# %%
# How good is it?
# ---------------
#
# ``LowRankImputer`` is what ``complete`` uses, with more to ask. Its message begins with a test
# that it did by itself: it hid some of the cells that you have, and predicted them. (In a
# terminal the same words are below the name of the file that was written, as in
# :doc:`/command-line`.)

imputer = lr.LowRankImputer().fit(table)
print(imputer.status_.name)
print(imputer.message_)

# %%
# Errors are in percent of the spread of the columns, so that means are missed by about 100 %.
# Three answers are possible:
#
# ``CONVERGED``
#     The columns determine each other so well that the table itself is known, up to its noise.
# ``APPROXIMATE``
#     They do not, but cells that were hidden are predicted clearly better than by column means.
#     This is what real tables lead to. An error of, say, 78 % of that of column means is not
#     much better than means for a single cell; whether it is good enough depends on what for.
# ``STALLED``
#     They are not. There is a warning, and you had better not use what was filled in. The
#     message says why: too few rows, columns that have nothing to do with each other, ...
#
# How sure is each value?
# -----------------------
#
# Ask for intervals instead of trusting values. Of level 0.9, nine of ten missing values lie
# inside. They come as arrays; ``pd.DataFrame(low, table.index, table.columns)`` has the labels.

low, high = imputer.predict_interval(table, level=0.9)
inside = (low <= wine.to_numpy()) & (wine.to_numpy() <= high)
print(f"{inside[hidden].mean():.0%} of the {hidden.sum()} hidden values lie in their intervals")

column = wine.columns.get_loc("flavanoids")
rows = np.flatnonzero(hidden[:, column])
middle = imputer.transform(table)[rows, column]
figure = plt.figure(figsize=(8, 3.4), layout="constrained")
lr.plotting.intervals(
    middle, low[rows, column], high[rows, column], wine.to_numpy()[rows, column], figure=figure
)
plt.show()

# %%
# Short intervals are values that you can work with; where an interval is as long as the whole
# column is wide, nothing is known of that cell. By column, how long intervals are beside what a
# guess without any model would need:

width = pd.DataFrame(
    {
        "interval": np.nanmean(np.where(hidden, high - low, np.nan), axis=0).round(2),
        "range of 90 %": (wine.quantile(0.95) - wine.quantile(0.05)).to_numpy().round(2),
    },
    index=wine.columns,
)
width

# %%
# Totals, means and regressions
# -----------------------------
#
# Do not compute these from the filled table alone: it looks more certain than it is. Compute
# them from several draws of the table, as in :doc:`/gallery/d_multiple_imputation`.
#
# What can go wrong
# -----------------
#
# - **Gaps that are not random.** If a value is missing *because* it is large, cells that were
#   hidden at random are no test for it. A note in the message tells where that is seen; it
#   cannot always be.
# - **Numbers that stand for a gap**, such as -999: say ``missing_values=-999``, or ``--missing
#   -999``. NA, n/a and their like are known. In pandas a word of your own for a gap makes text of
#   a column: ``pd.read_csv(..., na_values="?")``, or ``--missing "?"``.
# - **Text and categories.** ``complete`` leaves columns of text as they are; to
#   ``LowRankImputer`` give ``table.select_dtypes("number")``. With ``keep_integers=True`` columns
#   of zeros and ones, and of whole numbers, are completed with such.
# - **Numbers that are names**, of a sample or a postcode: take them for the index, as here, or
#   say ``--id-column "Sample Number"``.
# - **Few rows.** What columns have in common is learnt from the rows: the message says how well.
#
# Next: :doc:`/certificates`, on what statuses and intervals mean, and :doc:`/noise`.
