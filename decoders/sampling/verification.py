"""Deciding which guess stands, so that what is written has the target's own law.

Pure functions on probability tables of any leading shape: p is the target's law at a place in the
text, q the law that the draft drew its candidates from, both (…, vocabulary). Residuals are
float64. A rule says two things that no coin decides: the chance of each candidate if all before
it were rejected, and the law of the token to write instead where none stands. So the places of a
whole tree are judged in one go, and `standing` flips the coins.

What keeps them exact: whether a candidate is tested may depend only on what was known before it
was drawn, and siblings are tested in the order in which they were drawn. Sorting them, leaving
one out for its small q or skipping a repeated one changes the law of the output; so does picking
a sibling by what was drawn below it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .distribution import best

NONE = -1
"""Stands where the place of a candidate would stand: all were rejected."""


def recursive_rejection(
    p: Tensor, q: Tensor, candidates: Tensor, *, replacement: bool = False
) -> tuple[Tensor, Tensor]:
    """Test siblings in drawing order (Yang et al. 2024, arXiv 2401.06706, algorithm 2).

    Candidate x is accepted with probability min(1, p(x)/q(x)). A rejection leaves
    p ← norm(max(p − q, 0)) to the siblings after it, and for candidates drawn without
    replacement q(x) ← 0, renormalized. Where that leaves nothing of q, nothing more was drawn,
    and what stands in its place is rejected and changes nothing.

    candidates   (…, k) token ids in the order in which they were drawn from q
    replacement  whether the candidates were drawn independently

    Returns chances (…, k) and the law after all were rejected (…, vocabulary).
    """
    p, q = p.double(), q.double()
    chances: list[Tensor] = []
    before = None
    for x in candidates.unbind(-1):
        if before is not None and not replacement:
            q = without(q, before)
        chances.append(acceptance(p, q, x))
        p, before = residual(p, q), x
    return torch.stack(chances, dim=-1), p


def point_mass(p: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Test candidates that nobody drew, such as copies of the prompt or a top-k, one by one.

    Candidate x is accepted with probability p(x), else p(x) ← 0, renormalized: recursive
    rejection with all of q on x. Each x stands with p(x) in whatever order they are tested, so
    the set and its order may depend on anything but this place's own coins.

    Returns as `recursive_rejection` does.
    """
    p = p.double()
    chances = []
    for x in candidates.unbind(-1):
        chances.append(p.gather(-1, x[..., None])[..., 0].clamp(max=1.0))
        p = without(p, x)
    return torch.stack(chances, dim=-1), p


def coupled(token: Tensor, candidates: Tensor) -> Tensor:
    """The first candidate that is the target's own token, or `NONE` where that is written.

    Exact whatever the candidates are and however they came about, for they have no say in the
    token: argmax p when greedy; a draw that is independent of them (multi-candidate naive
    sampling, arXiv 2401.06706); or argmax(log p + Gumbel) with the noise of the place, which
    candidates made with the same noise from a law near p are likely to hold (Gumbel-max list
    sampling, arXiv 2506.05632).

    token       (…,)
    candidates  (…, k); −1 stands for no candidate
    """
    return _first(candidates == token[..., None])


def standing(chances: Tensor, uniforms: Tensor) -> Tensor:
    """The first candidate whose coin came up, or `NONE`; both (…, k), coins uniform in 0 … 1."""
    return _first(uniforms < chances)


def acceptance(p: Tensor, q: Tensor, x: Tensor) -> Tensor:
    """min(1, p(x)/q(x)), (…,); 0 where q cannot draw x."""
    target, draft = (law.gather(-1, x[..., None]).double() for law in (p, q))
    return torch.where(draft > 0, (target / draft).clamp_(max=1.0), 0.0)[..., 0]


def residual(p: Tensor, q: Tensor) -> Tensor:
    """What of p the draws from q did not cover: norm(max(p − q, 0)).

    Where nothing is left, p ≤ q everywhere, so p = q and no draw is ever rejected; p stands.
    """
    p = p.double()
    left = (p - q).clamp_(min=0.0)
    mass = left.sum(-1, keepdim=True)
    return torch.where(mass > 0, left / mass, p)


def without(law: Tensor, x: Tensor) -> Tensor:
    """A law given that x is not drawn; all zero where x was its whole support."""
    rest = law.scatter(-1, x[..., None], 0.0)
    mass = rest.sum(-1, keepdim=True)
    return torch.where(mass > 0, rest / mass, rest)


def _first(stands: Tensor) -> Tensor:
    return torch.where(stands.any(-1), best(stands.byte()), NONE)
