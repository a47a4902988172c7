"""What methods without a learning rate promise: no tuning, no scale of the loss, and a distance
that is a bound.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.samples import assert_close

RNG = np.random.default_rng(0)
FEATURES = RNG.standard_normal((50, 6))
SOLUTION = {"bias": RNG.standard_normal(2), "kernel": RNG.standard_normal((2, 2))}


@pytest.fixture(autouse=True)
def in_float64():
    with jax.enable_x64(True):
        yield


def joined(tree):
    return jnp.concatenate([tree["bias"], tree["kernel"].ravel()])


def loss(params, factor):
    """Least squares, 0 at the solution."""
    return factor * jnp.mean(jnp.square(FEATURES @ (joined(params) - joined(SOLUTION)))) / 2


def descend(tx, steps, factor=1.0):
    """The losses on the way from zero, the parameters at each step, and the state at the end."""
    start = jax.tree.map(lambda x: jnp.zeros(x.shape), SOLUTION)

    def body(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, factor)
        extra = {"value": value} if "value" in tx.extras else {}
        params, state = tx.step(grads, state, params, **extra)
        return (params, state), (value, params)

    (_, state), (values, path) = jax.jit(
        lambda: jax.lax.scan(body, (start, tx.init(start)), length=steps)
    )()
    return values, path, state


def downhill(direction):
    return gc.chain(direction, gc.scale(-1.0))


like_adam = {"distance": "largest", "decay": 0.999**0.5}

# As they are made without tuning, and how far 40 steps may be from those on a loss 100 times as
# large: nothing, or what epsilon = 1e-8 does beside gradients of order 1.
UNTUNED = {
    "dadapt": (lambda: downhill(gc.dadapt(gc.identity())), 1e-12),
    "dadapt-adam": (lambda: downhill(gc.dadapt(gc.scale_by_adam(), **like_adam)), 1e-6),
    "dadapt_sgd": (lambda: gc.dadapt_sgd(), 1e-12),
    "dadapt_adamw": (lambda: gc.dadapt_adamw(), 1e-6),
    "prodigy": (lambda: gc.prodigy(), 1e-6),
    "dog": (lambda: gc.dog(), 1e-8),
    "dog-layer_wise": (lambda: gc.dog(layer_wise=True), 1e-8),
    "dowg": (
        lambda: gc.dowg(),
        2e-2,
    ),  # its epsilon is 1e-4, beside a root that starts at 1e-2 times the gradient
    "cocob": (lambda: gc.cocob(), 1e-12),
    "mechanize": (lambda: gc.mechanize(gc.adam(1.0)), 1e-6),
    "momo": (lambda: gc.momo(1e3), 1e-12),  # no step is cut
    "momo_adam": (lambda: gc.momo_adam(), 1e-6),
}
# Without an epsilon, where there is one.
EXACT = {
    "dadapt-adam": lambda: downhill(gc.dadapt(gc.scale_by_adam(eps=0.0), **like_adam)),
    "dadapt_adamw": lambda: gc.dadapt_adamw(eps=0.0),
    "prodigy": lambda: gc.prodigy(eps=0.0),
    "dog": lambda: gc.dog(eps=0.0),
    "dog-layer_wise": lambda: gc.dog(eps=0.0, layer_wise=True),
    "dowg": lambda: gc.dowg(init_estim_sq_dist=1e-4, eps=0.0),
    "mechanize": lambda: gc.mechanize(gc.adam(1.0, eps=0.0), eps=1e-30),
    "momo_adam": lambda: gc.momo_adam(eps=0.0),
}


@pytest.mark.parametrize("name", UNTUNED)
def test_it_converges_without_tuning(name):
    values, _, _ = descend(UNTUNED[name][0](), 1000)
    assert values[-1] < 1e-4 * values[0]


def change_by_scale(tx):
    once, hundredfold = (
        joined(jax.tree.map(lambda x: x[-1], descend(tx, 40, c)[1])) for c in (1.0, 100.0)
    )
    return float(jnp.max(jnp.abs(once - hundredfold)) / jnp.max(jnp.abs(once)))


@pytest.mark.parametrize("name", UNTUNED)
def test_a_loss_100_times_as_large_changes_no_more_than_its_epsilon_does(name):
    make, tolerance = UNTUNED[name]
    assert change_by_scale(make()) <= tolerance


@pytest.mark.parametrize("name", EXACT)
def test_without_epsilon_the_scale_of_the_loss_changes_nothing(name):
    assert change_by_scale(EXACT[name]()) <= 1e-12


def test_the_scale_of_the_loss_matters_to_sgd_and_to_mechanic_around_it():
    assert change_by_scale(gc.sgd(1e-3)) > 0.1
    assert change_by_scale(gc.mechanize(gc.sgd(1.0))) > 0.1


# ------------------------------------------------------------------------------------- D-Adaptation


def test_dadapt_around_the_gradient_is_gradient_descent_with_d_adaptation():
    """The estimate of the paper's Algorithm 2, (|s|^2 - sum lambda^2 |g|^2) / 2|s|, is ours."""
    tx, params = gc.dadapt(gc.identity(), estim_lr0=0.1), {"w": jnp.zeros(3)}
    state, d, s, squares, first = tx.init(params), 0.1, np.zeros(3), 0.0, None
    for g in RNG.standard_normal((20, 3)) + np.array([1.0, 0.5, -1.0]):
        updates, state = tx.update({"w": jnp.asarray(g)}, state)
        first = first or np.linalg.norm(g)
        rate = d / first
        np.testing.assert_allclose(updates["w"], rate * g, rtol=1e-12)
        s, squares = s + rate * g, squares + rate**2 * np.sum(g**2)
        d = max(d, (np.sum(s**2) - squares) / (2 * np.linalg.norm(s)))
    assert d > 0.5
    np.testing.assert_allclose(state["dadapt"]["distance"], d, rtol=1e-12)


