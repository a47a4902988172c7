"""The dialect of optax: calls as the world writes them give the same numbers as optax's own."""

import importlib
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
import gradchain.as_optax as spoken
from tests.support.dialect import GRADS, MASK, PARAMS, assert_close, evaluate, steps

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")

#: Calls of transformations. ``optax`` is the one or the other.
TRANSFORMATIONS = [
    "optax.adam(1e-1)",
    "optax.adam(1e-1, 0.8, 0.99, 1e-5, 1e-6)",
    "optax.adam(learning_rate=1e-1, b1=0.8, b2=0.99, eps=1e-5, eps_root=1e-6)",
    "optax.adam(optax.linear_schedule(1e-1, 0.0, 3), eps=1e-5)",
    "optax.adam(lambda count: 0.1 / (count + 1))",
    "optax.adam(1e-1, nesterov=True)",
    "optax.nadam(1e-1, nesterov=False)",
    "optax.nadamw(1e-1, 0.8, 0.99, weight_decay=0.1, mask=MASK)",
    "optax.adam(jnp.array(1e-1), mu_dtype=jnp.float32)",
    "optax.adam(1e-1, mu_dtype=jnp.bfloat16)",
    "optax.adamw(1e-1)",
    "optax.adamw(learning_rate=1e-1, weight_decay=0.1, mask=MASK)",
    "optax.adamw(1e-1, 0.8, 0.99, 1e-5, 0.0, None, 0.1, is_matrix)",
    "optax.adamw(1e-1, b2=0.95, mu_dtype='bfloat16', weight_decay=0.1, nesterov=True)",
    "optax.sgd(1e-1)",
    "optax.sgd(learning_rate=1e-1, momentum=0.9)",
    "optax.sgd(1e-1, 0.9, True)",
    "optax.sgd(1e-1, momentum=0.9, nesterov=True, accumulator_dtype=jnp.bfloat16)",
    "optax.rmsprop(1e-1)",
    "optax.rmsprop(1e-1, decay=0.99, eps=1e-5, centered=True, momentum=0.9, nesterov=True)",
    "optax.adafactor(1e-1)",
    (
        "optax.adafactor(learning_rate=1e-1, momentum=0.9, min_dim_size_to_factor=2, "
        "weight_decay_rate=0.1)"
    ),
    "optax.radam(1e-1)",
    "optax.radam(learning_rate=1e-1, b1=0.8, eps_root=1e-6, threshold=4.0)",
    "optax.adabelief(1e-1, eps=1e-8)",
    "optax.adagrad(1e-1, initial_accumulator_value=0.2)",
    "optax.lion(1e-1, b1=0.8, weight_decay=0.1, mask=is_matrix)",
    "optax.lamb(1e-1, weight_decay=0.1, mask=MASK)",
    "optax.lars(1e-1, 0.1, is_matrix, trust_ratio_mask=MASK)",
    "optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-1, eps=1e-5))",
    "optax.chain(optax.clip_by_global_norm(max_norm=0.5), optax.sgd(1e-1), optax.identity())",
    "optax.chain(optax.scale_by_adam(), optax.scale(-1e-1))",
    (
        "optax.chain(optax.scale_by_adam(b1=0.8, b2=0.99, eps=1e-6, mu_dtype=jnp.bfloat16), "
        "optax.scale(step_size=-1e-1))"
    ),
    (
        "optax.chain(optax.scale_by_adam(), "
        "optax.scale_by_schedule(optax.cosine_decay_schedule(1, 10)), optax.scale(-1))"
    ),
    (
        "optax.chain(optax.scale_by_rms(), optax.scale_by_schedule(step_size_fn=lambda step: -0.1 "
        "/ (step + 1)))"
    ),
    "optax.chain(optax.trace(0.9), optax.scale_by_learning_rate(1e-1))",
    (
        "optax.chain(optax.trace(decay=0.9, nesterov=True), optax.scale_by_learning_rate(1e-1, "
        "flip_sign=False))"
    ),
    "optax.chain(optax.add_decayed_weights(0.1), optax.sgd(1e-1))",
    "optax.chain(optax.add_decayed_weights(weight_decay=0.1, mask=MASK), optax.sgd(1e-1))",
    "optax.chain(optax.add_decayed_weights(0.1, is_matrix), optax.sgd(1e-1))",
    "optax.clip(0.5)",
    "optax.clip(max_delta=0.5)",
    "optax.identity()",
    "optax.set_to_zero()",
    "optax.masked(optax.adam(1e-1), MASK)",
    "optax.masked(inner=optax.sgd(1e-1), mask=is_matrix)",
    "optax.multi_transform({'a': optax.adam(1e-1), 'b': optax.set_to_zero()}, LABELS)",
    (
        "optax.multi_transform({'a': optax.sgd(1e-1), 'b': optax.adam(1e-1)}, param_labels=lambda "
        "params: LABELS)"
    ),
    "optax.partition({0: optax.sgd(1e-1), 1: optax.adam(1e-1)}, {'dense': 1})",
    "optax.inject_hyperparams(optax.adam)(learning_rate=1e-1)",
    (
        "optax.inject_hyperparams(optax.adamw)(optax.linear_schedule(0.1, 0.0, 5), "
        "weight_decay=0.1, mask=MASK)"
    ),
    (
        "optax.chain(optax.clip_by_global_norm(1.0), optax.inject_hyperparams(optax.sgd)(1e-1, "
        "momentum=0.9))"
    ),
    "optax.MultiSteps(optax.adam(1e-1), every_k_schedule=2)",
    "optax.MultiSteps(optax.sgd(1e-1), 2, use_grad_mean=False).gradient_transformation()",
    (
        "optax.MultiSteps(optax.sgd(1e-1), lambda step: step + 1, "
        "should_skip_update_fn=optax.skip_not_finite)"
    ),
    "optax.apply_if_finite(optax.adam(1e-1), max_consecutive_errors=2)",
    "optax.apply_every(2)",
    "optax.flatten(optax.adam(1e-1))",
    "optax.named_chain(('clip', optax.clip(0.5)), ('sgd', optax.sgd(1e-1)))",
    "optax.ema(0.9)",
    "optax.ema(0.9, debias=False, accumulator_dtype=jnp.float32)",
    "optax.stateless(lambda updates, params: jax.tree.map(lambda g, p: g + p, updates, params))",
    "optax.stateless_with_tree_map(lambda g, p: g * p)",
    "optax.conditionally_transform(optax.sgd(1e-1), lambda step: step % 2 == 0)",
    "optax.conditionally_mask(optax.sgd(1e-1), lambda step: step % 2 == 0)",
    "optax.selective_transform(optax.sgd(1e-1), freeze_mask=MASK)",
    "optax.chain(optax.sgd(1e-1), optax.freeze(MASK))",
    "optax.chain(optax.sgd(1e-1), optax.keep_params_nonnegative())",
    "optax.contrib.schedule_free_sgd(1e-1, b1=0.8)",
    "optax.contrib.split_real_and_imaginary(optax.adam(1e-1))",
    (
        "optax.GradientTransformation(lambda p: optax.EmptyState(), lambda g, s, p=None: "
        "(optax.tree.scale(2.0, g), s))"
    ),
]

