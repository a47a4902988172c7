"""The laws that every transformation obeys; each is a function of a row of the table that asserts.

Those of several devices are in ``sharded``, those of storage policies in ``in_storage``.
"""

import json
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests import garbage
from tests.laws import samples, user_transforms
from tests.laws.row import Row
from tests.laws.samples import (
    assert_close,
    assert_identical,
    assert_same_type,
    at,
    compiled_run,
    gradients,
    params,
)
from tests.laws.twins import Scheduled
from tests.schedules import twins as schedules

#: What a printed transformation may mention.
NAMES = (
    vars(gc)
    | vars(gc.schedules)
    | vars(gc.constraints)
    | vars(gc.penalties)
    | vars(gc.refresh)
    | vars(gc.distributed)
    | vars(user_transforms)
)

# What float32 may lose between two ways to compile the same few operations: 8 roundings of 2^-24
# and a few to spare.
ROUNDING = 1e-6

# As an argument of a compiled function, as it is outside jit, b2 = 0.999 is in float32, and 1 - b2
# wrong by 1.3e-5 of itself; so is the second moment that it weighs. Debiased by the same b2, the
# update does not show it.
TRACED_DECAY = 2e-5


def made_of(row: Row, g: Any) -> Any:
    """Updates of the dtypes in which a row makes them: those that say how parameters are rounded
    are of 32 bits.
    """
    if "rounds" not in row.make().roles:
        return g
    wide = lambda x: jnp.float32 if x.dtype.itemsize == 2 else x.dtype
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, wide(x)), g)


def keeps_structure_shapes_and_dtypes(row: Row) -> None:
    mixed = iter(
        [jnp.bfloat16, jnp.float32, jnp.float16, jnp.float32, jnp.complex64, jnp.float32]
    )
    dtypes = samples.of_shapes(lambda path, shape: next(mixed))
    cast = lambda tree: jax.tree.map(lambda dtype, x: x.astype(dtype), dtypes, tree)
    p, g, tx = cast(params(jnp.float32)), cast(at(0, gradients(jnp.float32))), row.make()
    state = tx.init(p)
    updates, new_state = tx.update(g, state, p, **row.extra)
    assert_same_type(updates, made_of(row, g))
    assert_same_type(new_state, state)
    assert_same_type(gc.apply_updates(p, updates), p)
    for path, x in jax.tree_util.tree_leaves_with_path(state):
        assert isinstance(x, jax.Array), path
        assert x.dtype.itemsize >= 4, path


def is_a_plain_dict_of_names(row: Row) -> None:
    def check(entry: Any, depth: int) -> None:
        assert type(entry) is dict
        assert all(isinstance(name, str) for name in entry)
        for name, value in entry.items():
            assert depth > 0 or name in row.make().members
            if isinstance(value, dict):
                check(value, depth + 1)

    check(row.make().init(params(jnp.float32)), 0)


def runs_alike_eagerly_compiled_and_in_a_scan(row: Row) -> None:
    p0, grads, tx = params(jnp.float32), gradients(jnp.float32), row.make()
    expected = compiled_run(tx, p0, grads, **row.run)
    update = jax.jit(lambda g, state, p: tx.update(g, state, p, **row.extra))
    for way in (tx.update, lambda *args, **_: update(*args)):
        p, state, updates = p0, tx.init(p0), []
        for t in range(samples.STEPS):
            u, state = way(at(t, grads), state, p, **row.extra)
            p = gc.apply_updates(p, jax.tree.map(lambda x: samples.STEP * x, u))
            updates.append(u)
        stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *updates)
        assert_close((stacked, p), expected[:2], row.tolerance * ROUNDING)
        assert_close(state, expected[2], row.tolerance * TRACED_DECAY)
    g, state = at(0, grads), tx.init(p0)
    updates, new_state = update(g, state, p0)
    p, state_after_step = tx.step(g, state, p0, **row.extra)
    assert_close(p, gc.apply_updates(p0, updates), row.tolerance * ROUNDING)
    assert_close(state_after_step, new_state, row.tolerance * TRACED_DECAY)
    with jax.disable_jit():
        assert_close(
            tx.update(g, state, p0, **row.extra), (updates, new_state), row.tolerance * ROUNDING
        )


