"""Catalogs that are held by name in one process, and what else goes by that name."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tasteshift.envs.catalogs import load
from tasteshift.envs.catalogs.load import hold, load_catalog, load_data, release
from tasteshift.envs.catalogs.overlays import Overlay, apply
from tasteshift.envs.catalogs.redrawn import redrawn
from tasteshift.envs.dynamics.cold import ColdItems
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.training_log import simulate_training_log
from tasteshift.envs.simulator.world import build_world
from tasteshift.errors import InputError

KEY = bytes(range(32))


def held(name, base, key):
    hold(name, lambda: redrawn(load_data(base), key, name))
    return name


def test_a_held_catalog_goes_by_its_name_everywhere():
    name = held("hidden:everywhere", "synthetic:60", KEY)
    data = load_data(name)
    assert load_catalog(name).name == data.public.name == name
    assert KEY.hex() not in repr(data.public)
    scenario = SCENARIOS.get("poisoned-items")
    world = build_world(name, scenario, 3)
    assert world.catalog.name.startswith(f"{name}~")
    assert world.tampered.any()
    assert (world.hidden.z == data.hidden.z).all()
    assert len(simulate_training_log(world)) > 100
    assert (world.catalog.posters[3] == data.public.posters[3]).all()
    assert apply(Overlay("hide-maturity", 0.5), data.public).hash != data.public.hash
    release(name)
    load_data.cache_clear()
    with pytest.raises(InputError):
        load_data(name)


def test_nothing_else_can_be_called_what_is_held():
    for name in ("synthetic", "movielens-100k", "./here", "hidden:x~hide-maturity"):
        with pytest.raises(InputError, match="cannot be held"):
            hold(name, lambda: load_data("synthetic:12"))
    first = held("hidden:first", "synthetic:12", KEY)
    expected = load_data(first).public.hash
    hold(first, lambda: load_data("synthetic:40"))
    load_data.cache_clear()
    assert load_data(first).public.hash == expected
    release(first)
    assert first not in load._HELD
    hold("hidden:wrong", lambda: load_data("synthetic:12"))
    with pytest.raises(InputError, match="calls itself 'synthetic:12'"):
        load_data("hidden:wrong")
    release("hidden:wrong")


def test_many_threads_hold_many_catalogs_at_once():
    """More catalogs than the caches remember, from many threads, in any order."""
    keys = {f"hidden:thread-{k}": bytes([k]) * 32 for k in range(12)}
    base = load_data("synthetic:12")
    expected = {name: redrawn(base, key, name).public.hash for name, key in keys.items()}

    def visit(k):
        name = list(keys)[k * 7 % 12]
        held(name, "synthetic:12", keys[name])
        return name, build_world(name, "stationary", 3).catalog.hash

    with ThreadPoolExecutor(8) as pool:
        assert all(expected[name] == found for name, found in pool.map(visit, range(36)))
    for name in keys:
        release(name)


def test_cold_items_and_overlays_meet_other_items_under_every_key():
    """They are placed by row; which item stands in a row is the key's secret."""
    met = []
    for k in range(2):
        name = held(f"hidden:cold-{k}", "synthetic:300", bytes([k]) * 32)
        scenario = SCENARIOS.get("cold-item")
        assert isinstance(scenario.cold_items, ColdItems)
        world = build_world(name, scenario, 3)
        met.append({world.catalog.title[item] for item in np.flatnonzero(world.entry_day)})
        release(name)
    assert len(met[0] & met[1]) < 0.3 * len(met[0])