#: Calls of functions: they give numbers, trees, or functions of the step.


FUNCTIONS = [
    "optax.apply_updates(PARAMS, GRADS[0])",
    "optax.apply_updates(params=PARAMS, updates=GRADS[0])",
    "optax.global_norm(GRADS[0])",
    "optax.incremental_update(GRADS[0], PARAMS, 0.1)",
    "optax.incremental_update(new_tensors=GRADS[0], old_tensors=PARAMS, step_size=0.1)",
    "optax.periodic_update(GRADS[0], PARAMS, 4, 2)",
    "optax.periodic_update(GRADS[0], PARAMS, steps=jnp.array(3), update_period=2)",
    "optax.linear_schedule(1.0, 0.1, 10)",
    "optax.linear_schedule(init_value=0.0, end_value=1e-3, transition_steps=5, transition_begin=2)",
    "optax.join_schedules([optax.constant_schedule(0.1), optax.linear_schedule(0.1, 0.0, 5)], [3])",
    (
        "optax.join_schedules(schedules=(lambda step: 0.1 * step, optax.constant_schedule(0.2)), "
        "boundaries=[3])"
    ),
    "optax.cosine_decay_schedule(1.0, 10, 0.1)",
    "optax.cosine_decay_schedule(init_value=1.0, decay_steps=10, alpha=0.1, exponent=2.0)",
    "optax.constant_schedule(0.3)",
    "optax.warmup_cosine_decay_schedule(0.0, 1.0, 3, 10)",
    (
        "optax.warmup_cosine_decay_schedule(init_value=0.0, peak_value=1.0, warmup_steps=3, "
        "decay_steps=10, end_value=0.1)"
    ),
    "optax.piecewise_constant_schedule(1.0, {3: 0.1, 6: 0.5})",
    "optax.piecewise_constant_schedule(init_value=1.0, boundaries_and_scales={3: 0.1})",
    "optax.exponential_decay(1.0, 5, 0.5)",
    (
        "optax.exponential_decay(init_value=1.0, transition_steps=5, decay_rate=0.5, "
        "staircase=True, end_value=0.3)"
    ),
    "optax.polynomial_schedule(1.0, 0.1, 2, 10)",
    (
        "optax.polynomial_schedule(init_value=1.0, end_value=0.1, power=1.5, transition_steps=5, "
        "transition_begin=2)"
    ),
    "optax.warmup_exponential_decay_schedule(0.0, 1.0, 3, 4, 0.5)",
    "optax.linear_onecycle_schedule(10, 1.0)",
    "optax.softmax_cross_entropy(GRADS[0]['dense']['kernel'], jnp.eye(2))",
    (
        "optax.softmax_cross_entropy(logits=GRADS[0]['dense']['kernel'], "
        "labels=jax.nn.one_hot(jnp.array([1, 0]), 2))"
    ),
    (
        "optax.softmax_cross_entropy_with_integer_labels(GRADS[0]['dense']['kernel'], "
        "jnp.array([1, 0]))"
    ),
    (
        "optax.softmax_cross_entropy_with_integer_labels(logits=PARAMS['dense']['kernel'], "
        "labels=jnp.array([1, 0]))"
    ),
    "optax.losses.softmax_cross_entropy_with_integer_labels(PARAMS['dense']['bias'], jnp.array(1))",
    "optax.sigmoid_binary_cross_entropy(PARAMS['dense']['bias'], jnp.array([1, 0]))",
    (
        "optax.sigmoid_binary_cross_entropy(logits=PARAMS['dense']['bias'], "
        "labels=jnp.array([1.0, 0.0]))"
    ),
    "optax.l2_loss(PARAMS['dense']['bias'], GRADS[0]['dense']['bias'])",
    "optax.l2_loss(predictions=PARAMS['dense']['bias'], targets=GRADS[0]['dense']['bias'])",
    "optax.huber_loss(PARAMS['dense']['bias'], GRADS[0]['dense']['bias'], delta=0.5)",
    "optax.smooth_labels(jnp.eye(2), 0.1)",
    "optax.safe_int32_increment(jnp.array(3, jnp.int32))",
    "optax.safe_increment(jnp.array(2**31 - 1, jnp.int32))",
    "optax.safe_norm(PARAMS['dense']['bias'], 1e-3)",
    "optax.safe_root_mean_squares(PARAMS['dense']['bias'], min_rms=1e-3)",
    "optax.tree_utils.tree_zeros_like(PARAMS)",
    "optax.tree_utils.tree_zeros_like(PARAMS, dtype=jnp.bfloat16)",
    "optax.tree_utils.tree_cast(PARAMS, jnp.bfloat16)",
    "optax.tree_utils.tree_bias_correction(GRADS[0], 0.9, jnp.array(3))",
    "optax.tree_utils.tree_update_moment(GRADS[0], PARAMS, 0.9, 1)",
    "optax.tree_utils.tree_update_moment_per_elem_norm(GRADS[0], PARAMS, 0.9, 2)",
    "optax.bias_correction(GRADS[0], 0.9, jnp.array(3))",
    "optax.update_moment(GRADS[0], PARAMS, 0.9, 2)",
    "optax.tree.norm(GRADS[0], squared=True)",
    "optax.tree.add_scale(PARAMS, 0.5, GRADS[0])",
    "optax.projections.projection_simplex(PARAMS['dense']['bias'])",
    "jax.grad(lambda x: optax.scale_gradient(x, 3.0).sum())(PARAMS['dense']['bias'])",
]


