"""Which waiting rows share a micro-batch, and how large it should be."""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.ledger.ledger import Row


def choose(rows: Sequence[Row], limit: int) -> list[Row]:
    """The next micro-batch out of waiting rows in running order: the first row, and later ones that can share with it.

    A row whose worker died is a suspect and runs alone, so that no other row fails with it. A deterministic row runs
    alone too: its pixels must not depend on its neighbours.
    """
    if not rows:
        return []
    first = rows[0]
    if first.deaths or first.request.deterministic:
        return [first]
    key = first.request.batch_key
    return [r for r in rows if not r.deaths and r.request.batch_key == key][:limit]


def batch_size(tokens: int, device: str) -> int:
    """How many images of ``tokens`` latent patches a forward pass should have: enough to fill the device, no more.

    On a CPU 1,024 tokens keep two cores' matrix units busy; a GPU wants some 8,000 (measured elsewhere: an L4 is
    filled by 2 to 4 images of 1,024 tokens, an H100 by 8 to 16). Out of memory is handled when it occurs.
    """
    budget = 1024 if device.startswith("cpu") else 8192
    return max(1, min(32, budget // max(1, tokens)))
