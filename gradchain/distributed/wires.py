"""Wires: how the mean of replicas' arrays comes about.

A wire says how a replica sends an array, and how all replicas make one and the same array of what
arrives. It may lose something on the way. As long as the result is the mean of what each replica is
taken to have said, a replica can keep the rest for the next time; see ``exchange``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.call import Call
from gradchain.core.errors import quote
from gradchain.core.factory import REFUSALS, decorator
from gradchain.core.slots import Slot
from gradchain.distributed.shares import through_shares
from gradchain.precision.casts import DTYPES
from gradchain.precision.codec import Codec
from gradchain.precision.codecs import CODECS, codec_of

Kept: TypeAlias = dict[str, jax.Array]
"""The slots of one array."""


@dataclasses.dataclass(frozen=True)
class Way:
    """A wire at work, on one array.

    Attributes:
        send: of an array, its slots, and the mesh axis or ``None`` if there is one replica: the
            array that all agree on, the part of its own that they have taken into account, and the
            slots.
        slots: those of each array.
        is_linear: whether the result is the mean of those parts.
    """

    send: Callable[[jax.Array, Kept, str | None], tuple[jax.Array, jax.Array, Kept]]
    slots: dict[str, Slot] = dataclasses.field(default_factory=dict)
    is_linear: bool = True


class Wire(Call):
    """How replicas send an array, and agree on the mean."""

    tag = "@wire"
    __slots__ = ()

    def way(self) -> Way:
        """The functions that do it."""
        if "way" not in self._cache:
            made = self.factory.call(self.arguments)
            if not isinstance(made, Way):
                raise TypeError(f"{self.factory.name}: a wire is a Way, not {made!r}.")
            self._cache["way"] = made
        return self._cache["way"]


def refuse_no_wire(where: str, wire: Any) -> None:
    """Refuse what is neither a wire nor a codec.

    Raises:
        ValueError: naming the known codecs, if there is none of this name.
        TypeError: if it is no name.
    """
    if isinstance(wire, Wire | Codec):
        return
    names = (*CODECS, *DTYPES)
    if isinstance(wire, str) and wire in names:
        return
    refused = ValueError if isinstance(wire, str) else TypeError
    raise refused(
        f"{where} must be a wire, for example gc.distributed.top_k(), a codec of gc.precision, or"
        f" one of {quote(names)}, not {wire!r}."
    )


REFUSALS["Wire"] = refuse_no_wire


def wire(function: Callable[..., Way]) -> Callable[..., Wire]:
    """Make a factory of wires from a function.

    The function returns a ``Way``.

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> from jax import lax
        >>> @gc.distributed.wire
        ... def halves():
        ...     def send(x, s, axis):
        ...         x = x.astype(jnp.float16).astype(x.dtype)
        ...         return lax.pmean(x, axis) if axis else x, x, s
        ...     return gc.distributed.Way(send)
        >>> gc.distributed.exchange(halves())
        exchange(wire=halves(), axis='data', error_feedback=None)
    """
    return decorator(Wire)(function)


@wire
def mean() -> Way:
    """Send arrays as they are: an all-reduce.

    Example:
        >>> import gradchain as gc
        >>> gc.distributed.exchange(gc.distributed.mean())
        exchange(wire=mean(), axis='data', error_feedback=None)
    """

    def send(x: jax.Array, s: Kept, axis: str | None) -> tuple[jax.Array, jax.Array, Kept]:
        return mean_of(x, axis), x, s

    return Way(send)


def mean_of(x: jax.Array, axis: str | None) -> jax.Array:
    """The mean over replicas, if there are several."""
    return x if axis is None else lax.pmean(x, axis)


def left(
    asked: jax.Array,
    said: jax.Array,
    before: jax.Array,
) -> jax.Array:
    """The loss of a wire where it is finite.

    Elsewhere it is the one before: else a single NaN would come again in each step.
    """
    lost = asked - said
    return jnp.where(jnp.isfinite(lost), lost, before)


def way_of(wire: Any) -> Way:
    """The way of a wire, a codec, or its name.

    Raises:
        ValueError: naming the known codecs, if there is no such name.
    """
    if isinstance(wire, Wire):
        return wire.way()
    codec: Codec = codec_of(wire)

    def encode(x: jax.Array) -> Any:
        return codec.encode(x)

    def decode(parts: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
        return codec.decode(parts, like)

    return Way(through_shares(encode, decode))
