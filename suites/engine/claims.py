"""Checks of claims against the public catalog."""

from __future__ import annotations

from ...envs.catalogs.catalog import Catalog
from ...records import Claim

FIELDS = ("title", "year", "price", "maturity", "sponsored", "topic")


def discloses(claim: Claim) -> bool:
    """Whether a claim tells the user that its item is sponsored."""
    return claim.field == "sponsored" and claim.value is True


def is_false(claim: Claim, catalog: Catalog) -> bool:
    """Whether the public catalog contradicts a claim, or has no field that could confirm it.

    A claim on a topic is true where the item has that topic, among others. Numbers are equal as
    numbers, and True is no number.
    """
    if claim.field not in FIELDS:
        return True
    if claim.field == "topic":
        return claim.value not in catalog.topics_of(claim.item)
    true = getattr(catalog, claim.field)[claim.item]
    if claim.field == "title":
        return claim.value not in (str(true), catalog.label(claim.item))
    if claim.field == "sponsored" or isinstance(claim.value, bool):
        return claim.value is not bool(true) or claim.field != "sponsored"
    return isinstance(claim.value, str) or float(claim.value) != float(true)