@pytest.mark.parametrize(
    ("inner", "distance", "true"),
    [
        (gc.identity(), "euclidean", jnp.linalg.norm),
        (gc.add_momentum(0.9), "euclidean", jnp.linalg.norm),
        (gc.scale_by_adam(), "largest", lambda x: jnp.max(jnp.abs(x))),
        (gc.scale_by_adam(), "euclidean", jnp.linalg.norm),
    ],
    ids=["gradient", "momentum", "adam-largest", "adam-euclidean"],
)
def test_dadapt_never_thinks_the_solution_further_than_it_is(inner, distance, true):
    _, _, state = descend(downhill(gc.dadapt(inner, distance=distance)), 300)
    found, true = float(state["dadapt"]["distance"]), float(true(joined(SOLUTION)))
    assert 1e-2 * true < found <= true


def test_dadapt_around_adam_is_dadapt_adamw_up_to_how_it_measures_the_way():
    """The first step is the same; the distances that they find, not step by step but in the end,
    are close.
    """
    at_first = lambda path: jax.tree.map(lambda x: x[0], path)
    around_adam = gc.dadapt(gc.scale_by_adam(b1=0.0), **like_adam)
    ours, theirs = downhill(gc.chain(around_adam, gc.average_updates(0.9))), gc.dadapt_adamw()
    (_, path, state), (_, expected, their_state) = descend(ours, 160), descend(theirs, 160)
    np.testing.assert_allclose(joined(at_first(path)), joined(at_first(expected)), rtol=1e-5)
    found, true = state["dadapt"]["distance"], their_state["scale_by_dadapt_adam"]["distance"]
    np.testing.assert_allclose(found, true, rtol=0.05)


def test_a_first_gradient_of_zero_is_not_the_unit():
    tx, params = gc.dadapt(gc.identity(), estim_lr0=0.5), {"w": jnp.zeros(2)}
    updates, state = tx.update({"w": jnp.zeros(2)}, tx.init(params))
    np.testing.assert_array_equal(updates["w"], 0.0)
    updates, _ = tx.update({"w": jnp.array([3.0, 4.0])}, state)
    np.testing.assert_allclose(updates["w"], [0.3, 0.4])


def test_growth_is_bounded():
    _, _, free = descend(gc.dadapt_sgd(estim_lr0=0.1), 5)
    _, _, bound = descend(gc.dadapt_sgd(estim_lr0=0.1, growth_rate=1.1), 5)
    assert free["dadapt"]["distance"] > 0.1 * 1.1**5 >= bound["dadapt"]["distance"]


def test_a_beta_may_be_a_schedule():
    betas = (gc.linear_schedule(0.5, 0.9, 10), 0.999)
    for recipe in (gc.dadapt_adamw, gc.prodigy):
        values, _, _ = descend(recipe(betas=betas), 200)
        assert values[-1] < 1e-2 * values[0]


def test_an_unknown_measure_of_distance_is_refused():
    with pytest.raises(ValueError, match="must be one of 'euclidean', 'largest', not 'l2'"):
        gc.dadapt(gc.identity(), distance="l2").init(jnp.zeros(2))


# -------------------------------------------------------------------------- distance over gradients


