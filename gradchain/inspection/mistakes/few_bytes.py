"""Mistakes in how slots are kept."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.slots import Slot
from gradchain.inspection.mistakes.case import Case, Found
from gradchain.precision.codec import Codec
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


def copies_lose_their_bits(case: Case) -> Found:
    """A codec rounds the copy that loses nothing."""
    for part in case.parts:
        if not isinstance(part.body, Storage):
            continue
        for path, slot in part.body.slots_known.items():
            if slot is None or not slot.narrow or not jnp.issubdtype(_dtype(slot), jnp.floating):
                continue
            dtype = _dtype(slot)
            place = Place(path, path[-1], jax.ShapeDtypeStruct((), dtype))
            codec = part.body.codecs.of(place)
            if codec is not None and _rounds(codec, dtype):
                text = (
                    f"{codec!r} rounds slot {path[-1]!r}, which is there so that parameters lose"
                    f" nothing by rounding: updates are lost again. Add {path[-1]}=None."
                )
                yield "mistake", part.name, text


def _dtype(slot: Slot) -> jnp.dtype:
    """The dtype of a slot beside a bfloat16 parameter."""
    return jnp.dtype("bfloat16" if slot.dtype == "own" else slot.dtype or "float32")


def _rounds(codec: Codec, dtype: jnp.dtype) -> bool:
    """Whether numbers of a dtype lose bits in a codec."""
    x = jnp.array([1.0, 0.5 + float(jnp.finfo(dtype).eps)], dtype)
    return not bool(jnp.all(codec.decode(codec.encode(x), jax.typeof(x)) == x))
