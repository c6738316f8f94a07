"""Cold users and items: shares, distributions, dependence on the catalog alone."""

import numpy as np
import pytest
from scipy import stats

from tasteshift.envs.dynamics.cold import ColdItems, ColdUsers, entry_days, events_kept, is_cold

N = 10_000


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_stated_share_of_users_is_cold(share):
    cold = is_cold(ColdUsers(share), np.arange(N))
    assert cold.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / N))


def test_a_larger_share_only_adds_cold_users():
    few, many = (is_cold(ColdUsers(share), np.arange(N)) for share in (0.2, 0.6))
    assert many[few].all()
    assert (is_cold(ColdUsers(0.2), np.array([17, 3])) == few[[17, 3]]).all()


def test_cold_users_keep_0_1_3_or_10_events_uniformly():
    users = np.arange(N)
    kept = events_kept(1, users)
    values, counts = np.unique(kept, return_counts=True)
    assert values.tolist() == [0, 1, 3, 10]
    assert stats.chisquare(counts).pvalue > 1e-3
    cold = is_cold(ColdUsers(0.5), users)
    table = [[(kept[group] == v).sum() for v in values] for group in (cold, ~cold)]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_the_stated_share_of_items_enters_on_uniform_days():
    entry = entry_days(ColdItems(0.25, first_day=7, last_day=16), 1, N)
    late = entry > 0
    assert late.mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / N))
    assert set(entry[late]) == set(range(7, 17))
    assert stats.chisquare(np.bincount(entry[late] - 7)).pvalue > 1e-3
    assert (entry_days(ColdItems(0.0, 7, 16), 1, N) == 0).all()
    assert (entry_days(ColdItems(0.25, 7, 16), 1, 50) == entry[:50]).all()
