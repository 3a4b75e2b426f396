"""Calculators for what the papers state: parameters, limits, step sizes, sample sizes, noise."""

from leanrank.factors import degrees_of_freedom
from leanrank.research.theory._absorbing import (
    AbsorbingExponents,
    AbsorbingSet,
    absorbing_exponents,
    absorbing_set,
)
from leanrank.research.theory._assumption import FlowAssumption
from leanrank.research.theory._asymmetric import (
    TargetFrame,
    WarmUp,
    gaussian_misalignment_estimate,
    misalignment,
)
from leanrank.research.theory._calls import fine_tuning_steps, gradient_calls
from leanrank.research.theory._concentration import (
    ConcentrationGap,
    determinant_operator,
    inner_product_gap,
    largest_gap,
    product_gap,
)
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
from leanrank.research.theory._isometry import (
    IsometryBounds,
    isometry_ceiling,
    restricted_isometry,
)
from leanrank.research.theory._landscape import CriticalPoint, two_by_two_critical_points
from leanrank.research.theory._local import LocalConvergence
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
from leanrank.research.theory._reduction import (
    dilation,
    flow_perturbation,
    fresh_error_bound,
    frobenius_residual_bound,
    imbalance_drive,
    isometry_error_bound,
    step_perturbation_bounds,
)
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
from leanrank.research.theory._signal import RankOneSteps, SignalBounds
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
from leanrank.research.theory._truncation import (
    largest_truncated_deviation,
    rank_one_sample_size,
    truncated_deviation,
    truncated_moments,
    truncation_bias,
)

__all__ = [
    "AbsorbingExponents",
    "AbsorbingSet",
    "ConcentrationGap",
    "CriticalPoint",
    "FlowAssumption",
    "IsometryBounds",
    "LocalConvergence",
    "PruningParameters",
    "RankOneFlow",
    "RankOneSteps",
    "SignalBounds",
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
    "determinant_operator",
    "dilation",
    "effective_epsilon",
    "enough_measurements",
    "expected_active",
    "fine_tuning_steps",
    "flow_perturbation",
    "fresh_batch_size",
    "fresh_error_bound",
    "frobenius_residual_bound",
    "gaussian_misalignment_estimate",
    "gradient_calls",
    "gradient_flow_limit_norms",
    "gradient_lower_bound",
    "imbalance_drive",
    "implicit_error_bound",
    "inner_product_gap",
    "invariant_step_size",
    "isometry_ceiling",
    "isometry_error_bound",
    "isometry_sample_size",
    "largest_gap",
    "largest_ridge",
    "largest_start",
    "largest_step_size",
    "largest_truncated_deviation",
    "misalignment",
    "noise_floor",
    "noise_operator_norm",
    "oracle_error",
    "origin_is_stable",
    "overlap_bound",
    "overlaps",
    "predicted_column_norm",
    "product_gap",
    "product_rank_bound",
    "pruning_parameters",
    "rank_margin",
    "rank_one_sample_size",
    "restricted_isometry",
    "ridge_descent_time",
    "ridge_equilibria",
    "sample_size",
    "smallest_surviving_sigma",
    "smoothness_constants",
    "stable_step_size",
    "start_bounds",
    "stationary_bounds",
    "step_perturbation_bounds",
    "truncated_deviation",
    "truncated_moments",
    "truncation_bias",
    "two_by_two_critical_points",
]
