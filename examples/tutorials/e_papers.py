"""
A reader of the papers
======================

You have read one of the four papers that this library implements, and want to see its claim for
yourself, change a parameter, or use its algorithm to the letter.

- N. Rajaraman, Devvrit, A. Mokhtari and K. Ramchandran, *Greedy pruning with group Lasso
  provably generalizes for matrix sensing* (2023)
- Y. Li, T. Ma and H. Zhang, *Algorithmic regularization in over-parameterized matrix sensing and
  neural networks with quadratic activations* (2018)
- J. S. Wind, *Implicit regularization makes overparameterized asymmetric matrix sensing robust
  to perturbations* (2025)
- Z. Wang and A. Jacot, *Implicit bias of SGD in L2-regularized linear DNNs: one-way jumps from
  high to low rank* (2024)
"""

import matplotlib.pyplot as plt

import leanrank as lr
from leanrank import initial
from leanrank.research import diagnostics, experiments, theory
from leanrank.solvers import GradientDescent, solve

# %%
# Figures and claims, to run
# --------------------------
#
# Each figure and each claim that can be measured is an experiment. What came of all of them in
# their full settings is listed under :doc:`/claims`, paper by paper: look there for the theorem or
# figure that you have in mind, and take the name that stands beside it.

for name in experiments.names():
    print(f"{name:23} {experiments.get(name).title}")

# %%
# A terminal runs them, draws the figure and says whether the claim held. The first line takes
# small settings that still show the effect, the second lists what can be changed, the third changes
# something::
#
#     leanrank reproduce pruning-fig2 --quick
#     leanrank reproduce pruning-fig2 --list
#     leanrank reproduce pruning-fig2 --quick --noise 0.05 --seed 1
#
# Python does, too:

claim = experiments.get("pruning-eq6")
print(claim.claim)
for name, parameter in claim.parameters.items():
    print(f"  {name}: {parameter.about}")

done = experiments.run(claim, quick=True)
print(f"{done.verdict}\n{done.verdict.measured}")

# %%
# HOLDS is a claim that held as it is printed, HOLDS with one that held under a condition that the
# paper does not state, FAILS one that did not; ``done.verdict.condition`` is the condition, and
# ``claim.criterion`` says what was asked. ``done.figure`` is the figure, and ``done.results`` has
# what came of each trial. Parameters and the seed are arguments:

print(list(done.results.arrays()))
again = experiments.run(claim, quick=True, seed=1, width=100)
print(f"{again.verdict}\n{again.verdict.measured}")

# %%
# Greedy pruning, to the letter
# -----------------------------
#
# Algorithm 1 of Rajaraman et al.: descend on the population loss with a group Lasso on the
# columns of a factor that is too wide, prune short columns, refine. It is slower than
# ``recover``, which reaches the same points by second-order steps.

instance = lr.simulate.full_observation(20, 2, symmetric=True, random_state=0)
pruned = lr.greedy_prune(instance.op, instance.y, width=8, lam=0.05, beta=1e-3, random_state=0)
print(pruned.rank, pruned.status.name, pruned.message)

figure = plt.figure(figsize=(6, 3.2), layout="constrained")
lr.plotting.column_norms(pruned, figure=figure)
plt.show()

# %%
# Descent from a small start
# --------------------------
#
# Li, Ma and Zhang: with a factor as wide as the matrix, gradient descent from a tiny start still
# finds the low-rank solution. A :class:`~leanrank.research.diagnostics.Trace` keeps what one
# plots. The *training* error is that of the measurements, the *test* error that of the matrix.

instance = lr.simulate.dense_sensing(20, 2, oversampling=3, symmetric=True, random_state=0)
problem = lr.Problem(instance.op, instance.y)
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for scale in (1e-4, 1e-1, 1.0):
    measures = {
        "train": diagnostics.training_error(problem),
        "test": diagnostics.recovery_error(instance.truth),
    }
    trace = diagnostics.Trace(measures, every=10)
    start = initial.identity((20, 20), scale=scale, symmetric=True)
    solve(GradientDescent(0.05), problem, start, max_iter=1500, callbacks=[trace])
    (line,) = ax.semilogy(trace.iterations, trace["test"], label=f"start {scale:g}: test")
    ax.semilogy(trace.iterations, trace["train"], ":", color=line.get_color(), label="training")
ax.set(xlabel="step", ylabel="relative error")
ax.legend(ncols=3, fontsize=8)
plt.show()

# %%
# All three come to fit the measurements; the smaller the start, the closer they come to the matrix.
#
# Bounds and step sizes
# ---------------------
#
# What the theorems state, as calculators. Constants that a paper leaves open have defaults that
# were measured, and each docstring says which.

print("unknowns:", theory.degrees_of_freedom((100, 100), 5))
print("Gaussian measurements that were enough:", theory.enough_measurements((100, 100), 5))
print(theory.pruning_parameters(sigma_r=1.0, rank=4, width=100))

# %%
# Next: :doc:`/gallery/h_deep_jump`, and all calculators, solvers and diagnostics in
# :doc:`/reference/research`. An experiment of your own: :doc:`/extending`.
