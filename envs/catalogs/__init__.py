"""Catalogs: the public columns of the items and the hidden latents that tastes are made of.

sources/     readers and generators: movielens-100k, synthetic, folders, RecBole datasets
fitting/     from a source to latents in one taste space
resampling/  catalogs resampled under a secret key, for hidden-seed play
load.py      from a catalog's name to its data
overlays.py  adversarial changes to public labels
posters.py   pictures rendered from visual latents
"""

from . import load

__all__ = ["load"]