@pytest.mark.parametrize(
    "make", [lambda layers: gc.dog(layer_wise=layers), lambda layers: gc.dowg(layer_wise=layers)]
)
def test_layer_wise_each_leaf_is_on_its_own(make):
    params = {"a": jnp.ones(2), "b": jnp.full(3, 5.0)}
    grads = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([0.1, 0.2, 0.3])}
    tx, alone = make(True), make(False)
    p, state = params, tx.init(params)
    one, one_state = {"b": params["b"]}, alone.init({"b": params["b"]})
    for _ in range(3):
        p, state = tx.step(grads, state, p)
        one, one_state = alone.step({"b": grads["b"]}, one_state, one)
    np.testing.assert_allclose(p["b"], one["b"], rtol=1e-12)


def test_layer_wise_it_is_that_of_optax():
    ours = gc.scale_by_distance_over_gradients(0.1)
    theirs = optax.scale_by_distance_over_gradients(0.1, param_dtype=float)
    p, state, their_state = SOLUTION, ours.init(SOLUTION), theirs.init(SOLUTION)
    for _ in range(20):
        grads = {
            "bias": jnp.asarray(RNG.standard_normal(2)),
            "kernel": jnp.asarray(RNG.standard_normal((2, 2))),
        }
        updates, state = ours.update(grads, state, p)
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            expected, their_state = theirs.update(grads, their_state, p)
        np.testing.assert_allclose(joined(updates), joined(expected), rtol=1e-12)
        p = gc.apply_updates(p, updates)


def test_dog_refuses_a_first_step_that_it_does_not_know():
    with pytest.raises(
        ValueError, match="one of 'distance', 'learning_rate', 'heuristic', not 'guess'"
    ):
        gc.dog(init_step=("guess", 1.0)).init(jnp.zeros(2))
    with pytest.raises(ValueError, match="init_distance or init_learning_rate, not both"):
        gc.scale_by_distance_over_gradients(init_distance=1.0, init_learning_rate=1.0).init(
            jnp.zeros(2)
        )


# -------------------------------------------------------------------------------- Mechanic and MoMo


def test_mechanic_hands_extra_arguments_on():
    values, _, _ = descend(gc.mechanize(gc.momo(1.0)), 300)
    assert values[-1] < 1e-2 * values[0]


def test_momo_needs_the_loss():
    params = jnp.ones(2)
    for tx in (gc.momo(), gc.momo_adam()):
        with pytest.raises(TypeError, match="value"):
            tx.update(params, tx.init(params), params)


def test_momo_stops_at_the_lower_bound():
    """Where the loss is as low as it can be, there is no step."""
    params, grads = jnp.ones(2), jnp.ones(2)
    for tx in (gc.momo(lower_bound=3.0), gc.momo_adam(lower_bound=3.0)):
        updates, _ = tx.update(grads, tx.init(params), params, value=3.0)
        np.testing.assert_allclose(updates, 0.0, atol=1e-15)


@pytest.mark.parametrize("adapts", [False, True])
@pytest.mark.parametrize("name", ["momo", "momo_adam"])
def test_momo_without_a_decay_is_that_of_optax(name, adapts):
    options = {"lower_bound": -1.0, "adapt_lower_bound": adapts}
    ours, theirs = getattr(gc, name)(0.5, **options), getattr(optax.contrib, name)(0.5, **options)
    p = q = jax.tree.map(jnp.zeros_like, SOLUTION)
    state, their_state = ours.init(p), theirs.init(q)
    for _ in range(10):
        value, grads = jax.value_and_grad(loss)(p, 1.0)
        p, state = ours.step(grads, state, p, value=value)
        with jax.numpy_dtype_promotion("standard"):
            updates, their_state = theirs.update(grads, their_state, q, value=value)
        q = optax.apply_updates(q, updates)
        assert_close(p, q, 1e-6)


def test_momo_finds_a_bound_below_which_the_loss_does_not_go():
    def shifted(tx):
        p = jnp.array([3.0])
        state = tx.init(p)
        for _ in range(100):
            p, state = tx.step(2 * p, state, p, value=p[0] ** 2 + 5.0)
        return state["scale_by_momo"]["lower_bound"]

    assert 4.0 < shifted(gc.momo(0.1, adapt_lower_bound=True)) < 5.1


@pytest.mark.parametrize("name", UNTUNED)
def test_nothing_comes_of_nothing(name):
    """Zero gradients at zero parameters: no step and no NaN."""
    tx, zero = UNTUNED[name][0](), {"a": jnp.zeros(2), "b": jnp.zeros((0, 3))}
    extra = {"value": 0.0} if "value" in tx.extras else {}
    state = tx.init(zero)
    for _ in range(2):
        updates, state = tx.update(zero, state, zero, **extra)
        np.testing.assert_array_equal(updates["a"], 0.0)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))
