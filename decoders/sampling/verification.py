"""Verification rules: which draft token to accept so that the output keeps the target distribution.

Pure functions on probability tables of any leading shape: p is the target's distribution at a
position, q the distribution that the draft tokens were drawn from, both (…, vocabulary).
Residuals are float64. A rule returns two things that involve no random number: the probability of
accepting each candidate given that all before it were rejected, and the distribution to resample
from where none is accepted. So all nodes of a tree are tested at once, and `first_accepted`
compares with the uniforms.

What keeps the rules lossless: whether a candidate is tested may depend only on what was known
before it was drawn, and siblings are tested in the order in which they were drawn. Sorting them,
leaving one out for its small q or skipping a repeated one changes the output distribution; so
does choosing a sibling by what was drawn below it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .distribution import argmax

NONE = -1
"""Index of the accepted candidate where all were rejected."""


def recursive_rejection(
    p: Tensor, q: Tensor, candidates: Tensor, *, replacement: bool = False
) -> tuple[Tensor, Tensor]:
    """Test siblings in drawing order (Yang et al. 2024, arXiv 2401.06706, algorithm 2).

    Candidate x is accepted with probability min(1, p(x)/q(x)). A rejection leaves
    p ← norm(max(p − q, 0)) to the siblings after it, and for candidates drawn without
    replacement q(x) ← 0, renormalized. Where that leaves nothing of q, nothing more was drawn,
    and padding is rejected without effect.

    candidates   (…, k) token ids in the order in which they were drawn from q
    replacement  whether the candidates were drawn independently

    Returns acceptance probabilities (…, k) and the distribution after all were rejected
    (…, vocabulary).
    """
    p, q = p.double(), q.double()
    accept_prob: list[Tensor] = []
    before = None
    for x in candidates.unbind(-1):
        if before is not None and not replacement:
            q = without(q, before)
        accept_prob.append(acceptance(p, q, x))
        p, before = residual(p, q), x
    return torch.stack(accept_prob, dim=-1), p


def point_mass(p: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Test candidates that were not drawn, such as copies of the prompt or a top-k, one by one.

    Candidate x is accepted with probability p(x), else p(x) ← 0, renormalized: recursive
    rejection with all of q on x. Each x is accepted with p(x) in whatever order they are tested,
    so the set and its order may depend on anything but this position's own uniforms.

    Returns as `recursive_rejection` does.
    """
    p = p.double()
    accept_prob = []
    for x in candidates.unbind(-1):
        accept_prob.append(p.gather(-1, x[..., None])[..., 0].clamp(max=1.0))
        p = without(p, x)
    return torch.stack(accept_prob, dim=-1), p


def coupled(token: Tensor, candidates: Tensor) -> Tensor:
    """Index of the first candidate that equals the target's own token, or `NONE`.

    Lossless whatever the candidates are and however they were found, because the token does not
    depend on them: it is argmax p when greedy; a draw that is independent of them
    (multi-candidate naive sampling, arXiv 2401.06706); or argmax(log p + Gumbel) with the noise
    of the position, which candidates drawn with the same noise from a distribution near p are
    likely to contain (Gumbel-max list sampling, arXiv 2506.05632).

    token       (…,)
    candidates  (…, k); −1 stands for no candidate
    """
    return _first(candidates == token[..., None])


def first_accepted(accept_prob: Tensor, uniforms: Tensor) -> Tensor:
    """Index of the first candidate with uniform < probability, or `NONE`; both (…, k)."""
    return _first(uniforms < accept_prob)


def acceptance(p: Tensor, q: Tensor, x: Tensor) -> Tensor:
    """min(1, p(x)/q(x)), (…,); 0 where q cannot draw x."""
    target, draft = (probs.gather(-1, x[..., None]).double() for probs in (p, q))
    return torch.where(draft > 0, (target / draft).clamp_(max=1.0), 0.0)[..., 0]


def residual(p: Tensor, q: Tensor) -> Tensor:
    """The residual distribution norm(max(p − q, 0)).

    Where nothing is left, p ≤ q everywhere, so p = q and no draw is ever rejected; p is returned.
    """
    p = p.double()
    left = (p - q).clamp_(min=0.0)
    mass = left.sum(-1, keepdim=True)
    return torch.where(mass > 0, left / mass, p)


def without(probs: Tensor, x: Tensor) -> Tensor:
    """A distribution given that x is not drawn; all zero where x was its whole support."""
    rest = probs.scatter(-1, x[..., None], 0.0)
    mass = rest.sum(-1, keepdim=True)
    return torch.where(mass > 0, rest / mass, rest)


def _first(accepted: Tensor) -> Tensor:
    return torch.where(accepted.any(-1), argmax(accepted.byte()), NONE)