@pytest.mark.rotated(3)
@pytest.mark.parametrize("call", TRANSFORMATIONS)
def test_a_transformation_makes_the_same_updates(call):
    # A slot in bfloat16 is rounded from what is computed in float32 here; optax rounds in between,
    # too.
    tolerance = 3e-2 if "bfloat16" in call else 2e-5
    assert_close(
        steps(evaluate(call, spoken)), steps(evaluate(call, optax)), rtol=tolerance, atol=1e-6
    )


@pytest.mark.parametrize("call", FUNCTIONS)
def test_a_function_gives_the_same(call):
    made, expected = evaluate(call, spoken), evaluate(call, optax)
    if callable(expected):
        made, expected = ([f(step) for step in (0, 1, 3, 5, 7, 20)] for f in (made, expected))
    tolerance = 1e-2 if "bfloat16" in call else 2e-6
    assert_close(made, expected, rtol=tolerance, atol=1e-7)


def test_what_comes_out_is_a_transformation_of_gradchain():
    for call in (
        "adam(0.1)",
        "chain(optax.clip(1.0), optax.adam(0.1))",
        "masked(optax.adam(0.1), MASK)",
        "clip(1.0)",
    ):
        assert isinstance(evaluate(f"optax.{call}", spoken), gc.GradientTransformation)
    assert spoken.adam(0.1) == spoken.adam(0.1)
    assert list(spoken.adamw(0.1, mask=MASK).members)[:3] == list(gc.adamw(0.1).members)
    chain = spoken.chain(spoken.clip(1.0), spoken.adam(0.1))
    assert "scale_by_adam" in chain.native.init(PARAMS)
    assert "scale_by_adam" in gc.chain(chain, gc.scale(2.0)).init(PARAMS)


