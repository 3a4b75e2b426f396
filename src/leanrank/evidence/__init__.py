"""Evidence: how far to trust recovered factors, from the answer and the measurements alone."""

from leanrank.evidence.certificate import Certificate, certify, check_certificate, in_units
from leanrank.evidence.structure import noise_level, structure, virtual_columns

__all__ = [
    "Certificate",
    "certify",
    "check_certificate",
    "in_units",
    "noise_level",
    "structure",
    "virtual_columns",
]
