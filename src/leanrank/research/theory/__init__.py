"""Calculators for what the papers state: parameters, limits, step sizes, sample sizes, noise."""

from leanrank.factors import degrees_of_freedom
from leanrank.research.theory._absorbing import (
    AbsorbingExponents,
    AbsorbingSet,
    absorbing_exponents,
    absorbing_set,
)
from leanrank.research.theory._asymmetric import (
    TargetFrame,
    WarmUp,
    gaussian_misalignment_estimate,
    misalignment,
)
from leanrank.research.theory._calls import fine_tuning_steps, gradient_calls
from leanrank.research.theory._deep import collapse_ridge, largest_ridge, ridge_equilibria
from leanrank.research.theory._deep_descent import (
    deep_smoothness,
    deep_step_size,
    rank_margin,
    ridge_descent_time,
)
from leanrank.research.theory._flow import (
    active_fraction,
    expected_active,
    gradient_flow_limit_norms,
)
from leanrank.research.theory._isometry import IsometryBounds, restricted_isometry
from leanrank.research.theory._landscape import CriticalPoint, two_by_two_critical_points
from leanrank.research.theory._noise import noise_floor, oracle_error
from leanrank.research.theory._pruning import (
    PruningParameters,
    critical_lambda,
    origin_is_stable,
    predicted_column_norm,
    pruning_parameters,
    smallest_surviving_sigma,
)
from leanrank.research.theory._rank_one_flow import RankOneFlow, StartBounds, start_bounds
from leanrank.research.theory._rank_sets import column_event_steps, product_rank_bound
from leanrank.research.theory._samples import (
    enough_measurements,
    fresh_batch_size,
    isometry_sample_size,
    sample_size,
)
from leanrank.research.theory._sensing import (
    asymmetric_error_bound,
    descent_steps,
    descent_window,
    implicit_error_bound,
    largest_start,
    largest_step_size,
    stable_step_size,
)
from leanrank.research.theory._smoothness import (
    gradient_lower_bound,
    invariant_step_size,
    smoothness_constants,
)
from leanrank.research.theory._stationary import (
    StationaryBounds,
    effective_epsilon,
    noise_operator_norm,
    overlap_bound,
    overlaps,
    stationary_bounds,
)

__all__ = [
    "AbsorbingExponents",
    "AbsorbingSet",
    "CriticalPoint",
    "IsometryBounds",
    "PruningParameters",
    "RankOneFlow",
    "StartBounds",
    "StationaryBounds",
    "TargetFrame",
    "WarmUp",
    "absorbing_exponents",
    "absorbing_set",
    "active_fraction",
    "asymmetric_error_bound",
    "collapse_ridge",
    "column_event_steps",
    "critical_lambda",
    "deep_smoothness",
    "deep_step_size",
    "degrees_of_freedom",
    "descent_steps",
    "descent_window",
    "effective_epsilon",
    "enough_measurements",
    "expected_active",
    "fine_tuning_steps",
    "fresh_batch_size",
    "gaussian_misalignment_estimate",
    "gradient_calls",
    "gradient_flow_limit_norms",
    "gradient_lower_bound",
    "implicit_error_bound",
    "invariant_step_size",
    "isometry_sample_size",
    "largest_ridge",
    "largest_start",
    "largest_step_size",
    "misalignment",
    "noise_floor",
    "noise_operator_norm",
    "oracle_error",
    "origin_is_stable",
    "overlap_bound",
    "overlaps",
    "predicted_column_norm",
    "product_rank_bound",
    "pruning_parameters",
    "rank_margin",
    "restricted_isometry",
    "ridge_descent_time",
    "ridge_equilibria",
    "sample_size",
    "smallest_surviving_sigma",
    "smoothness_constants",
    "stable_step_size",
    "start_bounds",
    "stationary_bounds",
    "two_by_two_critical_points",
]
