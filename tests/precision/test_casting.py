"""Models that compute in few bits: casts by path, sums of gradients, and Flax's own fp8 layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.linen import fp8_ops

import gradchain as gc
from gradchain.precision import cast_leaves

POLICY = {"*norm*": "float32", "frozen": None}
PARAMS = {
    "dense": {"bias": jnp.zeros(8), "kernel": jnp.ones((4, 8)) / 3},
    "frozen": jnp.ones(2, jnp.float16),
    "hole": None,
    "norm_1": {"scale": jnp.ones(8)},
    "step": jnp.zeros((), jnp.int32),
}


def dtypes(tree):
    return jax.tree.map(lambda x: str(x.dtype), tree)


def test_leaves_are_cast_by_the_first_rule_that_fits():
    assert dtypes(cast_leaves(PARAMS, "bfloat16", POLICY)) == {
        "dense": {"bias": "bfloat16", "kernel": "bfloat16"},
        "frozen": "float16",
        "hole": None,
        "norm_1": {"scale": "float32"},
        "step": "int32",
    }
    first = cast_leaves(PARAMS, None, {"*/kernel": jnp.bfloat16, "dense/*": "float16"})
    assert dtypes(first)["dense"] == {"bias": "float16", "kernel": "bfloat16"}
    assert dtypes(first)["norm_1"] == {"scale": "float32"}


def test_other_leaves_are_left_alone():
    key, function = jax.random.key(0), len
    tree = (key, function, jnp.ones(2, jnp.complex64), jnp.array([True]), 1.5, np.ones(2))
    made = cast_leaves(tree, "bfloat16")
    assert made[:2] == (key, function) and made[4] == 1.5
    assert (made[2].dtype, made[3].dtype, made[5].dtype) == (jnp.complex64, bool, jnp.bfloat16)


def test_gradients_have_the_dtypes_of_parameters():
    params = {k: PARAMS[k] for k in ("dense", "norm_1")}
    seen = {}

    def loss_fn(params, x):
        cast, x = (
            cast_leaves(params, "bfloat16", {"*norm*": "float32"}),
            cast_leaves(x, "bfloat16"),
        )
        y = x @ cast["dense"]["kernel"] + cast["dense"]["bias"][None]
        seen.update(product=y.dtype)
        return jnp.mean((y.astype(jnp.float32) * cast["norm_1"]["scale"][None]) ** 2)

    grads = jax.jit(jax.grad(loss_fn))(params, jnp.ones((3, 4)))
    assert seen == {"product": jnp.bfloat16}
    assert dtypes(grads) == dtypes(params)
    assert jnp.all(grads["dense"]["kernel"] != 0)


def test_a_cast_of_a_leaf_that_has_the_dtype_costs_nothing():
    x = jnp.ones(3, jnp.bfloat16)
    assert cast_leaves({"a": x}, "bfloat16")["a"] is x


@pytest.mark.parametrize(
    ("dtype", "rules", "error", "message"),
    [
        ("int8", None, TypeError, "cast_leaves: 'int8' is no real floating dtype, such as"),
        ("bfloat16", {"*norm*": "complex64"}, TypeError, "'complex64' is no real floating dtype"),
        (
            "bfloat16",
            {"*batch_norm*": "float32"},
            ValueError,
            r"cast_leaves: '\*batch_norm\*' fits no path; the paths are 'dense/bias',",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(dtype, rules, error, message):
    with pytest.raises(error, match=message):
        cast_leaves(PARAMS, dtype, rules)


# ----------------------------------------------------------------------------------- accumulation

SMALL, TIMES = 2.0**-10, 63


def mean_gradient(tx):
    """What 64 micro-batches in bfloat16 make of a gradient of 1 and 63 that are small."""
    params = jnp.zeros(4096)
    grads = jnp.full((TIMES + 1, 4096), SMALL, jnp.bfloat16).at[0].set(1.0)
    step = lambda carry, g: (tx.step(g, carry[1], carry[0]), None)
    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), grads)
    return -params * (TIMES + 1)


def test_gradients_are_accumulated_in_bfloat16_by_chance_without_a_bias():
    inner = gc.accumulate(gc.sgd(1.0), TIMES + 1)
    true = 1.0 + TIMES * SMALL
    kept = dict(gradient_sum="bfloat16")
    exact = mean_gradient(inner)
    nearest = mean_gradient(gc.storage(inner, **kept))
    by_chance = mean_gradient(gc.storage(inner, **kept, stochastic=True))
    np.testing.assert_allclose(exact, true, rtol=1e-6)
    np.testing.assert_allclose(nearest, 1.0 + SMALL, rtol=1e-6)  # but the last, all were lost
    # Each sum goes up by a step of 2^-7 with a chance of an eighth: 0.33 steps of deviation.
    error = 0.331 * 2.0**-7 * np.sqrt(TIMES / 4096)
    assert abs(float(jnp.mean(by_chance)) - true) < 4 * error < 0.1 * TIMES * SMALL


def test_a_sum_in_bfloat16_takes_two_bytes():
    params = jnp.zeros(4096, jnp.bfloat16)
    tx = gc.storage(gc.accumulate(gc.sgd(1.0), 4), gradient_sum="bfloat16", stochastic=True)
    kept = tx.init(params)["storage"]["inner"]["accumulate"]["gradient_sum"]
    assert kept.nbytes == 2 * params.size


# -------------------------------------------------------------------------------- fp8 of Flax Linen


class Small(nn.Module):
    """Two layers whose products are in fp8."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(64, dot_general_cls=fp8_ops.Fp8DotGeneral)(x))
        return nn.Dense(16, dot_general_cls=fp8_ops.Fp8DotGeneral)(x)


def test_layers_in_fp8_are_trained():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        x = jax.random.normal(jax.random.key(0), (32, 16))
        model, scales = Small(), fp8_ops.OVERWRITE_WITH_GRADIENT
        variables = model.init(jax.random.key(1), x)
        tx = gc.adamw(1e-2)
        state, losses, start = tx.init(variables["params"]), [], variables[scales]

        @jax.jit
        def step(variables, state):
            loss_fn = lambda variables: jnp.mean((model.apply(variables, x) - x) ** 2)
            loss, grads = jax.value_and_grad(loss_fn)(variables)
            params, state = tx.step(grads["params"], state, variables["params"])
            return {"params": params, scales: grads[scales]}, state, loss

        for _ in range(40):
            variables, state, loss = step(variables, state)
            losses.append(float(loss))
        assert losses[-1] < 0.1 * losses[0]
        moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), variables[scales], start)
        assert all(jax.tree.leaves(moved))


def test_a_dtype_that_there_is_not_is_named():
    with pytest.raises(TypeError, match="cast_leaves: 'bfloat17' is no real floating dtype"):
        gc.precision.cast_leaves({"w": jnp.ones(2)}, "bfloat17")
