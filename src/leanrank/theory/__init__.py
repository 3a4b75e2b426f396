"""Calculators for what the papers state: parameters, limits, step sizes, sample sizes, noise."""

from leanrank.theory._asymmetric import (
    TargetFrame,
    WarmUp,
    gaussian_misalignment_estimate,
    misalignment,
)
from leanrank.theory._deep import (
    AbsorbingSet,
    absorbing_set,
    collapse_ridge,
    largest_ridge,
    ridge_equilibria,
)
from leanrank.theory._flow import (
    active_fraction,
    expected_active,
    gradient_flow_limit_norms,
)
from leanrank.theory._isometry import IsometryBounds, restricted_isometry
from leanrank.theory._landscape import CriticalPoint, two_by_two_critical_points
from leanrank.theory._noise import noise_floor, oracle_error
from leanrank.theory._pruning import (
    PruningParameters,
    critical_lambda,
    degrees_of_freedom,
    fine_tuning_steps,
    invariant_step_size,
    origin_is_stable,
    predicted_column_norm,
    pruning_parameters,
    sample_size,
    smallest_surviving_sigma,
)
from leanrank.theory._sensing import (
    asymmetric_error_bound,
    descent_steps,
    descent_window,
    fresh_batch_size,
    implicit_error_bound,
    isometry_sample_size,
    stable_step_size,
)

__all__ = [
    "AbsorbingSet",
    "CriticalPoint",
    "IsometryBounds",
    "PruningParameters",
    "TargetFrame",
    "WarmUp",
    "absorbing_set",
    "active_fraction",
    "asymmetric_error_bound",
    "collapse_ridge",
    "critical_lambda",
    "degrees_of_freedom",
    "descent_steps",
    "descent_window",
    "expected_active",
    "fine_tuning_steps",
    "fresh_batch_size",
    "gaussian_misalignment_estimate",
    "gradient_flow_limit_norms",
    "implicit_error_bound",
    "invariant_step_size",
    "isometry_sample_size",
    "largest_ridge",
    "misalignment",
    "noise_floor",
    "oracle_error",
    "origin_is_stable",
    "predicted_column_norm",
    "pruning_parameters",
    "restricted_isometry",
    "ridge_equilibria",
    "sample_size",
    "smallest_surviving_sigma",
    "stable_step_size",
    "two_by_two_critical_points",
]