def works_on_shapes_alone(row: Row) -> None:
    p, tx = params(jnp.bfloat16), row.make()
    shapes = jax.eval_shape(lambda: p)
    state = tx.init(p)
    types = jax.eval_shape(lambda: state)
    assert tx.init(shapes) == jax.eval_shape(tx.init, shapes) == types
    assert jax.eval_shape(partial(tx.update, **row.extra), shapes, types, shapes) == (
        made_of(row, shapes),
        types,
    )


def keeps_holes(row: Row) -> None:
    """A leaf that is None, or whose gradient is, might as well not be there."""
    p, g, tx = params(jnp.float32), at(0, gradients(jnp.float32)), row.make()
    without = lambda tree: {k: v for k, v in tree.items() if k not in ("hole", "scale")}
    hollow = lambda tree: {**tree, "scale": None}
    small_p, small_g = without(p), without(g)
    expected, expected_state = tx.update(small_g, tx.init(small_p), small_p, **row.extra)

    updates, state = tx.update(hollow(g), tx.init(hollow(p)), hollow(p), **row.extra)
    assert updates["hole"] is None
    assert updates["scale"] is None
    assert_close(without(updates), expected, row.tolerance * ROUNDING)
    assert_close(state, expected_state, row.tolerance * ROUNDING)

    state = tx.init(p)
    updates, new_state = tx.update(hollow(g), state, p, **row.extra)
    assert updates["scale"] is None
    assert_close(without(updates), expected, row.tolerance * ROUNDING)
    assert_same_type(new_state, state)
    is_its = lambda path: "scale" in [getattr(key, "key", None) for key in path]
    of_hole = lambda s: [x for path, x in jax.tree_util.tree_leaves_with_path(s) if is_its(path)]
    assert_identical(of_hole(new_state), of_hole(state))


def takes_trees_of_every_kind(row: Row) -> None:
    """Empty trees, a bare array, scalars, leaves of size zero, tuples and lists."""
    tx = row.make()
    scalar, none = jnp.float32(0.5), jnp.zeros((0,))
    for tree in (
        {},
        (),
        None,
        {"hole": None},
        scalar,
        {"none": none},
        [(scalar, none), jnp.ones((3, 2))],
    ):
        state = tx.init(tree)
        updates, new_state = tx.update(tree, state, tree, **row.extra)
        assert_same_type(updates, tree)
        assert_same_type(new_state, state)
        chex.assert_tree_all_finite((updates, new_state))


# "Tiny" squares to a number near the smallest normal one of the dtype that the rule computes in,
# "huge" to one near the largest: beyond these the squares that most optimizers keep would not be
# numbers. For float16, which computes in float32, they are near the ends of float16 itself, a
# factor short so that a sum of a few steps is in range.
SIZES = {
    jnp.float16: (6e-8, 1e4),
    jnp.bfloat16: (1e-18, 1e18),
    jnp.float32: (1e-18, 1e18),
    jnp.float64: (1e-150, 1e150),
    jnp.complex64: (1e-18, 1e18),
}


def has_the_numbers_of_its_twin(row: Row, dtype: Any) -> None:
    """Finite, and within the rounding of the dtype, for gradients of every size."""
    with jax.enable_x64(dtype == jnp.float64):
        wide = dtype in (jnp.float64,)
        # The result is rounded once to the dtype; a rule makes some roundings before, in float32 or
        # float64.
        info, compute = jnp.finfo(dtype), jnp.finfo(jnp.float64 if wide else jnp.float32)
        # The twin's own 1 - 0.999^t has lost up to 1e-16 / 1e-3 itself.
        rounding = (
            row.float64
            if wide
            else (info.eps / 2 if info.bits < 32 else 0.0) + 8 * row.tolerance * compute.eps
        )
        least = float(info.smallest_subnormal) + float(compute.tiny)
        p, tx = params(dtype), row.make()
        for value in (0.0, 1.0, *SIZES[dtype]):
            grads = samples.constant(value, dtype)
            updates, _, state = compiled_run(tx, p, grads, 0.0, **row.run)
            twin = row.twin()
            # Which decides what it takes for the rounding of a loss.
            if hasattr(twin, "precision"):
                twin.precision = float(compute.eps)
            expected, _ = samples.run_twin(twin, p, grads, 0.0, **row.run)
            for x in jax.tree.leaves((updates, state)):
                assert np.all(np.isfinite(x)), f"gradient {value}"
            for name, x in samples.named(updates).items():
                assert np.all(
                    np.abs(x - expected[name]) <= rounding * np.abs(expected[name]) + least
                ), f"gradient {value}, {name}: {x} for {expected[name]}"


