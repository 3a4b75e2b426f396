"""Evidence: how far to trust recovered factors, from the answer and the measurements alone."""

from leanrank.evidence.certificate import Certificate, of_shrunk, rescaled
from leanrank.evidence.certifying import certify, check_certificate
from leanrank.evidence.prediction import Prediction
from leanrank.evidence.structure import (
    bulk_centre,
    explained_of_noise,
    leaves_noise,
    noise_level,
    residual_spectral_norm,
    virtual_columns,
)

__all__ = [
    "Certificate",
    "Prediction",
    "bulk_centre",
    "certify",
    "check_certificate",
    "explained_of_noise",
    "leaves_noise",
    "noise_level",
    "of_shrunk",
    "rescaled",
    "residual_spectral_norm",
    "virtual_columns",
]
