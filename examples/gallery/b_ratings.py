"""
Ratings
=======

Films and the stars that people gave them: a long list of (user, film, stars), most pairs
unknown. The model predicts the others, recommends, and says how sure it is.
"""

import matplotlib.pyplot as plt
import numpy as np

import leanrank as lr

# %%
# A list that is made up: some users are kinder than others, some films better than others, and
# two directions of taste. A fifth of the list is set aside to see how well predictions do.

rng = np.random.default_rng(0)
liking = 3.5 + rng.normal(0, 0.4, (400, 1)) + rng.normal(0, 0.4, 250)
liking += rng.normal(0, 0.7, (400, 2)) @ rng.normal(0, 0.7, (2, 250))
users, films = np.nonzero(rng.random(liking.shape) < 0.15)
stars = np.clip(np.round(liking[users, films] + rng.normal(0, 0.5, users.size)), 1, 5)
names = np.array([f"film {i}" for i in range(250)])[films]
new = rng.random(users.size) < 0.2

model = lr.MatrixFactorization(min_value=1, max_value=5)
model.fit(users[~new], names[~new], stars[~new])
print(f"{model.rank_} factors were found. {model.message_}")

predicted = model.predict(users[new], names[new])
print(f"\nerror on new ratings: {np.sqrt(np.mean((predicted - stars[new]) ** 2)):.2f} stars")

# %%
# The best of what user 7 has not rated:

ranking = model.recommend([7], n=5)
for film, score in zip(ranking.items, ranking.scores, strict=True):
    print(f"{film:9} {score:.1f}")

# %%
# Where differences between ratings come from, by what the model explains:

lr.plotting.rating_variances(model, figure=plt.figure(figsize=(7, 3.2), layout="constrained"))
plt.show()

# %%
# Intervals of new ratings: the pairs that are known best, and those that are known least.

low, high = model.predict_interval(users[new], names[new], level=0.9)
pairs = [f"user {u}, {f}" for u, f in zip(users[new], names[new], strict=True)]
figure = plt.figure(figsize=(7, 4.5), layout="constrained")
lr.plotting.certainty(predicted, low, high, pairs, figure=figure)
plt.show()
print(f"in their intervals: {np.mean((low <= stars[new]) & (stars[new] <= high)):.0%}")