#: Of one gradient among those of order 1. The square of the first is in range.
SPIKES = (1e17, 1e20, 1e30)


def with_spike(size: float) -> Any:
    """Gradients without zeros, those of the second step times a number."""

    def one(g: Any) -> jax.Array:
        factors = np.array([1.0, size, 1.0, 1.0]).reshape(-1, *[1] * (g.ndim - 1))
        return jnp.asarray((g + np.where(g < 0, -0.5, 0.5)) * factors, jnp.float32)

    return jax.tree.map(one, jax.tree.map(np.asarray, gradients(jnp.float32)))


def survives_a_spike(row: Row) -> None:
    """One gradient whose square is out of range leaves nothing behind that is not finite.

    A rule that answers a spike of 1e17 with small updates answers a larger one with small ones too.
    """
    p, tx, largest = params(jnp.float32), row.make(), {}
    for size in SPIKES:
        updates, _, state = compiled_run(tx, p, with_spike(size), 0.0, **row.run)
        for name, x in (samples.named(updates) | samples.named(state)).items():
            assert np.all(np.isfinite(x)), f"{name} after a gradient of {size}"
        largest[size] = max(np.max(np.abs(x)) for x in jax.tree.leaves(updates) if x.size)
    if largest[1e17] < 100:
        assert largest[1e30] <= 2 * largest[1e17]


def follows_its_twin(row: Row, dtype: Any, tolerance: float) -> None:
    with jax.enable_x64(dtype == jnp.float64):
        mix = lambda make, *a: {
            "real": make(dtype, *a),
            "complex": make(
                jnp.complex128 if dtype == jnp.float64 else jnp.complex64, *a, {"kernel": (2, 2)}
            ),
        }
        p, grads = mix(params), mix(gradients, 50)
        updates, p_end, _ = compiled_run(row.make(), p, grads, **row.run)
        expected, p_expected = samples.run_twin(row.twin(), p, grads, **row.run)
        tolerance = max(tolerance, row.float64)
        assert_close(updates, expected, row.tolerance * tolerance)
        assert_close(p_end, p_expected, row.tolerance * tolerance)


def is_equal_to_its_like(row: Row) -> None:
    a, b = row.make(), row.make()
    assert a == b
    assert a is not b
    assert hash(a) == hash(b)
    assert a != gc.scale(-123.0)
    if row.name != "chain-empty":
        assert a.named("other") != a
    if "prints_as_its_recipe" not in row.reasons:
        assert pickle.loads(pickle.dumps(a)) == a

    p, g, traces = params(jnp.float32), at(0, gradients(jnp.float32)), []
    state = a.init(p)

    def update(tx: Any, *args: Any) -> Any:
        traces.append(tx)
        return tx.update(*args, **row.extra)

    static, dynamic = jax.jit(update, static_argnums=0), jax.jit(update)
    for tx in (a, b, row.make()):
        static(tx, g, state, p)
    assert len(traces) == 1
    traces.clear()
    for factor in (1.0, 1.0, 0.9, 0.8):
        dynamic(jax.tree.map(lambda x, factor=factor: x * factor, row.make()), g, state, p)
    assert len(traces) == 1


