"""Mistakes in how slots are kept."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.inspection.mistakes.case import Case, Found
from gradchain.precision.places import Place
from gradchain.precision.storage import Storage


def small_divisors_become_zero(case: Case) -> Found:
    """A codec makes zeros in what is divided by."""
    like = jax.ShapeDtypeStruct((), jnp.float32)
    for part in case.parts:
        if not isinstance(part.body, Storage):
            continue
        for path, slot in part.body.slots_known.items():
            if slot is None or not (slot.real and slot.relation == "like_param"):
                continue
            codec = part.body.codecs.of(Place(path, path[-1], like))
            if codec is not None and codec.drops_small:
                text = (
                    f"{codec!r} makes the small elements of slot {path[-1]!r} zero, which updates"
                    f' are divided by: steps may have any size. Take {path[-1]}="uint8_log".'
                )
                yield "mistake", part.name, text
