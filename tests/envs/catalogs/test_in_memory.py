"""In-memory catalogs: registration by name, and everything that is looked up by that name."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tasteshift.envs.catalogs import load
from tasteshift.envs.catalogs.load import (
    load_catalog,
    load_data,
    register_in_memory,
    unregister_in_memory,
)
from tasteshift.envs.catalogs.overlays import Overlay, apply
from tasteshift.envs.catalogs.resampling.resample import resample_catalog
from tasteshift.envs.dynamics.cold import ColdItems
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.training_log import simulate_training_log
from tasteshift.envs.simulator.world import build_world
from tasteshift.errors import InputError

KEY = bytes(range(32))


def registered(name, base, key):
    register_in_memory(name, lambda: resample_catalog(load_data(base), key, name))
    return name


def test_an_in_memory_catalog_is_found_by_name_everywhere():
    name = registered("hidden:everywhere", "synthetic:60", KEY)
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
    unregister_in_memory(name)
    load_data.cache_clear()
    with pytest.raises(InputError):
        load_data(name)


def test_names_are_checked_and_stand_for_one_catalog():
    for name in ("synthetic", "movielens-100k", "./here", "hidden:x~hide-maturity"):
        with pytest.raises(InputError, match="cannot be called"):
            register_in_memory(name, lambda: load_data("synthetic:12"))
    first = registered("hidden:first", "synthetic:12", KEY)
    expected = load_data(first).public.hash
    register_in_memory(first, lambda: load_data("synthetic:40"))
    load_data.cache_clear()
    assert load_data(first).public.hash == expected
    unregister_in_memory(first)
    assert first not in load._IN_MEMORY
    register_in_memory("hidden:wrong", lambda: load_data("synthetic:12"))
    with pytest.raises(InputError, match="is called 'synthetic:12'"):
        load_data("hidden:wrong")
    unregister_in_memory("hidden:wrong")


def test_registration_and_loading_are_thread_safe():
    """More catalogs than the caches hold, from many threads, in any order."""
    keys = {f"hidden:thread-{k}": bytes([k]) * 32 for k in range(12)}
    base = load_data("synthetic:12")
    expected = {name: resample_catalog(base, key, name).public.hash for name, key in keys.items()}

    def visit(k):
        name = list(keys)[k * 7 % 12]
        registered(name, "synthetic:12", keys[name])
        return name, build_world(name, "stationary", 3).catalog.hash

    with ThreadPoolExecutor(8) as pool:
        assert all(expected[name] == found for name, found in pool.map(visit, range(36)))
    for name in keys:
        unregister_in_memory(name)


def test_cold_items_are_other_items_under_every_key():
    """They are chosen by row, and the key determines which item is in a row."""
    cold = []
    for k in range(2):
        name = registered(f"hidden:cold-{k}", "synthetic:300", bytes([k]) * 32)
        scenario = SCENARIOS.get("cold-item")
        assert isinstance(scenario.cold_items, ColdItems)
        world = build_world(name, scenario, 3)
        cold.append({world.catalog.title[item] for item in np.flatnonzero(world.entry_day)})
        unregister_in_memory(name)
    assert len(cold[0] & cold[1]) < 0.3 * len(cold[0])