def is_stable_from_step_to_step(row: Row) -> None:
    """A compiled loop that gives its buffers away traces once and leaks nothing."""
    p, g, tx, traces = params(jnp.float32), at(0, gradients(jnp.float32)), row.make(), []

    def step(state: Any, p: Any) -> Any:
        traces.append(tx)
        return tx.step(g, state, p, **row.extra)

    state, step = tx.init(p), jax.jit(step, donate_argnums=(0, 1))
    for _ in range(3):
        p, state = step(state, p)
    assert len(traces) == 1
    garbage.set_aside()  # else JAX looks for leaks among all objects of all tests
    with jax.checking_leaks():
        jax.eval_shape(partial(samples.run, tx, **row.run), p, gradients(jnp.float32))


def prints_as_its_recipe(row: Row) -> None:
    tx = row.make()
    again = eval(repr(tx), NAMES)
    assert again == tx
    assert repr(again) == repr(tx)
    assert repr(tx).startswith(row.name.split("-")[0] + "(")
    labelled = tx.named("it")
    assert eval(repr(labelled), NAMES) == labelled


def survives_json(row: Row) -> None:
    for tx in (row.make(), row.make().named("it"), gc.chain(row.make(), gc.clip(float("inf")))):
        config = json.loads(json.dumps(gc.to_config(tx), allow_nan=False))
        assert gc.from_config(config) == tx


def takes_traced_numbers(row: Row) -> None:
    p, grads, tx = params(jnp.float32), gradients(jnp.float32), row.make()
    expected = compiled_run(tx, p, grads, **row.run)
    assert jax.tree.leaves(tx)
    *updates_and_params, state = samples.run_with_argument(tx, p, grads, **row.run)
    assert_close(updates_and_params, list(expected[:2]), row.tolerance * ROUNDING)
    assert_close(state, expected[2], row.tolerance * TRACED_DECAY)
    narrow = lambda x: (
        jnp.float16(x) if x > 1e-4 else jnp.bfloat16(x)
    )  # each for what the other cannot hold
    as_narrow_arrays = jax.tree.map(narrow, tx)
    as_rounded_numbers = jax.tree.map(lambda x: float(narrow(x)), tx)
    assert_close(
        samples.run_with_argument(as_narrow_arrays, p, grads, **row.run),
        samples.run_with_argument(as_rounded_numbers, p, grads, **row.run),
        row.tolerance * ROUNDING,
    )


def can_be_vmapped(row: Row) -> None:
    p, grads, tx = params(jnp.float32), gradients(jnp.float32), row.make()
    sweep = [jax.tree.map(lambda x, factor=factor: factor * x, tx) for factor in (1.0, 0.9, 0.5)]
    stacked = jax.tree.map(lambda *xs: jnp.asarray(xs), *sweep)
    swept = jax.jit(jax.vmap(partial(samples.run, **row.run), in_axes=(0, None, None)))(
        stacked, p, grads
    )
    for i, member in enumerate(sweep):
        member = jax.tree.map(jnp.float32, member)  # as in the sweep: arrays are held in ranges
        assert_close(
            at(i, swept),
            samples.run_with_argument(member, p, grads, **row.run),
            row.tolerance * ROUNDING,
        )


#: 0 where a gradient is zero at every step.
DEAD = {
    "bias": np.array([1.0, 0.0, 1.0]),
    "dead": np.zeros(2),
    "kernel": np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]),
}


def can_be_differentiated(row: Row) -> None:
    """The gradient with respect to its numbers, through all steps, is what differences say.

    Some elements have gradients that are exactly zero at every step, as behind a dead unit, and so
    has one whole leaf: neither spoils the slopes of others, nor those of gradients and parameters.
    Nor does a step without any gradient.
    """
    with jax.enable_x64(True):
        shapes = {"bias": (3,), "dead": (2,), "kernel": (3, 2)}
        p, grads, tx = params(jnp.float64, shapes), gradients(jnp.float64, 2, shapes), row.make()
        grads = {k: (g + 0.3) * DEAD[k][None] for k, g in grads.items()}

        @jax.jit
        def loss(tx: Any, p: Any, grads: Any) -> jax.Array:
            return sum(
                jnp.sum(x**2) for x in jax.tree.leaves(samples.run(tx, p, grads, **row.run)[1])
            )

        all_slopes = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
        slopes = all_slopes(tx, p, grads)[1][0]
        pairs = zip(jax.tree.leaves(slopes), jax.tree.leaves(tx), strict=True)
        along = sum(slope * x for slope, x in pairs)
        moved = (jax.tree.map(lambda x, h=h: x * (1 + h), tx) for h in (1e-6, -1e-6))
        up, down = (loss(tx, p, grads) for tx in moved)
        np.testing.assert_allclose(along, (up - down) / 2e-6, rtol=1e-5, atol=1e-8)

        for live in ((0, 1), (1, 0), (0, 0)):
            some = {k: np.einsum("t,t...->t...", live, g) for k, g in grads.items()}
            found = all_slopes(tx, p, some)[1]
            assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(found)), live


