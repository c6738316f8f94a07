"""Folder catalogs: a table of items, optional pictures, optional interactions.

items.csv or items.parquet  item_id, title; optional description, topics (separated by "|"),
                            year, maturity, price, sponsored
images/<item_id>.jpg|png    optional
interactions.csv            optional: user_id, item_id; optional rating, timestamp

A folder with a ``NAME.item`` file in it is a RecBole dataset instead.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ....errors import InputError
from ..fitting.fit import Source, fit
from ..fitting.pictures import read_pictures
from ..fitting.ratings import Ratings
from ..latents import CatalogData
from . import recbole_files

TABLES = ("items.csv", "items.parquet")
TRUE, FALSE = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no", ""}


def build_folder(name: str) -> CatalogData:
    """The catalog in the folder at path `name`.

    Missing columns are simulated and listed in `Catalog.simulated`. Raises InputError for
    a folder without items, a missing column, a value that does not fit, an item twice, fewer
    than two items, an interaction with an unknown item, and an unreadable picture.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise InputError(f"catalog {name!r} is not a folder; give the path of one with items.csv")
    if recbole_files.is_recbole_folder(folder):
        return recbole_files.build(name, folder)
    return fit(read_source(name, folder))


def read_source(name: str, folder: Path) -> Source:
    """The items, pictures and interactions of a folder with items.csv or items.parquet."""
    path = next((folder / table for table in TABLES if (folder / table).is_file()), None)
    if path is None:
        raise InputError(
            f"folder {name!r} has neither items.csv nor items.parquet nor a RecBole NAME.item; "
            "add one"
        )
    items = _table(path, ("item_id", "title"))
    item_ids = tuple(items["item_id"])
    recbole_files.check_items(item_ids, path)
    ratings, num_users = _interactions(folder / "interactions.csv", item_ids)
    return Source(
        name=name,
        item_id=item_ids,
        title=list(items["title"]),
        description=list(items["description"]) if "description" in items else None,
        topics=[_topics(text) for text in items["topics"]] if "topics" in items else None,
        year=_parsed(items, "year", path, _year, np.int64),
        maturity=_parsed(items, "maturity", path, _maturity, np.int64),
        price=_parsed(items, "price", path, _number, np.float64),
        sponsored=_parsed(items, "sponsored", path, _flag, np.bool_),
        pixels=read_pictures(folder / "images", item_ids),
        ratings=ratings,
        num_users=num_users,
    )


def _table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    """A table whose cells are all text, missing ones empty; raises InputError."""
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            frame = frame.astype(object).where(frame.notna(), "").astype(str)
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read as a table: {reason}") from error
    for column in needed:
        if column not in frame:
            raise InputError(f"{path} has no column {column!r}; add it")
    return frame


def _interactions(path: Path, item_ids: tuple[str, ...]) -> tuple[Ratings | None, int]:
    if not path.is_file():
        return None, 0
    frame = _table(path, ("user_id", "item_id"))
    stars = _parsed(frame, "rating", path, _number, np.float64)
    return recbole_files.indexed_ratings(
        list(frame["user_id"]),
        list(frame["item_id"]),
        np.ones(len(frame)) if stars is None else stars,
        item_ids,
        path,
    )


def _parsed(
    frame: pd.DataFrame, column: str, path: Path, parse: Callable[[str], Any], kind: Any
) -> NDArray[Any] | None:
    """A column as an array, or None where the table lacks it; raises InputError for a bad cell."""
    if column not in frame:
        return None
    values = []
    for number, text in enumerate(frame[column], start=1):
        try:
            values.append(parse(text))
        except (ValueError, OverflowError):
            raise InputError(f"{path} row {number} has {column} {text!r}; correct it") from None
    return np.array(values, dtype=kind)


def _topics(text: str) -> set[str]:
    return {name.strip() for name in text.split("|")} - {""}


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value


def _year(text: str) -> int:
    return int(float(text)) if text else 0


def _maturity(text: str) -> int:
    """A minimum age, raised to the next of 0, 13 and 18."""
    age = float(text or 0)
    if not 0 <= age <= 18:
        raise ValueError(text)
    return 0 if age == 0 else 13 if age <= 13 else 18


def _flag(text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ValueError(text)
    return text.lower() in TRUE
