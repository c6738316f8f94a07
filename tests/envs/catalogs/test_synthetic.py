"""synthetic of any size: lazy texts, bit-exact numbers, no hidden array reachable."""

import os
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

from tasteshift import load_catalog
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.sources.synthetic import build
from tasteshift.envs.catalogs.texts import LazyTexts
from tasteshift.errors import InputError


@pytest.mark.parametrize("size", [2, 37, 2500])
def test_any_size_has_distinct_titles_and_whole_columns(size):
    catalog = load_catalog(f"synthetic:{size}")
    assert len(set(catalog.title)) == len(set(catalog.item_id)) == len(catalog) == size
    assert catalog.topic.shape == (size, 8)
    assert catalog.popularity.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "name", ["synthetic:0", "synthetic:1", "synthetic:-3", "synthetic:many", "synthetic:99999999"]
)
def test_bad_sizes_are_refused(name):
    with pytest.raises(InputError, match="needs a size from 2"):
        load_catalog(name)


def test_the_hash_depends_on_content_and_not_on_the_name():
    assert build("30").public.hash == build("30").public.hash != build("31").public.hash
    assert build("1000").public.hash == build().public.hash


@pytest.mark.parametrize("column", ["item_id", "title", "description"])
def test_lazy_texts_behave_like_a_tuple(column):
    texts = getattr(load_catalog("synthetic:1200"), column)
    assert isinstance(texts, LazyTexts)
    plain = tuple(texts)
    assert len(texts) == len(plain) == 1200
    assert texts == plain
    assert plain == texts
    assert texts == list(plain)
    assert texts != plain[:-1]
    assert texts != plain[0]
    assert texts[5] == plain[5]
    assert texts[-1] == plain[-1]
    assert texts[np.int64(7)] == plain[7]
    assert texts[3:900:7] == plain[3:900:7]
    assert texts[::-1] == plain[::-1]
    assert plain[1100] in texts
    assert "no such text" not in texts
    assert texts.index(plain[44]) == plain.index(plain[44])
    assert pickle.loads(pickle.dumps(texts)) == texts
    with pytest.raises(IndexError):
        texts[1200]


def test_characters_are_those_that_occur():
    catalog = load_catalog("synthetic:2500")
    used = set("".join([*catalog.title, *catalog.description, *catalog.topics]))
    assert used <= catalog.characters()
    assert "ø" in catalog.characters()
    films = load_catalog("movielens-100k")
    assert films.characters() == set("".join([*films.title, *films.description, *films.topics]))


def test_descriptions_state_the_level_of_every_axis():
    data = load_data("synthetic:500")
    texts = data.public.description
    nature = data.hidden.z_text[:, 7]
    urban = [
        k for k, text in enumerate(texts) if text.endswith((" concrete story.", " urban story."))
    ]
    wild = [
        k for k, text in enumerate(texts) if text.endswith((" wild story.", " primeval story."))
    ]
    assert nature[urban].max() < nature[wild].min()


def reachable(start):
    """All objects reachable through attributes, slots, closures, defaults and containers."""
    seen, stack = {}, [start]
    while stack:
        thing = stack.pop()
        plain = (str, bytes, int, float, bool, type(None), type, types.ModuleType)
        if id(thing) in seen or isinstance(thing, plain):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, dict):
            stack += [*thing, *thing.values()]
        elif isinstance(thing, (list, tuple, set, frozenset)):
            stack += thing
        elif not isinstance(thing, np.ndarray):
            names = {*getattr(thing, "__dict__", {})}
            for kind in type(thing).__mro__:
                slots = getattr(kind, "__slots__", ())
                names |= {slots} if isinstance(slots, str) else set(slots)
            names |= {"func", "args", "keywords", "__self__", "__defaults__"}
            stack += [getattr(thing, name, None) for name in names]
            stack += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    return list(seen.values())


@pytest.mark.parametrize("name", ["synthetic:60", "movielens-100k"])
def test_no_hidden_array_is_reachable_from_the_public_catalog(name):
    data = load_data(name)
    before = [data.public.posters[0], data.public.title[0], data.public.description[0]]
    arrays = [thing for thing in reachable(data.public) if isinstance(thing, np.ndarray)]
    hidden = [value for value in vars(data.hidden).values() if isinstance(value, np.ndarray)]
    assert len(before) == 3
    assert len(arrays) >= 6
    assert data.hidden.z.shape in [
        thing.shape for thing in reachable(data) if hasattr(thing, "shape")
    ]
    for array in arrays:
        assert not any(np.shares_memory(array, latent) for latent in hidden)
        assert array.dtype != np.float64 or array.ndim == 1


def test_other_vector_units_and_blas_kernels_give_the_same_catalog():
    """A fresh interpreter without the CPU's newer instructions gives the same hash."""
    features = "AVX2 FMA3 AVX512F AVX512_SKX X86_V3 X86_V4"
    module = "tasteshift.envs.catalogs.sources.synthetic"
    code = f"from {module} import build; print(build('300').public.hash)"
    known = __import__("numpy._core._multiarray_umath", fromlist=["__cpu_features__"])
    dispatched = set(known.__cpu_dispatch__)
    environment = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": " ".join(f for f in features.split() if f in dispatched),
        "OPENBLAS_CORETYPE": "Prescott",
        "OPENBLAS_NUM_THREADS": "1",
    }
    found = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=os.path.dirname(sys.executable),
    )
    assert found.stdout.strip() == build("300").public.hash


def test_synthetic_hash_is_pinned():
    assert (
        build("300").public.hash
        == "fc4839e99e37bc75881abc4841d5d282ce4490f8d5f9cdb13d4f27cec1591e72"
    )