def _numbers(tx: Any) -> dict[str, Any]:
    """The arguments of a call that may be schedules, with a number for each: where that is zero,
    one that is felt.
    """
    found = {
        k: v for k, v in tx.arguments.items() if tx.factory.kinds[k].is_hyper and v is not None
    }
    return {k: 0.2 if callable(v) else v or 0.03 for k, v in found.items()}


def takes_schedules(row: Row) -> None:
    tx = row.make()
    numbers = _numbers(tx)
    assert numbers
    rates = {name: 0.95 - 0.05 * i for i, name in enumerate(numbers)}
    fading = {k: gc.exponential_decay(v, 3, rates[k]) for k, v in numbers.items()}
    fading_twin = {
        k: partial(
            schedules.exponential_decay, init_value=v, transition_steps=3, decay_rate=rates[k]
        )
        for k, v in numbers.items()
    }
    with jax.enable_x64(
        True
    ):  # a decay near 1 that changes is ill-conditioned: 1 - 0.999 has but three digits less
        p, grads = params(jnp.float64), gradients(jnp.float64)
        updates, _, _ = compiled_run(tx.replace(**fading), p, grads, **row.run)
        expected, _ = samples.run_twin(Scheduled(row.twin(), **fading_twin), p, grads, **row.run)
        assert_close(updates, expected, row.tolerance * row.float64)

    p, grads = params(jnp.float32), gradients(jnp.float32)
    for name, schedule in fading.items():  # each alone, and as a function that remembers nothing
        for form in (schedule, lambda step, schedule=schedule: schedule(step)):
            scheduled = tx.replace(**{name: form})
            state = jax.eval_shape(scheduled.init, p)
            g = at(0, grads)
            assert jax.eval_shape(partial(scheduled.update, **row.extra), g, state, p) == (
                jax.eval_shape(lambda g=g: g),
                state,
            )


def goes_on_from_a_checkpoint(row: Row, ways: list[Callable[[Any], Any]]) -> None:
    """Bit for bit, from a state that was saved and restored without a template."""
    tx = gc.chain(gc.clip_by_global_norm(2.0), row.make(), gc.scale_by_learning_rate(0.1))
    shapes = {"dense": {"bias": (3,), "kernel": (3, 2)}, "scale": (), "stack": {"0": (2, 3, 2)}}
    p, grads = params(jnp.float32, shapes), gradients(jnp.float32, shapes=shapes)
    step = jax.jit(partial(tx.step, **row.extra))
    middle = tx.init(p)
    for t in range(2):
        p, middle = step(at(t, grads), middle, p)

    def go_on(p: Any, state: Any) -> tuple:
        for t in range(2, samples.STEPS):
            p, state = step(at(t, grads), state, p)
        return p, state

    for save_and_restore in ways:
        assert_identical(go_on(p, save_and_restore(middle)), go_on(p, middle))


LAWS = [
    keeps_structure_shapes_and_dtypes,
    is_a_plain_dict_of_names,
    runs_alike_eagerly_compiled_and_in_a_scan,
    works_on_shapes_alone,
    keeps_holes,
    takes_trees_of_every_kind,
    is_equal_to_its_like,
    is_stable_from_step_to_step,
    prints_as_its_recipe,
    survives_json,
    takes_traced_numbers,
    can_be_vmapped,
    can_be_differentiated,
    takes_schedules,
]
