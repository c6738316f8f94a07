"""Calibrated acceptance rates, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.drafting.calibration import MAX_RATE, Calibration

PRIOR = {"copy short": 0.3, "copy long": 0.8, "draft": 0.9}


def family(kind: str) -> str:
    return kind.split()[0]


@given(
    st.lists(st.tuples(st.sampled_from(sorted(PRIOR)), st.booleans()), max_size=30),
    st.floats(0.5, 9),
)
def test_a_rate_is_the_posterior_mean_with_its_familys_correction(seen, strength) -> None:
    calibration = Calibration(PRIOR.__getitem__, family, strength)
    for kind, hit in seen:
        calibration.learn(kind, hit)
    for kind, rate in PRIOR.items():
        kin = [(PRIOR[k], hit) for k, hit in seen if family(k) == family(kind)]
        correction = (strength + sum(hit for _, hit in kin)) / (strength + sum(p for p, _ in kin))
        hits = [hit for found, hit in seen if found == kind]
        expected = (rate * correction * strength + sum(hits)) / (strength + len(hits))
        assert calibration.rate(kind) == pytest.approx(min(MAX_RATE, expected))


def test_failures_lower_the_rates_of_the_whole_family() -> None:
    calibration = Calibration(PRIOR.__getitem__, family)
    for _ in range(20):
        calibration.learn("copy short", False)
    assert calibration.rate("copy long") < 0.5 < calibration.rate("draft")


def test_each_text_has_its_own_rates() -> None:
    first, second = (Calibration(lambda kind: 0.5, family) for _ in range(2))
    first.learn("a", True)
    assert first.rate("a") > second.rate("a") == 0.5
