r"""Rounding of 16-bit parameters that loses no update.

A bfloat16 number has 8 bits: what is added to it and is less than 1/512 of it, it loses. Each of
these wrappers knows the parameters more exactly than they are, :math:`\hat\theta`. What is in it
sees :math:`\hat\theta`, and the parameters are its roundings:

.. math::
    u = \mathrm{update}(g, s, \hat\theta), \quad \hat\theta \leftarrow \hat\theta + u, \quad \theta
    \leftarrow \mathrm{round}(\hat\theta)

The update that comes out is :math:`\mathrm{round}(\hat\theta + u) - \theta`, in float32, so that
``tx.step``, ``optax.apply_updates`` and Flax need to know nothing of it. Parameters of 32 bits and
more are none of its business. It stands around the whole optimizer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.ranges import StaticInt
from gradchain.core.slots import Slot, like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair
from gradchain.precision.casts import stochastic_bfloat16
from gradchain.tree.paths import flatten, flatten_like
from gradchain.tree.random import shard_key

Kept: TypeAlias = dict[str, jax.Array]
"""The slots of one parameter."""


@dataclasses.dataclass(frozen=True)
class Exactly:
    """How parameters are known more exactly than they are.

    Attributes:
        known: of a parameter in float32, its slots and its dtype, what it exactly is.
        rounded: of what it exactly is, its dtype and a key, the parameter and its slots.
        slots: the slots of each parameter of few bits.
        seed: of the keys; ``None`` for none.
    """

    known: Callable[[jax.Array, Kept, Any], jax.Array]
    rounded: Callable[[jax.Array, Any, Any], tuple[jax.Array, Kept]]
    slots: dict[str, Slot]
    seed: int | None = None

    def around(self, inner: Any) -> Body:
        """The wrapper of an optimizer."""
        # One that takes ``count`` keeps a clock.
        by_chance = lambda g, s, p, dtypes, inner, count: self.step(
            g,
            s,
            p,
            dtypes,
            inner,
            count,
        )
        surely = lambda g, s, p, dtypes, inner: self.step(g, s, p, dtypes, inner)
        rule = surely if self.seed is None else by_chance
        slots = {k: v(narrow=True) for k, v in self.slots.items()}
        return around(rule, "element", inner=inner, **slots)

    def step(self, g, s, p, dtypes, inner, count=None):
        """The rule; see ``around``."""
        leaves, treedef = flatten(p)
        kinds = [None if x is None else x.dtype for x in flatten_like(treedef, dtypes[1])]
        columns = {k: flatten_like(treedef, s[k]) for k in self.slots}
        live = [i for i, kind in enumerate(kinds) if kind is not None and kind.itemsize <= 2]
        known = list(leaves)
        for i in live:
            own = {k: column[i] for k, column in columns.items()}
            # In float32, also where another leaf has more bits.
            known[i] = self.known(leaves[i].astype(jnp.float32), own, kinds[i]).astype(
                leaves[i].dtype
            )
        u, new = inner(
            g,
            s.get("inner", {}),
            treedef.unflatten(known),
        )
        updates = flatten_like(treedef, u)
        for i in (i for i in live if updates[i] is not None):
            exact = (known[i] + updates[i]).astype(jnp.float32)
            key = self.key(count, i, exact)
            x, made = self.rounded(exact, kinds[i], key)
            updates[i] = x.astype(leaves[i].dtype) - leaves[i]
            for k, column in columns.items():
                column[i] = made[k]
        own = {k: treedef.unflatten(column) for k, column in columns.items()}
        return treedef.unflatten(updates), own | {"inner": new}

    def key(self, count: jax.Array | None, leaf: int, x: jax.Array) -> jax.Array | None:
        """The key of a step and a leaf ``x``."""
        if self.seed is None or count is None:
            return None
        key = jax.random.fold_in(
            jax.random.key(self.seed),
            count,
        )
        return shard_key(jax.random.fold_in(key, leaf), x)


@transform(roles="final rounds")
def master_weights(inner: GradientTransformation | Pair) -> Body:
    r"""Keep a float32 copy of parameters of 16 bits.

    The copy is what is trained; the parameters are its roundings to nearest. A parameter that was
    set from outside, so that it is no rounding of the copy, counts as it is. The state has 4 bytes
    more for each such parameter.

    Args:
        inner: the whole optimizer.

    Source: Micikevicius et al., "Mixed Precision Training", 2017,
    https://arxiv.org/abs/1710.03740

    Example:
        >>> import gradchain as gc
        >>> params = jnp.ones(1, jnp.bfloat16)
        >>> tx = gc.master_weights(gc.sgd(1e-3))
        >>> state = tx.init(params)
        >>> for _ in range(10):
        ...     params, state = tx.step(jnp.ones(1, jnp.bfloat16), state, params)
        >>> print(params, state["master_weights"]["master"])
        [0.988281] [0.9900001]
    """

    def exact(p, s, dtype):
        master = s["master"]
        return jnp.where(
            _nearest(master, dtype) == p,
            master,
            p,
        )

    def rounded(x, dtype, key):
        return _nearest(x, dtype), {"master": x}

    slots = {"master": like_param(copy=True, dtype="float32")}
    return Exactly(exact, rounded, slots).around(inner)


@transform(roles="final rounds")
def split_weights(inner: GradientTransformation | Pair, bits: StaticInt = 16) -> Body:
    r"""Keep the low bits of float32 parameters beside bfloat16 ones.

    A bfloat16 number is the upper half of a float32 one. The lower half is in the state, so that
    both together are the exact float32 parameter at 2 bytes more for each. With 8 bits it is exact
    to 24 bits at 1 byte more. Parameters are rounded to nearest, halves away from zero.

    Args:
        inner: the whole optimizer.
        bits: how many low bits are kept, 16 or 8.

    Raises:
        ValueError: for other ``bits``; at the first step, for a parameter of 16 bits or fewer that
            is no bfloat16.

    Source: "FlashOptim: Optimizers for Memory Efficient Training", 2026,
    https://arxiv.org/abs/2602.23349

    Example:
        >>> import gradchain as gc
        >>> params = jnp.ones(1, jnp.bfloat16)
        >>> tx = gc.split_weights(gc.sgd(1e-3))
        >>> state = tx.init(params)
        >>> for _ in range(10):
        ...     params, state = tx.step(jnp.ones(1, jnp.bfloat16), state, params)
        >>> print(params, state["split_weights"]["low"].dtype)
        [0.988281] uint16
    """
    if bits not in (8, 16):
        raise ValueError(f"split_weights: bits must be 8 or 16, not {bits!r}.")
    half, rest = 1 << (bits - 1), 16 - bits

    def exact(p, s, dtype):
        _check_bfloat16("split_weights", dtype)
        low = s["low"].astype(jnp.uint32)
        high = (_bits(p) >> 16) - (low >= half).astype(jnp.uint32)
        whole = _number((high << 16) | (low << rest))
        # A parameter that was set from outside, to zero for example, has no lower half there.
        return jnp.where(jnp.isfinite(p) & ~jnp.isfinite(whole), p, whole)

    def rounded(x, dtype, key):
        own = _bits(x)
        if rest:  # to the bits that are kept
            own = (own + (1 << (rest - 1))) >> rest << rest
        low = jnp.where(
            jnp.isnan(x),
            0,
            (own & 0xFFFF) >> rest,
        )
        high = (own >> 16) + (low >= half).astype(jnp.uint32)
        return _number(high << 16), {"low": low.astype(f"uint{bits}")}

    slots = {"low": like_param(dtype=f"uint{bits}", fill=0)}
    return Exactly(exact, rounded, slots).around(inner)


@transform(roles="final rounds")
def kahan(inner: GradientTransformation | Pair) -> Body:
    r"""Keep what rounding took from parameters; add it next time.

    Kahan's compensated sum: the residue :math:`r = \hat\theta - \mathrm{round}(\hat\theta)` is kept
    in the parameter's own dtype, 2 bytes more for each, so that parameters have twice the bits. In
    float16, which has few small numbers, 2048 times of it is kept. A parameter that is set from
    outside counts as it is, where the residue is too large for it.

    Args:
        inner: the whole optimizer.

    Source: Zamirai et al., "Revisiting BFloat16 Training", 2020, https://arxiv.org/abs/2010.06192

    Example:
        >>> import gradchain as gc
        >>> params = jnp.ones(1, jnp.bfloat16)
        >>> tx = gc.kahan(gc.sgd(1e-3))
        >>> state = tx.init(params)
        >>> for _ in range(10):
        ...     params, state = tx.step(jnp.ones(1, jnp.bfloat16), state, params)
        >>> print(params, state["kahan"]["residue"])
        [0.988281] [0.00172424]
    """

    def rounded(x, dtype, key):
        nearest = _nearest(x, dtype)
        residue = jnp.where(
            jnp.isfinite(nearest),
            (x - nearest) * _unit(dtype),
            0.0,
        )
        return nearest, {"residue": residue}

    def known(p, s, dtype):
        residue = s["residue"] / _unit(dtype)
        is_its = jnp.abs(residue) <= float(jnp.finfo(dtype).eps) * jnp.abs(p)
        return p + jnp.where(is_its, residue, 0.0)

    return Exactly(
        known,
        rounded,
        {"residue": like_param(dtype="own")},
    ).around(inner)


@transform(roles="final rounds")
def stochastic_rounding(inner: GradientTransformation | Pair, seed: StaticInt = 0) -> Body:
    r"""Round bfloat16 parameters by chance, right on average.

    A small update moves a parameter by a whole step as often as it is a part of one:
    :math:`\mathrm{E}[\mathrm{round}(\theta)] = \theta`. The state has nothing more but a clock, and
    the chance is the same again for the same step and leaf.

    Args:
        inner: the whole optimizer.
        seed: of that chance.

    Raises:
        ValueError: at the first step, for a parameter of 16 bits or fewer that is no bfloat16.

    Source: Zamirai et al., "Revisiting BFloat16 Training", 2020, https://arxiv.org/abs/2010.06192

    Example:
        >>> import gradchain as gc
        >>> params = jnp.ones(10_000, jnp.bfloat16)
        >>> tx = gc.stochastic_rounding(gc.sgd(1e-3))
        >>> params, _ = tx.step(jnp.ones_like(params), tx.init(params), params)
        >>> print(f"{params.astype(jnp.float32).mean():.4f}")
        0.9990
    """

    def rounded(x, dtype, key):
        _check_bfloat16("stochastic_rounding", dtype)
        return stochastic_bfloat16(x, key).astype(x.dtype), {}

    return Exactly(lambda p, s, dtype: p, rounded, {}, seed).around(inner)


def _unit(dtype: Any) -> float:
    """How many times larger a residue is kept."""
    return 2048.0 if dtype == jnp.float16 else 1.0


def _nearest(x: jax.Array, dtype: Any) -> jax.Array:
    """The nearest number that a dtype has, in float32."""
    return x.astype(dtype).astype(x.dtype)


def _bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.uint32)


def _number(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _check_bfloat16(name: str, dtype: Any) -> None:
    if dtype != jnp.bfloat16:
        raise ValueError(
            f"{name}: a parameter is {dtype}, not bfloat16. master_weights and kahan take it; or"
            " choose leaves with groups."
        )
