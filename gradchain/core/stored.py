"""Slots as they are kept, in fewer bytes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import core, lax

from gradchain.core.types import Shape, Tree
from gradchain.numerics.branches import varying_as
from gradchain.numerics.reductions import axes_in_type
from gradchain.tree.random import shard_key

#: The structure of a slot that is kept as it is. JAX compares it with those of others.
AN_ARRAY = jax.tree.structure(0)


class CodecLike(Protocol):
    """All that a stored slot asks of its codec."""

    def encode(self, x: jax.Array, key: jax.Array | None = None) -> Any:
        """The arrays that are kept of ``x``."""
        ...

    def decode(self, parts: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
        """The array that is kept in ``parts``."""
        ...


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["parts", "key"],
    meta_fields=["codec", "shape", "dtype", "space"],
)
@dataclasses.dataclass(frozen=True)
class Stored:
    """One leaf of a slot as its codec keeps it.

    It stands in the place of the array while a chain runs, and in no state that a user sees. Lifts
    ask for its ``value``, and keep what their rule makes of it by ``of``. Wrappers choose between
    two states without a look inside.

    Attributes:
        codec: how it is kept.
        shape: that of the array.
        dtype: that of the array.
        parts: the arrays that are kept.
        space: the memory in which they are, another than that of computations; or ``None``.
        key: of the noise of stochastic rounding; ``None`` rounds to nearest.
    """

    codec: CodecLike
    shape: Shape
    dtype: Any
    parts: Any
    key: jax.Array | None = None
    space: Any = None

    @property
    def ndim(self) -> int:
        """How many dimensions the array has."""
        return len(self.shape)

    @property
    def value(self) -> jax.Array:
        """The array."""
        parts = self.parts
        if self.space is not None:
            parts = jax.device_put(parts, jax.memory.Space.Device)
        return self.codec.decode(
            parts,
            jax.ShapeDtypeStruct(self.shape, self.dtype),
        )

    def of(self, x: jax.Array) -> Stored:
        """Another array, kept in the same way."""
        key = None if self.key is None else shard_key(self.key, x)
        parts = self.codec.encode(x, key)
        if self.space is not None:
            parts = jax.device_put(parts, self.space)
        return dataclasses.replace(self, parts=parts)


def is_stored(x: Any) -> bool:
    """Whether ``x`` is a slot as it is kept."""
    return isinstance(x, Stored)


def values_of(state: Tree) -> Tree:
    """A state with the arrays that are kept."""
    return jax.tree.map(
        lambda x: x.value if is_stored(x) else x,
        state,
        is_leaf=is_stored,
    )


def stored_like(old: Tree, new: Tree) -> Tree:
    """A state of arrays, kept as an old one is."""
    keep = lambda a, b: a.of(b) if is_stored(a) and not is_stored(b) else b
    return jax.tree.map(keep, old, new, is_leaf=is_stored)


def one_by_one(
    make: Callable[..., list[jax.Array]], kinds: list[Any], rows: list[Any], adds: bool
) -> list[list[jax.Array]]:
    """Make the results of rows, one after another.

    Slots that are kept in few bytes are wide while a rule works on them. The compiler of the CPU
    does that for all leaves at once, which takes what was saved. Loops of one turn stop it, each of
    which asks the last for the number of its turns.

    Args:
        make: a function of a kind and a row; it returns the new update, or parameter, and slots.
        kinds: what is known of each row, and whether it has a parameter.
        rows: the gradient, perhaps the parameter, and the arrays of slots.
        adds: whether new parameters are made.
    """
    call = jax.jit(
        functools.partial(_in_turn, make, adds),
        static_argnums=0,
        inline=True,
    )
    turns = lax.optimization_barrier(jnp.ones((), jnp.int32))  # else loops are written out
    out = []
    for kind, row in zip(kinds, rows, strict=True):
        turns, *made = call(kind, turns, *row)
        out.append(made)
    return out


def _in_turn(
    make: Callable[..., list[jax.Array]], adds: bool, kind: Any, turns: jax.Array, *row: jax.Array
) -> list[jax.Array]:
    """The number of turns, and the result of one row."""
    traced = jax.make_jaxpr(functools.partial(make, kind))(*row)
    made = functools.partial(core.eval_jaxpr, traced.jaxpr)
    numbers = traced.consts
    plainly = lambda turns, row, numbers: [turns, *made(numbers, *row)]
    if any(map(axes_in_type, row)):  # a loop would have to know what its turn makes varying
        turns, u, *slots = plainly(turns, row, numbers)
        return [turns, u, *map(varying_as, slots, row[1 + kind.has_param :])]
    in_loop = functools.partial(_one_turn, made, kind.has_param, adds)
    run = jax.custom_jvp(
        lambda *given: lax.platform_dependent(*given, cpu=in_loop, default=plainly)
    )
    # Backwards through a loop there is no way, and the plain rule has the same slopes.
    run.defjvp(lambda given, tangents: jax.jvp(plainly, given, tangents))
    return run(turns, row, numbers)


def _one_turn(
    rule: Callable[..., list[jax.Array]],
    has_param: bool,
    adds: bool,
    turns: jax.Array,
    row: tuple[jax.Array, ...],
    numbers: list[jax.Array],
) -> list[jax.Array]:
    """The result of a row, by a loop."""
    first = 1 + has_param

    def turn(carry):
        i, *made = carry
        g = row[0] + jnp.minimum(i, 0).astype(row[0].dtype)  # else it is worked on before
        params = made[:1] if adds else row[1:first]
        return [
            i + 1,
            *rule(
                numbers,
                g,
                *params,
                *made[1:],
            ),
        ]

    made = jax.eval_shape(rule, numbers, *row)[0]
    start = row[1] if adds else jnp.zeros_like(row[0], made.dtype)
    carry = [jnp.zeros((), jnp.int32), start, *row[first:]]
    return lax.while_loop(
        lambda carry: carry[0] < turns,
        turn,
        carry,
    )
