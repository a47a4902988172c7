"""The laws of storage policies: they apply to every transformation."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding

import gradchain as gc
from gradchain.core.lift import Lift
from gradchain.core.walk import walk
from gradchain.tree.paths import named_leaves
from tests.laws import laws, sharded
from tests.laws.row import Row
from tests.laws.samples import assert_close, at, compiled_run, gradients, params
from tests.laws.user_transforms import turned


def kept(row: Row, *policy: Any, **options: Any) -> Row:
    """The row with its slots kept by a policy."""
    return dataclasses.replace(row, make=lambda: gc.storage(row.make(), *policy, **options))


def is_the_same_in_exact_storage(row: Row) -> None:
    """Rules and wrappers see what was kept, and none what it is kept as."""
    p, grads, tx = params(jnp.float32), gradients(jnp.float32), kept(row, turned()).make()
    updates, p_end, state = compiled_run(tx, p, grads, **row.run)
    expected = compiled_run(row.make(), p, grads, **row.run)
    # Another program rounds otherwise.
    tolerance = row.tolerance * laws.ROUNDING
    assert_close((updates, p_end), expected[:2], tolerance)
    inner = gc.precision.opened_state(tx, state, p).get("storage", {}).get("inner", {})
    bare = gc.precision.opened_state(row.make(), expected[2], p)
    assert_close(inner, bare, row.tolerance * laws.TRACED_DECAY)


def stays_finite_in_eight_bits(row: Row) -> None:
    """And all that is no single number is in codes, unless a policy of its own says otherwise."""
    p, grads, tx = params(jnp.float32), gradients(jnp.float32), in_eight_bits(row).make()
    updates, p_end, state = compiled_run(tx, p, grads, **row.run)
    for x in jax.tree.leaves((updates, p_end, state)):
        assert np.all(np.isfinite(np.asarray(x, np.float64)))
    inner = state.get("storage", {}).get("inner", {})
    if not any(part.body.stores for part in walk(row.make())):
        left = tuple(numbers_kept_once(row.make()))
        for path, x in named_leaves(inner):
            if x is None or not jnp.issubdtype(x.dtype, jnp.floating):
                continue
            is_kept = path.endswith("/scales")
            assert is_kept or x.size <= 1 or path.startswith(left), path


def numbers_kept_once(tx: gc.GradientTransformation) -> Iterator[str]:
    """The paths of slots that are no parameter's."""
    for part in walk(tx):
        slots = part.body.slots if isinstance(part.body, Lift) else {}
        yield from (f"{part.name}/{k}" for k, s in slots.items() if s.relation == "scalar")


def in_eight_bits(row: Row) -> Row:
    """The row with all slots in eight bits, however small."""
    return kept(row, "int8", least_size=0)


def falls_as_far_in_eight_bits(row: Row) -> None:
    """An optimizer comes down a quadratic function nearly as far as in float32."""
    tx = row.make()
    facts = tx.facts
    if row.extra or facts.reduces_examples or not (facts.makes_steps and facts.keeps_state):
        pytest.skip("it makes no step by gradients alone, or keeps nothing")
    high, plain, low = (
        fallen(way) for way in (None, tx, kept(row, "int8_log", least_size=0).make())
    )
    assert plain >= high or low <= 1.5 * plain + 0.05 * high


SLOPES = {"w": jnp.linspace(0.5, 2.0, 12).reshape(3, 4), "b": jnp.linspace(1.0, 2.0, 3)}


def fallen(tx: gc.GradientTransformation | None) -> float:
    """The height of a quadratic function after 60 steps; ``None``: before."""
    start = {"w": jax.random.normal(jax.random.key(0), (3, 4)), "b": jnp.array([1.0, -1.0, 0.5])}
    height = lambda p: sum(jnp.sum(SLOPES[k] * p[k] ** 2) for k in SLOPES)
    if tx is None:
        return float(height(start))

    def step(carry, _):
        p, state = carry
        u, state = tx.update(jax.grad(height)(p), state, p)
        return (gc.apply_updates(p, u), state), None

    run = lambda p: height(jax.lax.scan(step, (p, tx.init(p)), length=60)[0][0])
    return float(jax.jit(run)(start))


def goes_on_from_a_checkpoint_in_eight_bits(row: Row, ways: list[Callable[[Any], Any]]) -> None:
    laws.goes_on_from_a_checkpoint(in_eight_bits(row), ways)


def is_split_as_its_parameters(row: Row) -> None:
    """Over 8 devices, under jit: each holds its part of the codes, as of the parameters."""
    tx = in_eight_bits(row).make()
    mesh, split = sharded.split_over_devices()
    put = lambda tree: jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), tree, split
    )
    p = put(params(jnp.float32, sharded.SPLIT_SHAPES))
    g = put(at(0, gradients(jnp.float32, shapes=sharded.SPLIT_SHAPES)))
    _, state = jax.jit(partial(tx.update, **row.extra))(g, tx.init(p), p)
    part = lambda x: x.sharding.shard_shape(x.shape)
    own = {path: x for path, x in named_leaves(p) if x is not None and x.ndim}
    for path, x in named_leaves(state):
        slot = path.removesuffix("/codes")
        name = next((name for name in own if slot.endswith("/" + name)), None)
        if slot != path and name is not None and x.shape == own[name].shape:
            assert part(x) == part(own[name]), path


LAWS = [
    is_the_same_in_exact_storage,
    stays_finite_in_eight_bits,
    is_split_as_its_parameters,
    falls_as_far_in_eight_bits,
]
LAWS_WITH_FILES = [goes_on_from_a_checkpoint_in_eight_bits]
