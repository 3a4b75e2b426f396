"""Colours of all figures: Okabe and Ito's, which colour-blind readers can tell apart."""

from __future__ import annotations

__all__ = ["BLUE", "COLOURS", "GREEN", "INK", "ORANGE", "PALE", "PINK", "RED", "SKY"]

INK = "#333333"
PALE = "#c4c8cc"
BLUE = "#0072B2"
RED = "#D55E00"
GREEN = "#009E73"
PINK = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"

COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, INK)
"""For one line after another."""