def test_update_takes_any_extra_argument():
    tx = spoken.chain(spoken.clip(1.0), spoken.adam(0.1))
    state = tx.init(PARAMS)
    expected, _ = tx.update(GRADS[0], state, PARAMS)
    made, _ = tx.update(GRADS[0], state, PARAMS, loss=1.0, epoch="third")
    assert_close(made, expected, rtol=1e-6)


def test_a_dtype_of_storage_is_honoured():
    state = spoken.adamw(0.1, mu_dtype=jnp.bfloat16).init(PARAMS)
    mu = spoken.tree.get(state, "mu")
    assert {x.dtype for x in jax.tree.leaves(mu)} == {jnp.dtype(jnp.bfloat16)}
    _, new = spoken.adamw(0.1, mu_dtype=jnp.bfloat16).update(GRADS[0], state, PARAMS)
    assert jax.tree.map(jnp.result_type, new) == jax.tree.map(jnp.result_type, state)
    assert {x.dtype for x in jax.tree.leaves(spoken.tree.get(new, "nu"))} == {
        jnp.dtype(jnp.float32)
    }


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("optax.scale_by_lion(mode='soft')", ValueError),
        (
            "optax.masked(optax.sgd(0.1), MASK, mask_compatible_extra_args=True)",
            NotImplementedError,
        ),
        ("optax.adam(0.1, amsgrad=True)", TypeError),
        ("optax.inject_hyperparams(optax.adam, static_args='lr')", ValueError),
        ("optax.lookahead(optax.sgd(0.1), 0, 0.5)", ValueError),
        ("optax.partition({1: optax.sgd(0.1), '1': optax.sgd(0.1)}, 1)", ValueError),
    ],
)
def test_what_is_not_there_is_an_error(call, error):
    with pytest.raises(error):
        evaluate(call, spoken)


def test_what_is_not_finite_is_skipped_a_few_times_in_a_row():
    bad = jax.tree.map(lambda g: g * jnp.nan, GRADS[0])
    made = []
    for module in (spoken, optax):
        tx = module.apply_if_finite(module.sgd(0.1, 0.9), max_consecutive_errors=2)
        state, updates = tx.init(PARAMS), []
        for grads in (GRADS[0], bad, bad, GRADS[1], bad, bad, bad, GRADS[2]):
            u, state = tx.update(grads, state, PARAMS)
            updates.append(jnp.isfinite(u["dense"]["bias"]).tolist())
            updates.append(jnp.nan_to_num(u["dense"]["bias"]).tolist())
        made.append(updates)
    np.testing.assert_allclose(*map(np.float64, made), rtol=1e-6)


