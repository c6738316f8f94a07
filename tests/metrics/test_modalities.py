"""Ceilings of modalities by hand."""

import pytest


def test_ceilings_of_modalities_by_hand(rewards, traced, value):
    table = rewards(
        {
            "agent": [0.9],
            "random": [0.2],
            "oracle": [1.0],
            "oracle-text": [0.6],
            "oracle-text-image": [0.8],
        }
    )
    assert value("text_ceiling", traced(table)) == pytest.approx(0.5)
    assert value("text_image_ceiling", traced(table)) == pytest.approx(0.75)
    assert value("image_ceiling", traced(table)) is None
