"""Calculators for what the papers state: parameters, limits, step sizes, sample sizes, noise."""

from leanrank.theory._flow import (
    active_fraction,
    expected_active,
    gradient_flow_limit_norms,
)
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

__all__ = [
    "PruningParameters",
    "active_fraction",
    "critical_lambda",
    "degrees_of_freedom",
    "expected_active",
    "fine_tuning_steps",
    "gradient_flow_limit_norms",
    "invariant_step_size",
    "noise_floor",
    "oracle_error",
    "origin_is_stable",
    "predicted_column_norm",
    "pruning_parameters",
    "sample_size",
    "smallest_surviving_sigma",
]
