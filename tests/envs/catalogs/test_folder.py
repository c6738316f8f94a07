"""Folder catalogs and RecBole datasets: columns read, columns simulated, errors."""

import csv

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasteshift import load_catalog
from tasteshift.envs.catalogs.fitting.expected_latents import image_features
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.sources.movielens import ratings_folder
from tasteshift.errors import InputError

FULL = ("item_id", "title", "description", "topics", "year", "maturity", "price", "sponsored")


def write_csv(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def rows_of(n):
    return [
        (f"a{k}", f"Tale {k} of Þór", "red" if k % 2 else "blue", "Myth|Sea" if k % 3 else "Sea",
         1990 + k, (0, 12, 16)[k % 3], f"{k}.50", "yes" if k == 1 else "no")
        for k in range(n)
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    write_csv(tmp_path / "items.csv", FULL, rows_of(40))
    return tmp_path


def paint(folder, n, rng):
    """Pictures that are one color each, larger than a poster."""
    (folder / "images").mkdir()
    colors = rng.integers(0, 256, (n, 3))
    for k, color in enumerate(colors):
        pixels = np.broadcast_to(color.astype(np.uint8), (90, 120, 3))
        Image.fromarray(pixels).save(folder / "images" / f"a{k}.png")
    return colors


def test_every_column_is_read(folder):
    catalog = load_catalog(str(folder))
    assert len(catalog) == 40
    assert catalog.item_id[3] == "a3"
    assert catalog.label(3) == "Tale 3 of Þór (1993)"
    assert catalog.description[3] == "red"
    assert catalog.topics == ("Myth", "Sea")
    assert catalog.topics_of(3) == ("Sea",)
    assert catalog.topics_of(4) == ("Myth", "Sea")
    assert catalog.maturity[:3].tolist() == [0, 13, 18]
    assert catalog.price[7] == 7.5
    assert np.flatnonzero(catalog.sponsored).tolist() == [1]
    assert set(catalog.simulated) == {"popularity", "posters", "tastes"}
    assert catalog.posters[[0, 5]].shape == (2, 64, 64, 3)


def test_parquet_gives_the_same_catalog_as_csv(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    frame = pd.read_csv(folder / "items.csv")
    frame["sponsored"] = frame["sponsored"] == "yes"
    frame.to_parquet(other / "items.parquet")
    assert load_catalog(str(other)).hash == load_catalog(str(folder)).hash


def test_missing_columns_are_simulated_and_listed(tmp_path):
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("x", "One"), ("y", "Two"), ("z", "")])
    data = load_data(str(tmp_path))
    simulated = {"topics", "maturity", "price", "sponsored", "popularity", "posters", "tastes"}
    assert set(data.public.simulated) == simulated
    assert data.public.topic.any(axis=1).all()
    assert data.public.year.tolist() == [0, 0, 0]
    assert np.linalg.norm(data.hidden.z, axis=1).max() <= 1


def test_pictures_become_posters_and_give_the_visual_latent(folder):
    colors = paint(folder, 40, np.random.default_rng(1))
    data = load_data(str(folder))
    assert "posters" not in data.public.simulated
    assert (data.public.posters[7] == colors[7]).all()
    x = np.hstack([image_features(data.public), np.ones((40, 1))])
    fit = x @ np.linalg.lstsq(x, data.hidden.z_image)[0]
    varies = data.hidden.z_image.std(axis=0) > 0
    assert varies.sum() == 3
    np.testing.assert_allclose(fit, data.hidden.z_image, atol=1e-4)


def test_an_item_without_a_picture_gets_a_gray_poster(folder):
    paint(folder, 20, np.random.default_rng(1))
    assert (load_catalog(str(folder)).posters[30] == 128).all()


def test_interests_are_fitted_to_interactions(folder):
    """Users a…j rate odd items high, the others even ones."""
    rows = [
        (name, f"a{k}", 5 if (k + name.islower()) % 2 else 1, k)
        for name in "abcdefghijABCDEFGHIJ"
        for k in range(40)
    ]
    write_csv(folder / "interactions.csv", ("user_id", "item_id", "rating", "timestamp"), rows)
    data = load_data(str(folder))
    hidden = data.hidden
    assert not {"popularity", "tastes"} & set(data.public.simulated)
    np.testing.assert_allclose(data.public.popularity, 1 / 40)
    liking = np.einsum("um,umd,nd->un", hidden.weights, hidden.anchors, hidden.z)
    assert hidden.anchors.shape == (20, 3, hidden.z.shape[1])
    assert liking[:10, 0::2].mean() > liking[:10, 1::2].mean()
    assert liking[10:, 1::2].mean() > liking[10:, 0::2].mean()


def test_the_hash_depends_on_content_and_not_on_the_path(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("moved")
    (other / "items.csv").write_bytes((folder / "items.csv").read_bytes())
    same = load_catalog(str(other)).hash
    assert same == load_catalog(str(folder)).hash
    changed = tmp_path_factory.mktemp("changed")
    text = (folder / "items.csv").read_text(encoding="utf-8").replace("Tale 7", "Tail 7")
    (changed / "items.csv").write_text(text, encoding="utf-8")
    assert load_catalog(str(changed)).hash != same


def test_a_recbole_folder_is_the_same_catalog_as_the_registered_one():
    folder = load_data(str(ratings_folder()))
    named = load_data("movielens-100k")
    assert folder.public.title == named.public.title
    assert (folder.hidden.z == named.hidden.z).all()
    assert (folder.hidden.anchors == named.hidden.anchors).all()
    assert (folder.hidden.ages == named.hidden.ages).all()


def atomic(folder, **files):
    for ending, lines in files.items():
        text = "\n".join("\t".join(line) for line in lines)
        (folder / f"tiny.{ending}").write_text(text + "\n", encoding="utf-8")


ITEMS = [("item_id:token", "title:token_seq"), ("1", "Sea, The"), ("2", "Sky"), ("3", "Sun")]
INTER = [("user_id:token", "item_id:token"), ("u", "1"), ("u", "2"), ("v", "3")]


def test_a_recbole_folder_without_ratings_or_users(tmp_path):
    atomic(tmp_path, item=ITEMS, inter=INTER)
    data = load_data(str(tmp_path))
    assert tuple(data.public.title) == ("The Sea", "Sky", "Sun")
    assert len(data.hidden.ages) == 2
    assert {"topics", "maturity", "price"} <= set(data.public.simulated)
    assert not {"popularity", "tastes"} & set(data.public.simulated)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"item": ITEMS}, r"tiny\.inter is missing"),
        ({"item": [*ITEMS, ("3", "Sun")], "inter": INTER}, "'3' twice"),
        ({"item": ITEMS[:2], "inter": INTER[:2]}, "needs at least 2"),
        ({"item": ITEMS, "inter": [*INTER, ("u", "9")]}, "item '9'"),
        ({"item": ITEMS, "inter": [*INTER, ("u",)]}, "line 5 has 1 fields, not 2"),
        ({"item": ITEMS, "inter": INTER[:1]}, "holds no interactions"),
        ({"item": [("id", "title"), ("1", "a"), ("2", "b")], "inter": INTER}, "'item_id'"),
        ({"item": ITEMS, "inter": INTER, "user": [("user_id", "age"), ("u", "9")]}, "user 'v'"),
    ],
)
def test_broken_recbole_folders_are_refused_in_one_line(tmp_path, files, message):
    atomic(tmp_path, **files)
    with pytest.raises(InputError, match=message) as refused:
        load_catalog(str(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (("item_id", "name"), [("x", "One")], "no column 'title'"),
        (("item_id", "title"), [("x", "One")], "needs at least 2"),
        (("item_id", "title"), [("x", "One"), ("x", "Two")], "'x' twice"),
        (("item_id", "title", "year"), [("x", "One", "1999"), ("y", "B", "MCM")], "row 2 has year"),
        (("item_id", "title", "maturity"), [("x", "A", "99"), ("y", "B", "0")], "row 1 has matu"),
        (("item_id", "title", "sponsored"), [("x", "A", "so"), ("y", "B", "")], "row 1 has spon"),
        (("item_id", "title", "price"), [("x", "A", "dear"), ("y", "B", "1")], "row 1 has price"),
        (("item_id", "title", "price"), [("x", "A", "2"), ("y", "B", "nan")], "row 2 has price"),
        (("item_id", "title", "year"), [("x", "A", "inf"), ("y", "B", "1")], "row 1 has year"),
        ((), [], "cannot be read as a table"),
    ],
)
def test_broken_tables_are_refused_in_one_line(tmp_path, header, rows, message):
    write_csv(tmp_path / "items.csv", header, rows)
    with pytest.raises(InputError, match=message) as refused:
        load_catalog(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_broken_pictures_and_interactions_are_refused(folder):
    write_csv(folder / "interactions.csv", ("user_id", "item_id"), [("u", "a1"), ("u", "nowhere")])
    with pytest.raises(InputError, match="item 'nowhere', which is not among"):
        load_catalog(str(folder))
    (folder / "interactions.csv").unlink()
    (folder / "images").mkdir()
    (folder / "images" / "a3.jpg").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"a3\.jpg cannot be read as a picture"):
        load_catalog(str(folder))


def test_folders_without_items_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"neither items\.csv nor items\.parquet"):
        load_catalog(str(tmp_path))
    with pytest.raises(InputError, match="is not a folder"):
        load_catalog(str(tmp_path / "nowhere"))
