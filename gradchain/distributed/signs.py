"""Wires of signs: one bit for each element."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.distributed.shares import (
    in_shares,
    of_shares,
    through_shares,
    to_all,
    to_owners,
)
from gradchain.distributed.wires import Kept, Way, wire


@wire
def sign() -> Way:
    r"""Send signs, eight in a byte, and their mean magnitude.

    .. math::
        C(x) = \frac{\|x\|_1}{d} \operatorname{sign}(x)

    Each of as many shares of an array as there are replicas has a magnitude of its own. Without
    error feedback small elements move as far as large ones; zeros count as above zero. Each replica
    sends 1/32 of the bytes of a float32 all-reduce.

    Source: Karimireddy, Rebjock, Stich & Jaggi, "Error Feedback Fixes SignSGD and other Gradient
    Compression Schemes", 2019, https://arxiv.org/abs/1901.09847; for the two codings: Tang et al.,
    "1-bit Adam", 2021, https://arxiv.org/abs/2102.02888

    Example:
        >>> import gradchain as gc
        >>> tx = gc.distributed.exchange(gc.distributed.sign(), error_feedback=1.0)
        >>> updates, state = tx.update(jnp.array([3.0, -1.0]), tx.init(jnp.zeros(2)))
        >>> print(updates, state["exchange"]["residual"])
        [ 2. -2.] [[1. 1.]]
    """

    def encode(x: jax.Array) -> dict[str, jax.Array]:
        return {"bits": jnp.packbits(x >= 0), "size": jnp.mean(jnp.abs(x))}

    def decode(parts: dict[str, jax.Array], like: jax.ShapeDtypeStruct) -> jax.Array:
        return parts["size"] * signs_of(parts["bits"], like)

    return Way(through_shares(encode, decode))


@wire
def vote() -> Way:
    r"""Send signs, eight in a byte, and take the majority.

    .. math::
        u = \operatorname{sign}\left(\sum_i \operatorname{sign}(g_i)\right)

    All that comes out is 1 or -1, and a few replicas with wrong gradients are outvoted. In a tie
    the replica that counts this part of the array has the casting vote; zeros count as above zero.
    A replica whose part is not finite has no vote on it; if half of them or more have none, this
    part comes out as NaN, for a guard to see. The result is no mean: error feedback is refused.
    Bytes are those of ``sign``.

    Source: Bernstein, Wang, Azizzadenesheli & Anandkumar, "signSGD: Compressed Optimisation for
    Non-Convex Problems", 2018, https://arxiv.org/abs/1802.04434

    Example:
        >>> import gradchain as gc
        >>> tx = gc.distributed.exchange(gc.distributed.vote())
        >>> print(tx.update(jnp.array([3.0, -1.0]), {})[0])
        [ 1. -1.]
    """

    def send(
        x: jax.Array,
        s: Kept,
        axis: str | None,
    ) -> tuple[jax.Array, jax.Array, Kept]:
        replicas = 1 if axis is None else lax.axis_size(axis)
        shares = in_shares(x, replicas)
        like = jax.ShapeDtypeStruct(shares.shape[1:], shares.dtype)
        votes = jax.vmap(lambda ballot: votes_of(ballot, 0.0, like))
        own = jax.vmap(lambda share: ballot_of(share, jnp.isfinite(share).all()))(shares)
        cast = to_owners(own, axis)
        count = jnp.sum(votes(cast), 0)
        mine = votes(own)[0 if axis is None else lax.axis_index(axis)]
        voters = jnp.sum(cast[:, -1].astype(jnp.int32))
        verdict = ballot_of(jnp.where(count == 0, mine, count), 2 * voters > replicas)
        read = jax.vmap(lambda ballot: votes_of(ballot, jnp.nan, like))
        return of_shares(read(to_all(verdict, axis)), x), x, s

    return Way(send, is_linear=False)


def ballot_of(x: jax.Array, counts: jax.Array) -> jax.Array:
    """The signs of a vector in bits.

    The last byte is 1 if they count.
    """
    return jnp.append(jnp.packbits(x >= 0), counts.astype(jnp.uint8))


def votes_of(ballot: jax.Array, void: float, like: Any) -> jax.Array:
    """The signs on a ballot; ``void`` if not counted."""
    return jnp.where(ballot[-1] > 0, signs_of(ballot[:-1], like), void)


def signs_of(bits: jax.Array, like: Any) -> jax.Array:
    """A vector of 1 and -1."""
    ones = jnp.unpackbits(bits, count=like.shape[0]).astype(like.dtype)
    return 2 * ones - 1
