"""RecBole's atomic files (Zhao et al. 2021): NAME.item, NAME.inter and, optionally, NAME.user.

Tab-separated, with ``field:type`` headings; read without importing recbole.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np

from ....errors import InputError
from ..fitting.fit import Source, fit
from ..fitting.latent_space import Floats
from ..fitting.ratings import Ratings
from ..latents import CatalogData

Row = dict[str, str]

TITLE_FIELDS = ("title", "name")
TOPIC_FIELDS = ("class", "genre", "genres", "category", "categories", "topics", "tags")
NO_TOPIC = {"", "unknown"}


def build(name: str, folder: Path) -> CatalogData:
    """The catalog of a RecBole dataset folder; raises InputError for what cannot be used."""
    return fit(read_source(name, folder))


def is_recbole_folder(folder: Path) -> bool:
    """Whether a folder holds a RecBole dataset."""
    return any(folder.glob("*.item"))


def read_source(name: str, folder: Path) -> Source:
    """The items, interactions and users of a folder with one ``NAME.item`` in it."""
    files = sorted(folder.glob("*.item"))
    if len(files) != 1:
        raise InputError(f"{folder} needs exactly one NAME.item file, not {len(files)}")
    items, stem = read_rows(files[0]), files[0].with_suffix("")
    item_ids = tuple(_column(items, "item_id", files[0]))
    check_items(item_ids, files[0])
    interactions = _sibling(stem, ".inter")
    users_file = stem.parent / f"{stem.name}.user"
    users = read_rows(users_file) if users_file.is_file() else []
    who = _column(users, "user_id", users_file) if users else None
    inter = read_rows(interactions)
    stars = _numbers(inter, "rating", interactions)
    ratings, num_users = indexed_ratings(
        _column(inter, "user_id", interactions),
        _column(inter, "item_id", interactions),
        np.ones(len(inter)) if stars is None else stars,
        item_ids,
        interactions,
        who,
    )
    fields = list(items[0])
    title = next((f for f in fields if f.endswith(TITLE_FIELDS)), "item_id")
    topics = next((f for f in fields if f in TOPIC_FIELDS), None)
    year = next((f for f in fields if f.endswith("year")), None)
    return Source(
        name=name,
        item_id=item_ids,
        title=[_without_inversion(row[title]) for row in items],
        topics=[topic_names(row[topics]) for row in items] if topics else None,
        year=np.array([parse_int(row[year]) for row in items]) if year else None,
        price=_numbers(items, "price", files[0]),
        ratings=ratings,
        num_users=num_users,
        ages=np.array([parse_int(row["age"], 30) for row in users]) if _has(users, "age") else None,
    )


def read_rows(path: Path) -> list[Row]:
    """An atomic file as dictionaries, column types stripped from the headings."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as an atomic file: {error}") from error
    names = [column.partition(":")[0] for column in header]
    wrong = next((k for k, row in enumerate(rows, start=2) if len(row) != len(names)), None)
    if wrong is not None:
        raise InputError(f"{path} line {wrong} has {len(rows[wrong - 2])} fields, not {len(names)}")
    return [dict(zip(names, row, strict=True)) for row in rows]


def check_items(item_ids: tuple[str, ...], path: Path) -> None:
    """Raises InputError for an item that occurs twice, and for fewer than two items."""
    if len(item_ids) < 2:
        raise InputError(f"{path} has {len(item_ids)} items; a catalog needs at least 2")
    twice = next((name for name, times in Counter(item_ids).items() if times > 1), None)
    if twice is not None:
        raise InputError(f"{path} has item_id {twice!r} twice; remove one of them")


def indexed_ratings(
    users: list[str],
    items: list[str],
    stars: Floats,
    item_ids: tuple[str, ...],
    path: Path,
    known_users: list[str] | None = None,
) -> tuple[Ratings, int]:
    """Ratings with row numbers for ids, and the number of users.

    known_users  the users in order; None for their order of appearance

    Raises InputError for an unknown item or user, and where there is no interaction.
    """
    item_of = {name: k for k, name in enumerate(item_ids)}
    unknown_item = next((name for name in items if name not in item_of), None)
    if unknown_item is not None:
        raise InputError(
            f"{path} names item {unknown_item!r}, which is not among the items; remove it"
        )
    if not items:
        raise InputError(f"{path} holds no interactions; add some or remove the file")
    names = known_users if known_users is not None else list(dict.fromkeys(users))
    user_of = {name: k for k, name in enumerate(names)}
    unknown_user = next((name for name in users if name not in user_of), None)
    if unknown_user is not None:
        raise InputError(
            f"{path} names user {unknown_user!r}, who is not among the users; remove it"
        )
    return (
        Ratings(
            np.array([user_of[name] for name in users]),
            np.array([item_of[name] for name in items]),
            stars,
        ),
        len(names),
    )


def topic_names(text: str) -> set[str]:
    """Topics as RecBole writes sequences: separated by ", " if there is one, else by spaces."""
    names = text.split(", ") if ", " in text else text.split()
    return {name.strip() for name in names} - NO_TOPIC


def parse_int(text: str, default: int = 0) -> int:
    """A whole number of a text field, such as 1995 or 1995.0; `default` where it has none."""
    digits = re.match(r"\s*(\d+)", text)
    return int(digits.group(1)) if digits else default


def _sibling(stem: Path, ending: str) -> Path:
    path = stem.parent / f"{stem.name}{ending}"
    if not path.is_file():
        raise InputError(f"{path} is missing; a RecBole folder needs it beside {stem.name}.item")
    return path


def _column(rows: list[Row], name: str, path: Path) -> list[str]:
    if rows and name not in rows[0]:
        raise InputError(f"{path} has no column {name!r}; add it")
    return [row[name] for row in rows]


def _numbers(rows: list[Row], name: str, path: Path) -> Floats | None:
    """A column of numbers, None where there is none; an empty field is 0."""
    if not _has(rows, name):
        return None
    try:
        values = np.array([float(row[name] or 0) for row in rows])
    except ValueError as error:
        raise InputError(f"{path} has a {name} that is not a number: {error}") from error
    if not np.isfinite(values).all():
        raise InputError(f"{path} has a {name} that is not finite; correct it")
    return values


def _has(rows: list[Row], name: str) -> bool:
    return bool(rows) and name in rows[0]


def _without_inversion(raw: str) -> str:
    """``Usual Suspects, The`` as ``The Usual Suspects``."""
    return re.sub(r"^(.*), (The|A|An)( \(.*)?$", r"\2 \1\3", raw)
