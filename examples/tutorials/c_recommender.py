"""
A recommender, from a list of ratings
=====================================

You have who rated what, and how: a file of lines, a frame, or a table in a database. You want
the best of the rest for each user, new users and ratings as they come, and a number for how good
that is.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, cross_val_score

import leanrank as lr

# %%
# The list
# --------
#
# It is made up, since ratings of real people may rarely be shipped. Columns are found by their
# names where these are usual ones, in any order; labels may be text or numbers.

rng = np.random.default_rng(0)
liking = 3.5 + rng.normal(0, 0.4, (600, 1)) + rng.normal(0, 0.4, 200)
liking += rng.normal(0, 0.7, (600, 2)) @ rng.normal(0, 0.7, (2, 200))
users, films = np.nonzero(rng.random(liking.shape) < 0.12)
stars = np.clip(np.round(liking[users, films] + rng.normal(0, 0.5, users.size)), 1, 5)
frame = pd.DataFrame(
    {"who": [f"u{i:03}" for i in users], "film": [f"film {j}" for j in films], "mark": stars}
)
frame["day"] = rng.integers(1, 29, users.size)
folder = Path(tempfile.mkdtemp())
frame.to_csv(folder / "ratings.csv", index=False)
frame.head(3)

# %%
# Fit, recommend
# --------------
#
# Three lines. The number of factors, how much they are shrunk, and means of users and items are
# found. Of a file with unusual names say which columns hold users, items and ratings.

model = lr.MatrixFactorization(min_value=1, max_value=5)
model.fit(folder / "ratings.csv", columns=("who", "film", "mark"))
best = pd.DataFrame(model.recommend(["u007", "u008"], n=3).to_dict())
best

# %%
# What was rated already is left out. From a terminal the same is::
#
#     leanrank fit ratings.csv --columns who,film,mark --out model.npz --min 1 --max 5
#     leanrank recommend model.npz --user u007 --user u008 --top 3
#
# How good is it?
# ---------------
#
# Some ratings were held out by ``fit``. Their error is in stars, and beside it that of means of
# users and items, which any recommender has to beat:

print(f"{model.status_.name}: {model.message_}")

# %%
# The same with ratings that *you* hold out, which is the safer habit. scikit-learn's tools take
# pairs as a frame or array of two columns.

scores = cross_val_score(
    lr.MatrixFactorization(min_value=1, max_value=5),
    frame[["who", "film"]],
    frame["mark"],
    cv=KFold(3, shuffle=True, random_state=0),
    scoring="neg_root_mean_squared_error",
)
print("errors of three folds, in stars:", (-scores).round(3))

# %%
# What it learnt
# --------------

lr.plotting.rating_variances(model, figure=plt.figure(figsize=(7, 3.2), layout="constrained"))
plt.show()

similar = model.similar_items(["film 42"], n=3)
print("like film 42:", list(similar.items))

# %%
# How sure
# --------
#
# A score of 4.6 of a film that three people rated is not the score of one that three hundred
# did. An interval of level 0.9 holds nine of ten *new ratings*: it covers taste that is not
# known, and the whim of the day.

asked = ["u007"] * 3, ["film 1", "film 2", "film 3"]
low, high = model.predict_interval(*asked, level=0.9)
for film, score, a, b in zip(asked[1], model.predict(*asked), low, high, strict=True):
    print(f"{film}: {score:.1f}, between {a:.1f} and {b:.1f}")

# %%
# New users, new ratings
# ----------------------
#
# Somebody new has rated three films: ``fold_in`` solves for that user alone, at once. Ratings of
# anybody that come in batches go to ``partial_fit``.

newcomer = model.fold_in(["film 42", "film 17", "film 99"], [5.0, 4.0, 2.0])
print("for the newcomer:", list(newcomer.recommend(n=3).items))

model.partial_fit(["u601", "u601"], ["film 42", "film 17"], [4.0, 3.0])
print("u601 is known:", "u601" in model.users_)

# %%
# Keep it
# -------
#
# Models are files of plain arrays; nothing is pickled.

model.save(folder / "model.npz")
again = lr.MatrixFactorization.load(folder / "model.npz")
print("the same:", np.array_equal(again.predict(*asked), model.predict(*asked)))

# %%
# A terminal knows the same files: ``leanrank recommend model.npz --out best.csv`` is for all
# users, ``leanrank predict model.npz pairs.csv --intervals`` for pairs, and ``leanrank explain
# model.npz`` says how far to trust them (:doc:`/command-line`).
#
# What it does not do: clicks without a rating (implicit feedback), and features of users or
# items besides their labels; see :doc:`/comparison`. People rate what they like, so that
# intervals hold for ratings like those that were given. Next: :doc:`/ratings`, with larger
# lists, clusters and more than memory.
