"""Tests of lift."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def lifted(name, lift, rule, **kwargs):
    """A transformation made of one rule, under a name of its own."""

    def factory():
        return lift(rule, **kwargs)

    factory.__name__ = factory.__qualname__ = name
    return gc.transform(factory)()


def test_a_rule_is_traced_once_for_each_shape_and_dtype():
    seen = []

    def rule(g, s):
        seen.append((g.shape, g.dtype))
        return s["m"] + g, {"m": g}

    tx = lifted("counting_in_lift", gc.elementwise, rule, m=gc.slots.like_param)
    params = {
        f"layer{i}": {
            "w": jnp.ones((3, 2)),
            "b": jnp.ones(2, jnp.bfloat16 if i % 2 else jnp.float32),
        }
        for i in range(80)
    }
    jax.make_jaxpr(tx.update)(params, tx.init(params))
    assert len(seen) == 3


def test_consecutive_members_run_as_one_function_of_a_leaf():
    params = {f"w{i}": jnp.ones((4, 4)) for i in range(100)}
    tx = gc.adamw(1e-3)
    state = tx.init(params)
    jaxpr = jax.make_jaxpr(lambda g, s, p: tx.update(g, s, p))(params, state, params)
    per_leaf = len(jaxpr.jaxpr.eqns) / len(params)
    assert (
        per_leaf < 16
    )  # Adam 12, decay 2, rate 1; the bias corrections are made once for all leaves


def test_scalars_are_computed_once_for_all_leaves():
    params = {f"w{i}": jnp.ones((4, 4)) for i in range(50)}
    tx = gc.scale_by_adam()
    jaxpr = jax.make_jaxpr(lambda g, s: tx.update(g, s))(params, tx.init(params))
    assert sum(eqn.primitive.name == "expm1" for eqn in jaxpr.jaxpr.eqns) == 2


def test_a_rule_computes_in_float32_and_slots_are_stored_in_it():
    def rule(g, s, p):
        assert g.dtype == p.dtype == s["m"].dtype == jnp.float32
        return g, {"m": s["m"] + g}

    tx = lifted("upcasting_in_lift", gc.elementwise, rule, m=gc.slots.like_param)
    params = jnp.ones(3, jnp.bfloat16)
    updates, state = tx.update(params, tx.init(params), params)
    assert updates.dtype == jnp.bfloat16
    assert state["upcasting_in_lift"]["m"].dtype == jnp.float32


def test_float64_parameters_compute_in_float64():
    with jax.enable_x64(True):
        params = jnp.ones(3, jnp.float64)
        tx = gc.adam(gc.linear_schedule(0.1, 0.0, 10))
        updates, state = tx.update(params, tx.init(params), params)
        assert updates.dtype == state["scale_by_adam"]["nu"].dtype == jnp.float64
        assert float(state["scale_by_adam"]["nu"][0]) == pytest.approx(0.001, rel=1e-14)


@pytest.mark.parametrize(
    ("slot", "shape"),
    [
        (gc.slots.like_param, (3, 4)),
        (gc.slots.drop(0), (4,)),
        (gc.slots.drop(-1), (3,)),
        (gc.slots.prepend(5), (5, 3, 4)),
        (gc.slots.scalar, ()),
        (gc.slots.per_replica, (1, 3, 4)),
    ],
)
def test_a_slot_has_the_shape_that_it_declares(slot, shape):
    tx = lifted("slotted_in_lift", gc.leafwise, lambda g, s: (g, s), m=slot)
    params = jnp.ones((3, 4))
    state = tx.init(params)
    assert state["slotted_in_lift"]["m"].shape == shape
    assert tx.update(params, state)[1]["slotted_in_lift"]["m"].shape == shape


def test_a_slot_may_start_as_a_number_or_as_the_parameter():
    params = jnp.array([1.0, 2.0], jnp.bfloat16)
    tx = lifted(
        "filled_in_lift",
        gc.elementwise,
        lambda g, s: (g, s),
        a=gc.slots.like_param(fill=0.5),
        z=gc.slots.like_param(copy=True),
    )
    state = tx.init(params)["filled_in_lift"]
    assert state["a"].tolist() == [0.5, 0.5] and state["z"].tolist() == [1.0, 2.0]
    assert state["z"].dtype == jnp.float32


def test_a_copied_slot_is_no_alias_of_its_parameter():
    params = jnp.array([1.0, 2.0])
    tx = lifted(
        "copied_in_lift", gc.elementwise, lambda g, s: (g, s), z=gc.slots.like_param(copy=True)
    )
    slot = tx.init(params)["copied_in_lift"]["z"]
    assert slot.unsafe_buffer_pointer() != params.unsafe_buffer_pointer()


def test_a_matrix_rule_sees_batches_of_equal_matrices():
    shapes = []

    def rule(g, s, p):
        shapes.append((g.shape, s["rows"].shape, p.shape))
        return g + s["rows"][..., None], {"rows": s["rows"] + 1.0}

    tx = lifted(
        "batched_in_lift", gc.matrixwise, rule, where=gc.ndim_at_least(2), rows=gc.slots.drop(-1)
    )
    params = {
        "a": jnp.ones((2, 3)),
        "stack": jnp.ones((4, 2, 3)),
        "b": jnp.ones(3),
        "other": jnp.ones((3, 3)),
    }
    state = tx.init(params)
    assert jax.tree.map(jnp.shape, state["batched_in_lift"]["rows"]) == {
        "a": (2,),
        "stack": (4, 2),
        "b": None,
        "other": (3,),
    }
    _, state = tx.update(params, state, params)
    updates, state = tx.update(params, state, params)
    assert set(shapes) == {((5, 2, 3), (5, 2), (5, 2, 3)), ((1, 3, 3), (1, 3), (1, 3, 3))}
    np.testing.assert_array_equal(updates["stack"], 2.0 * np.ones((4, 2, 3)))
    np.testing.assert_array_equal(updates["b"], np.ones(3))


def test_a_tree_rule_sees_holes_where_it_is_not_for_a_leaf():
    def rule(g, s):
        assert g["b"] is None
        return jax.tree.map(lambda x: 2 * x, g), {"n": s["n"] + 1.0}

    tx = lifted("selective_in_lift", gc.treewise, rule, where="w", n=gc.slots.scalar)
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    updates, state = tx.update(params, tx.init(params))
    assert updates["w"][0] == 2.0 and updates["b"][0] == 1.0
    assert float(state["selective_in_lift"]["n"]) == 1.0


def test_an_optional_parameter_may_be_missing():
    tx = lifted("lenient_in_lift", gc.elementwise, lambda g, p=None: g if p is None else g + p)
    assert tx.update(jnp.ones(1), {})[0][0] == 1.0
    assert tx.update(jnp.ones(1), {}, jnp.ones(1))[0][0] == 2.0


def test_b2_traced_in_bfloat16_code_stays_what_it_is():
    params = jnp.ones(2, jnp.bfloat16)

    @jax.jit
    def step(tx, state):
        return tx.update(params, state, params)

    tx = gc.adam(1e-3)
    _, state = step(tx, tx.init(params))
    assert float(state["scale_by_adam"]["nu"][0]) == pytest.approx(0.001, rel=1e-4)


def test_a_hole_in_the_gradients_keeps_the_state_of_its_leaf():
    params = {"encoder": {"w": jnp.ones(2)}, "head": jnp.ones(2)}
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1))
    state = tx.step(params, tx.init(params), params)[1]
    updates, after = tx.update({"encoder": None, "head": jnp.ones(2)}, state, params)
    assert updates["encoder"] is None
    np.testing.assert_array_equal(
        after["scale_by_adam"]["mu"]["encoder"]["w"], state["scale_by_adam"]["mu"]["encoder"]["w"]
    )
    np.testing.assert_array_equal(
        gc.apply_updates(params, updates)["encoder"]["w"], params["encoder"]["w"]
    )
    assert not np.array_equal(
        after["scale_by_adam"]["mu"]["head"], state["scale_by_adam"]["mu"]["head"]
    )


def test_a_rule_sees_the_slots_that_its_leaf_has():
    def rule(g, s):
        assert s.keys() == ({"rows"} if g.ndim == 2 else {"all"})
        return g, {k: v + 1 for k, v in s.items()}

    is_matrix = lambda shape: len(shape) == 2
    slots = {
        "rows": gc.slots.drop(-1)(exists=is_matrix),
        "all": gc.slots.like_param(exists=lambda shape: not is_matrix(shape)),
    }
    tx = lifted("some_slots_in_lift", gc.leafwise, rule, whole=True, **slots)
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3), "scale": jnp.ones(())}
    state = tx.init(params)
    for count in (1, 2):
        updates, state = tx.update(params, state)
        assert updates.keys() == params.keys()
        own = state["some_slots_in_lift"]
        assert own["rows"]["bias"] is None
        assert own["all"]["kernel"] is None
        np.testing.assert_array_equal(own["rows"]["kernel"], np.full(2, count))
        np.testing.assert_array_equal(own["all"]["bias"], np.full(3, count))
    with pytest.raises(
        ValueError, match="in slot 'rows' for 'bias', whose update has no such slot"
    ):
        tx.update(
            params, {"some_slots_in_lift": {**own, "rows": {**own["rows"], "bias": jnp.ones(2)}}}
        )


def test_slots_keep_their_names_whatever_their_order():
    """A state that went through jit comes back with its keys sorted."""

    def rule(g, s):
        return s["z"] - s["a"], {"z": s["z"] + 2, "a": s["a"] + 1}

    tx = lifted(
        "unsorted_in_lift",
        gc.elementwise,
        rule,
        z=gc.slots.like_param,
        a=gc.slots.like_param(fill=1.0),
    )
    state = tx.init(jnp.zeros(2))
    for expected in (-1.0, 0.0, 1.0):
        updates, state = jax.jit(tx.update)(jnp.zeros(2), state)
        np.testing.assert_array_equal(updates, expected)


def test_a_matrix_rule_is_given_further_trees_in_its_batches():
    def slopes(p, place, value_fn):
        assert place.tolist() == [0, 1, 2, 3]
        return {"slope": jax.grad(value_fn)(p), "twice": jax.tree.map(lambda x: 2 * x, p)}

    def rule(g, beside):
        return g + beside["slope"] - beside["twice"]

    tx = lifted(
        "beside_in_lift",
        gc.matrixwise,
        rule,
        where=gc.ndim_at_least(2),
        twins=True,
        beside=slopes,
    )
    seen = []

    def loss(p):
        seen.append({k: x is None for k, x in p.items()})
        return sum(jnp.sum(x**3) for x in p.values())

    draw = lambda i, *shape: jax.random.normal(jax.random.key(i), shape)
    params = {
        "a": draw(0, 2, 3),
        "bias": draw(1, 3),
        "stack": draw(2, 2, 3, 2),
        "c": draw(3, 2, 2),
    }
    assert tx.extras == {"value_fn", "specs"}
    updates, _ = tx.update(params, tx.init(params), params, value_fn=loss)
    for k in ("a", "stack", "c"):
        x = np.asarray(params[k])
        np.testing.assert_allclose(updates[k], x + 3 * x**2 - 2 * x, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], params["bias"])
    assert not any(seen[0].values())  # the loss sees all parameters
    with pytest.raises(TypeError, match="needs the extra argument 'value_fn'"):
        tx.update(params, tx.init(params), params)
    with pytest.raises(TypeError, match="needs params"):
        tx.update(params, tx.init(params), value_fn=loss)
