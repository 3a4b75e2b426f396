"""
A machine-learning user with a pipeline
=======================================

Your features have gaps, and the classifier or regression that comes next wants none.
``LowRankImputer`` is a transformer like any other of scikit-learn.
"""

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import leanrank as lr

# %%
# In a pipeline
# -------------
#
# Thirty features of 300 tumours; half of the readings are hidden.

data = load_breast_cancer(as_frame=True)
rng = np.random.default_rng(0)
X = data.data.iloc[:300].mask(rng.random((300, 30)) < 0.5)
y = data.target.iloc[:300]


def pipeline(imputer):
    """The same classifier behind any imputer."""
    return make_pipeline(imputer, StandardScaler(), LogisticRegression(max_iter=1000))


for imputer in (SimpleImputer(), KNNImputer(), lr.LowRankImputer()):
    score = cross_val_score(pipeline(imputer), X, y, cv=3, scoring="neg_log_loss").mean()
    print(f"{type(imputer).__name__:15} log loss {-score:.3f}")

# %%
# The imputer is fitted to the training rows of each fold; rows of the test fold are completed
# with what was learnt from these, each by itself. That is what ``fit`` and ``transform`` are
# for: new rows may come one at a time.

imputer = lr.LowRankImputer().set_output(transform="pandas").fit(X.iloc[:250])
imputer.transform(X.iloc[250:252]).iloc[:, :4].round(2)

# %%
# Beside columns of text
# ----------------------
#
# The imputer takes numbers. Give it those, and the text to an encoder:

clinics = np.random.default_rng(1).choice(["north", "south"], len(X))
mixed = X.assign(clinic=clinics)
columns = ColumnTransformer(
    [
        ("numbers", lr.LowRankImputer(), make_column_selector(dtype_include="number")),
        ("words", OneHotEncoder(sparse_output=False), ["clinic"]),
    ],
    verbose_feature_names_out=False,
).set_output(transform="pandas")
columns.fit_transform(mixed).iloc[:2, -3:].round(2)

# %%
# What to tune
# ------------
#
# Nothing, as a rule: rank and shrinkage are chosen by readings that are held out within ``fit``.
# If what you care about is the score of the pipeline, ``rank`` can be searched like any
# parameter.

search = GridSearchCV(
    pipeline(lr.LowRankImputer(on_failure="ignore")),
    {"lowrankimputer__rank": [2, 5, None]},
    cv=3,
    scoring="neg_log_loss",
)
search.fit(X, y)
for parameters, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    print(f"rank {parameters['lowrankimputer__rank']}: log loss {-score:.3f}")

# %%
# Behind the ``ColumnTransformer`` above the name is ``columntransformer__numbers__rank``;
# ``pipeline.get_params()`` lists all of them. Others that matter: ``center`` and ``scale`` (leave
# them unless all columns are in one unit), ``min_value`` and ``max_value``, ``add_indicator``
# where *that* a reading is missing tells something, and ``time_limit`` in seconds. Fitted
# pipelines are stored with joblib or pickle, as any other.
#
# When it does not work
# ---------------------
#
# A fit that predicts no better than means gives a :class:`leanrank.RecoveryWarning`, and so do
# rows without any reading, which get the means. In a search over many fits
# ``on_failure="ignore"`` keeps both quiet, as above. In production make the first an error, or
# look at ``status_`` of the fitted step, ``pipeline[0].status_``.

noise = rng.standard_normal((100, 8))
noise[rng.random(noise.shape) < 0.3] = np.nan
try:
    lr.LowRankImputer(on_failure="raise").fit(noise)
except lr.RecoveryError as error:
    print(str(error)[:200])

# %%
# Uncertainty downstream
# ----------------------
#
# ``sample_posterior=True`` makes ``transform`` return a draw instead of the mean. Fitted to
# several draws, predictions of a model show what the gaps cost. Here the spread of a forest's
# predictions:

target = data.data["mean area"].iloc[:300]
drawn = lr.LowRankImputer().fit(X.drop(columns="mean area"))
predictions = []
for table in drawn.draw(X.drop(columns="mean area"), 5):
    forest = RandomForestRegressor(20, random_state=0).fit(table[:200], target[:200])
    predictions.append(forest.predict(table[200:]))
print(f"typical spread between draws: {np.std(predictions, axis=0).mean():.0f}")
print(f"standard deviation of the target: {target.std():.0f}")

# %%
# A regression of another kind, whose number of neurons is found:
# :doc:`/gallery/g_quadratic_network`. Next: :doc:`/choosing`.
