"""Each rule at its limit: just inside it says nothing, just outside a sentence with a remedy."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from leanrank.evidence import Certificate
from leanrank.evidence.rules import RULES, Facts, judge
from leanrank.policy import EvidencePolicy

GOOD = Certificate(
    holds=False,
    reasons=(),
    notes=(),
    rank=2,
    degrees_of_freedom=36,
    measurements=200,
    relative_residual=0.01,
    relative_gradient=1e-8,
    active_curvature=0.0,
    virtual_curvature=0.0,
    noise_gap=1.0,
    identifiability=0.1,
    condition_number=2.0,
    error_estimate=0.005,
    held_out_error=0.01,
    filled_error=0.01,
)


def facts(**changes: Any) -> Facts:
    """Facts that nothing speaks against, but for the changes."""
    names = {field.name for field in dataclasses.fields(Certificate)}
    certificate = dataclasses.replace(GOOD, **{k: v for k, v in changes.items() if k in names})
    others = {k: v for k, v in changes.items() if k not in names}
    return Facts(
        **{"certificate": certificate, "exact": False, "wider": 51, "distinct": 200} | others
    )


LIMITS = [
    # rule, what is varied, just inside, just outside, what else is so, part of the sentence
    ("unknowns", "distinct", 37, 36, {"exact": True}, "36 different measurements cannot determine"),
    ("misfit", "distinct", 150, 149, {"wider": 100}, "too few to tell noise from misfit"),
    ("rows", "rows", np.arange(0), np.array([4]), {}, "row 4 (counted from 0) has too few"),
    (
        "columns",
        "cols",
        np.arange(0),
        np.arange(7),
        {},
        "7 columns (0, 1, 2, 3, 4, ..., counted from 0) have",
    ),
    ("identifiability", "identifiability", 1e-7, 0.99e-7, {}, "other matrices of this rank"),
    ("gradient of an exact fit", "relative_gradient", 1e-4, 1.01e-4, {"exact": True}, "stationary"),
    ("gradient", "relative_gradient", 1e-3, 1.01e-3, {}, "not stationary"),
    (
        "error",
        "error_estimate",
        0.1,
        0.101,
        {},
        "uncertain by 10.1%, more than 10%",
    ),
    ("filled", "filled_error", 0.2, 0.201, {}, "not observed are uncertain by 20.1%"),
    ("strain", "strain", 1.0, 1.01, {}, "missed 1.0 times as badly"),
    ("held by few", "held_by", 4.0, 3.99, {}, "few measurements join a block of rows"),
    ("held out", "held_out_error", 0.5, 0.501, {"relative_residual": 0.4}, "missed by 50.1%"),
    # 0.01 / sqrt(1 - 36 / 200) = 0.01104 is explained, and half as much again allowed.
    ("held out, beyond noise", "held_out_error", 0.01656, 0.01658, {}, "would explain 1.1%"),
    ("trapped", "relative_residual", 0.020001, 0.020003, {}, "caught in a poor local"),
    ("structure", "noise_gap", 1.2, 1.201, {}, "the residual, has structure"),
    ("weak structure", "leading_gap", 1.05, 1.051, {}, "many directions of the residual"),
    ("definite", "opposed", 1.0, 1.01, {"symmetric": True}, "negative sign"),
]


@pytest.mark.parametrize(("rule", "name", "inside", "outside", "also", "said"), LIMITS)
def test_each_rule_at_its_limit(rule, name, inside, outside, also, said):
    assert judge(facts(**also | {name: inside}), EvidencePolicy()) == ()
    against = facts(**also | {name: outside})
    assert [r.name for r in RULES if r.reason(against, EvidencePolicy())] == [rule]
    (reason,) = judge(against, EvidencePolicy())
    assert said in reason
    remedy = next(r.remedy for r in RULES if r.name == rule)
    assert reason.endswith(remedy.format(f=against))


def test_every_rule_is_tested():
    assert {row[0] for row in LIMITS} | {"signal"} == {rule.name for rule in RULES}


def test_errors_too_small_for_a_percentage_are_told_apart():
    close = facts(exact=True, held_out_error=3e-5, relative_residual=1e-9)
    (reason,) = judge(close, EvidencePolicy())
    assert "missed by 0.003%, where" in reason
    assert "would explain 1e-07%" in reason


@pytest.mark.parametrize("name", ["error_estimate", "filled_error", "held_out_error"])
def test_what_is_not_finite_is_said_in_words(name):
    (reason,) = judge(facts(**{name: math.inf}), EvidencePolicy())
    assert "inf" not in reason
    assert reason.startswith("measurements" if name == "held_out_error" else "nothing says how far")
    assert ": " in reason


def test_a_sentence_has_one_remedy():
    """Reasons are joined by semicolons, and what helps stands behind the one colon."""
    number, others = 0.3, {"rows": np.arange(3), "cols": np.arange(2), "symmetric": True}
    for rule in RULES:
        for sentence in filter(None, (rule.sentence, rule.unbounded)):
            said = sentence.format(f=facts(**others), number=number, percent="30%", limit=0.1)
            assert ":" not in said
            assert said[0].islower() or said[0].isdigit()
            assert not said.endswith(".")


def test_a_number_that_is_no_number_speaks_against_an_answer():
    for name in ("identifiability", "relative_gradient", "error_estimate", "noise_gap"):
        assert judge(facts(**{name: math.nan}), EvidencePolicy())


def test_where_nothing_was_found_nothing_else_is_said():
    nothing = facts(rank=0, error_estimate=math.inf, noise_gap=3.0)
    (reason,) = judge(nothing, EvidencePolicy())
    assert "nothing in the measurements rises above the noise" in reason
    assert judge(facts(rank=0, exact=True, degrees_of_freedom=0), EvidencePolicy()) == ()


def test_a_fit_of_full_rank_has_no_wider_one():
    assert judge(facts(distinct=149, wider=100, full_rank=True), EvidencePolicy()) == ()
    assert judge(facts(distinct=149, wider=100, exact=True), EvidencePolicy()) == ()


def test_few_rows_are_named_and_many_counted():
    reasons = judge(facts(rows=np.array([3, 5]), cols=np.arange(9)), EvidencePolicy())
    assert reasons[0].startswith("2 rows (3, 5, counted from 0) have too few measurements")
    assert "determined: at rank 2 what stands there is a guess" in reasons[0]
    assert "9 columns (0, 1, 2, 3, 4, ..., counted" in reasons[1]


def test_what_noise_explains_grows_with_leverage():
    share = 1.0 - 36 / 200
    assert facts(missed=1.0).explained == pytest.approx(0.01 / math.sqrt(share))
    assert facts(missed=4.0).explained == pytest.approx(0.02 / math.sqrt(share))
    assert judge(facts(held_out_error=0.03), EvidencePolicy())
    assert judge(facts(held_out_error=0.03, missed=4.0), EvidencePolicy()) == ()


def test_limits_are_those_of_the_policy():
    strict = EvidencePolicy(largest_error=0.001, structure=0.9)
    assert len(judge(facts(), strict)) == 2
    assert judge(facts(error_estimate=0.3), EvidencePolicy(largest_error=0.3)) == ()


def test_what_a_residual_of_a_symmetric_fit_may_be():
    (reason,) = judge(facts(noise_gap=2.0, symmetric=True), EvidencePolicy())
    assert "only approximately or indefinite" in reason
    (reason,) = judge(facts(noise_gap=2.0), EvidencePolicy())
    assert "indefinite" not in reason


def test_repeated_measurements_are_said_to_be():
    few = facts(distinct=30, exact=True)
    assert judge(few, EvidencePolicy())[0].startswith("30 different measurements cannot")
    all_differ = facts(distinct=30, measurements=30, exact=True)
    assert judge(all_differ, EvidencePolicy())[0].startswith("30 measurements cannot")