@pytest.mark.parametrize("reset_state", [False, True])
def test_lookahead_moves_both_parameters(reset_state):
    made = []
    for module in (spoken, optax):
        tx = module.lookahead(module.adam(0.1), 2, 0.5, reset_state)
        params = module.LookaheadParams.init_synced(PARAMS)
        state = tx.init(params)
        for grads in GRADS:
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(tuple(params), tuple(updates))
            params = module.LookaheadParams(*params)
        made.append(tuple(params))
    assert_close(*made, rtol=1e-5, atol=1e-6)


def test_a_callable_module_is_a_mask_itself():
    @jax.tree_util.register_pytree_node_class
    class Module:
        def __init__(self, w):
            self.w = w

        def __call__(self, x):
            return self.w * x

        def tree_flatten(self):
            return (self.w,), None

        @classmethod
        def tree_unflatten(cls, aux, children):
            return cls(*children)

    module = Module(jnp.ones(2))
    tx = spoken.masked(spoken.sgd(1.0), Module(False))
    assert jnp.all(tx.update(module, tx.init(module))[0].w == 1.0)


def test_a_pair_without_a_state_takes_anything_empty_for_it():
    for empty in (None, (), {}, spoken.EmptyState()):
        made, _ = spoken.clip_by_global_norm(1e9).update(GRADS[0], empty)
        assert_close(made, GRADS[0])
    with pytest.raises(ValueError, match="a tuple of 2 is due"):
        spoken.adam(0.1).update(GRADS[0], None)


@pytest.mark.parametrize(
    "name", ["contrib", "losses", "projections", "schedules", "transforms", "tree", "tree_utils"]
)
def test_submodules_are_modules_with_only_names_of_optax(name):
    module = importlib.import_module(f"gradchain.as_optax.{name}")
    assert getattr(spoken, name) is module
    ours = {k for k in getattr(module, "__all__", vars(module)) if not k.startswith("_")}
    theirs = set(dir(getattr(optax, name)))
    helpers = {
        k for k in ours - theirs if getattr(vars(module)[k], "__module__", "") == module.__name__
    }
    assert helpers == set()


@pytest.mark.parametrize(
    "name", ["", ".contrib", ".losses", ".projections", ".schedules", ".tree", ".tree_utils"]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arguments_have_the_order_and_the_default_numbers_of_optax(name):
    modules = [
        importlib.import_module(package + name) for package in ("gradchain.as_optax", "optax")
    ]
    compared = 0
    for function in vars(modules[0]).keys() & vars(modules[1]).keys():
        pair = [getattr(module, function) for module in modules]
        if function.startswith("_") or not inspect.isfunction(pair[1]):
            continue
        ours, theirs = (inspect.signature(f).parameters for f in pair)
        order = [k for k, p in theirs.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert list(ours)[: len(order)] == order, function
        numbers = {
            k: p.default for k, p in theirs.items() if isinstance(p.default, int | float | str)
        }
        assert {k: ours[k].default for k in numbers if k in ours} == numbers, function
        compared += 1
    assert compared


def test_skipping_large_updates_goes_by_the_squared_norm():
    for limit in (1.0, 10.0, 1e5):
        pair = [
            m.skip_large_updates(GRADS[3], 0, PARAMS, max_squared_norm=limit)
            for m in (spoken, optax)
        ]
        assert pair[0][0] == pair[1][0]
        np.testing.assert_allclose(*(state["norm_squared"] for _, state in pair), rtol=1e-6)


def test_values_are_pickled():
    tx = spoken.chain(spoken.clip(1.0), spoken.adamw(0.1, mask=MASK))
    assert pickle.loads(pickle.dumps(tx)) == tx


def test_a_schedule_is_a_function_to_jit():
    assert jax.jit(spoken.linear_schedule(1.0, 0.0, 4))(jnp.array(1)) == 0.75
    assert spoken.cosine_decay_schedule(1.0, 10)(10**12) == 0.0  # more than 32 bits
