"""The dialect of optax where it differentiates twice, or searches along a line."""

import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken
from tests.support.dialect import PARAMS, assert_close, evaluate

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


def curved(params):
    """A smooth function with numbers beside the diagonal of its Hessian."""
    kernel, bias = params["dense"]["kernel"], params["dense"]["bias"]
    return (
        jnp.sum(jnp.log(jnp.cosh(kernel @ bias - 1.0)))
        + 0.1 * jnp.sum(kernel**2)
        + jnp.sum((bias - 0.3) ** 2)
    )


def rosenbrock(x):
    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def himmelblau(x):
    return (x[0] ** 2 + x[1] - 11.0) ** 2 + (x[0] + x[1] ** 2 - 7.0) ** 2


def matyas(x):
    return 0.26 * (x[0] ** 2 + x[1] ** 2) - 0.48 * x[0] * x[1]


def run(module, tx, fun=curved, params=PARAMS, steps=6, **extra):
    """The parameters on the way of a loop as users write it."""
    state, seen = tx.init(params), []
    value_and_grad = jax.jit(jax.value_and_grad(fun))
    for _ in range(steps):
        value, grad = value_and_grad(params)
        given = (
            {k: v(fun) for k, v in extra.items()}
            if extra
            else {"value": value, "grad": grad, "value_fn": fun}
        )
        updates, state = tx.update(grad, state, params, **given)
        params = module.apply_updates(params, updates)
        seen.append(params)
    return seen


# ------------------------------------------------------------------------------------------- Sophia

OWN_KEY = "optax.contrib.hutchinson_estimator_diag_hessian(jax.random.PRNGKey(3))"


@pytest.mark.rotated(4)
@pytest.mark.parametrize(
    "call",
    [
        "optax.contrib.sophia(1e-1)",
        "optax.contrib.sophia(1e-1, 0.9, 0.8, 1e-6, 0.1, MASK, 1.0, None, 2)",
        (
            "optax.contrib.sophia(learning_rate=1e-1, gamma=2.0, clip_threshold=0.5, "
            "update_interval=3)"
        ),
        "optax.contrib.sophia(1e-1, gamma=1.0, mu_dtype=jnp.bfloat16)",
        f"optax.contrib.sophia(1e-1, gamma=1.0, update_interval=1, hessian_diagonal_fn={OWN_KEY})",
    ],
)
def test_sophia_makes_the_same_steps(call):
    """The random signs are the same, too."""
    made, expected = (run(m, evaluate(call, m), obj_fn=lambda fun: fun) for m in (spoken, optax))
    tolerance = 1e-2 if "bfloat16" in call else 2e-5
    assert_close(made, expected, rtol=tolerance, atol=1e-6)


def test_sophia_has_the_fields_of_its_state_and_prints_its_win_rate(capfd):
    tx = spoken.contrib.sophia(0.1, verbose=True, print_win_rate_every_n_steps=2)
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(4):
        grads = jax.grad(curved)(params)
        _, state = tx.update(grads, state, params, obj_fn=curved)
    jax.effects_barrier()
    assert capfd.readouterr().out.count("win rate") == 2
    assert isinstance(state[0], spoken.contrib.SophiaState)
    assert state[0].count == 4
    assert spoken.tree.get(state, "key").shape == (2,)
    with pytest.raises(ValueError, match="obj_fn"):
        tx.update(grads, state, params)


# ------------------------------------------------------------------------------------- second_order


def mean_squares(params, inputs, targets):
    return jnp.mean((jnp.tanh(inputs @ params["kernel"]) + params["bias"] - targets) ** 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "call", ["hvp(loss, v, params, *data)", "hessian_diag(loss, params, *data)"]
)
def test_curvature_of_a_loss_is_the_same(call):
    names = {
        "loss": mean_squares,
        "v": jnp.arange(8.0),
        "params": PARAMS["dense"] | {"kernel": jnp.ones((3, 2)) / 2},
    }
    names |= {"data": (jax.random.normal(jax.random.key(0), (5, 3)), jnp.ones((5, 2)))}
    made, expected = (
        eval(f"second_order.{call}", {"second_order": m.second_order} | names)
        for m in (spoken, optax)
    )
    assert_close(made, expected, rtol=1e-5, atol=1e-6)
    fisher = [
        m.second_order.fisher_diag(mean_squares, names["params"], *names["data"])
        for m in (spoken, optax)
    ]
    assert_close(*fisher, rtol=1e-5)


def test_the_submodule_has_only_names_of_optax():
    module = importlib.import_module("gradchain.as_optax.second_order")
    assert spoken.second_order is module
    own = {k for k, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__}
    assert own == {"hvp", "hessian_diag", "fisher_diag"}


# ------------------------------------------------------------------------------------ line searches


@pytest.mark.rotated(4)
@pytest.mark.parametrize(
    "call",
    [
        "optax.scale_by_backtracking_linesearch(15)",
        (
            "optax.scale_by_backtracking_linesearch(max_backtracking_steps=50, slope_rtol=0.5, "
            "increase_factor=1.0)"
        ),
        "optax.scale_by_backtracking_linesearch(30, 0.1, 0.5, float('inf'), 4.0, 1e-4, 1e-4)",
        "optax.scale_by_backtracking_linesearch(15, store_grad=True)",
    ],
)
@pytest.mark.parametrize("fun", [rosenbrock, himmelblau, matyas])
def test_backtracking_makes_the_same_steps(call, fun):
    start = jax.random.normal(jax.random.key(0), (2,))
    chains = ((m, m.chain(m.sgd(1.0), evaluate(call, m))) for m in (spoken, optax))
    made, expected = (run(m, tx, fun, start) for m, tx in chains)
    assert_close(made, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("increase_factor", "slope_rtol", "atol", "rtol"),
    list(itertools.product([1.0, 1.5, float("inf")], [1e-4, 0.0], [1e-4, 0.0], [1e-4, 0.0])),
)
def test_backtracking_ends_where_the_loss_has_fallen_enough(
    increase_factor, slope_rtol, atol, rtol
):
    start = jax.random.normal(jax.random.key(1), (16,))
    numbers = {
        "slope_rtol": slope_rtol,
        "increase_factor": increase_factor,
        "atol": atol,
        "rtol": rtol,
    }
    tx = spoken.chain(
        spoken.sgd(1.0),
        spoken.scale_by_backtracking_linesearch(max_backtracking_steps=50, **numbers),
    )
    value, grad = jax.value_and_grad(rosenbrock)(start)
    updates, state = tx.update(
        grad, tx.init(start), start, value=value, grad=grad, value_fn=rosenbrock
    )
    rate = spoken.tree.get(state, "learning_rate")
    assert 0 < rate <= 1
    assert (
        rosenbrock(start + updates)
        <= (1 + rtol) * value - slope_rtol * rate * jnp.sum(grad**2) + atol
    )
    assert spoken.tree.get(state, "decrease_error") <= atol


def test_backtracking_says_why_it_made_no_step(capfd):
    tx = spoken.scale_by_backtracking_linesearch(3, verbose=True)
    params = jnp.array([1.0])
    fun = lambda p: jnp.where(p[0] == 1.0, 0.0, jnp.nan)
    updates, state = tx.update(
        -params, tx.init(params), params, value=0.0, grad=params, value_fn=fun
    )
    jax.effects_barrier()
    assert (
        "scale_by_backtracking_linesearch: the conditions are not met" in capfd.readouterr().out
    )
    assert updates[0] == 0.0 == state.learning_rate
    assert jnp.isinf(state.info.decrease_error)
    assert state.info.num_linesearch_steps == 4
    updates, state = tx.update(
        -params, state, params, value=0.5, grad=params, value_fn=lambda p: p[0] ** 2 / 2
    )
    assert updates[0] == -1.0  # it begins anew


@pytest.mark.rotated(4)
@pytest.mark.parametrize("guess", ["one", "keep"])
@pytest.mark.parametrize("fun", [rosenbrock, himmelblau, matyas])
def test_the_zoom_search_meets_the_wolfe_conditions(fun, guess):
    tx = spoken.chain(
        spoken.sgd(1.0),
        spoken.scale_by_zoom_linesearch(
            max_linesearch_steps=30, curv_rtol=0.5, initial_guess_strategy=guess
        ),
    )
    params = jax.random.normal(jax.random.key(0), (2,))
    state = tx.init(params)
    for _ in range(4):
        value, grad = jax.value_and_grad(fun)(params)
        updates, state = tx.update(grad, state, params, value=value, grad=grad, value_fn=fun)
        params = spoken.apply_updates(params, updates)
        rate, there = (spoken.tree.get(state, name) for name in ("learning_rate", "grad"))
        np.testing.assert_allclose(updates, -rate * grad, rtol=1e-5)
        assert spoken.tree.get(state, "value") <= value - 1e-4 * rate * jnp.sum(grad**2)
        assert jnp.abs(jnp.sum(there * grad)) <= 0.5 * jnp.sum(grad**2)
        np.testing.assert_allclose(there, jax.grad(fun)(params), rtol=1e-3, atol=1e-3)
        assert (
            spoken.tree.get(state, "decrease_error")
            == spoken.tree.get(state, "curvature_error")
            == 0
        )
        assert spoken.tree.get(state, "num_linesearch_steps") <= 30


SEARCHES = [
    "optax.scale_by_backtracking_linesearch(15, store_grad=True)",
    "optax.scale_by_zoom_linesearch(max_linesearch_steps=15)",
]


@pytest.mark.parametrize("call", SEARCHES)
def test_other_arguments_of_the_loss_are_extra_arguments(call):
    loss = lambda params, x, y: jnp.sum((x @ params - y) ** 2)
    tx = spoken.chain(spoken.sgd(1.0), evaluate(call, spoken))
    params, x, y = jnp.zeros(2), jnp.eye(2), jnp.array([1.0, 2.0])
    value, grad = jax.value_and_grad(loss)(params, x, y)
    given = {"value": value, "grad": grad, "value_fn": loss, "x": x, "y": y}
    updates, _ = tx.update(grad, tx.init(params), params, **given)
    assert loss(params + updates, x, y) < value
    with pytest.raises(TypeError, match="Unexpected keyword arguments \\['z'\\]"):
        tx.update(grad, tx.init(params), params, **given, z=1.0)


@pytest.mark.parametrize("call", SEARCHES)
def test_value_and_gradient_come_from_the_state(call):
    evaluations = []

    def fun(x):
        jax.debug.callback(lambda: evaluations.append(1))
        return jnp.sum((x - 3.0) ** 2)

    tx = spoken.chain(spoken.sgd(0.1), evaluate(call, spoken))
    value_and_grad = jax.jit(spoken.value_and_grad_from_state(fun))
    params = jnp.array([1.0, 10.0])
    state = tx.init(params)
    value, grad = value_and_grad(params, state=state)
    jax.effects_barrier()
    assert len(evaluations) == 1
    np.testing.assert_allclose((value, *grad), (53.0, -4.0, 14.0))
    updates, state = tx.update(grad, state, params, value=value, grad=grad, value_fn=fun)
    params = spoken.apply_updates(params, updates)
    jax.effects_barrier()
    evaluations.clear()
    value, grad = value_and_grad(params, state=state)
    jax.effects_barrier()
    assert not evaluations
    np.testing.assert_allclose(value, jnp.sum((params - 3.0) ** 2), rtol=1e-5)
    np.testing.assert_allclose(grad, 2 * (params - 3.0), rtol=1e-5)


def test_a_state_without_a_value_or_with_two_is_an_error():
    value_and_grad = spoken.value_and_grad_from_state(rosenbrock)
    search = spoken.scale_by_backtracking_linesearch(15)
    params = jnp.ones(2)
    for tx in (spoken.adam(0.1), search):
        with pytest.raises(ValueError, match="the state has no value and gradient"):
            value_and_grad(params, state=tx.init(params))
    with pytest.raises(KeyError):
        value_and_grad(params, state=spoken.chain(search, search).init(params))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("optax.scale_by_zoom_linesearch(10, tol=1e-3)", NotImplementedError),
        ("optax.scale_by_zoom_linesearch(10, approx_dec_rtol=None)", NotImplementedError),
        ("optax.scale_by_zoom_linesearch(10, curv_rtol=0.0)", ValueError),
        ("optax.scale_by_zoom_linesearch(10, initial_guess_strategy='last')", ValueError),
        ("optax.lbfgs(scale_init_precond=False)", NotImplementedError),
        ("optax.scale_by_lbfgs(memory_size=0).init(PARAMS)", ValueError),
    ],
)
def test_what_is_not_there_is_an_error(call, error):
    with pytest.raises(error):
        evaluate(call, spoken)


# ------------------------------------------------------------------------------------------- L-BFGS


@pytest.mark.parametrize(
    "call",
    [
        "optax.lbfgs(0.1, linesearch=None)",
        "optax.lbfgs(optax.linear_schedule(0.1, 0.0, 8), 3, linesearch=None)",
        "optax.chain(optax.scale_by_lbfgs(memory_size=2), optax.scale_by_learning_rate(0.1))",
        (
            "optax.lbfgs(memory_size=5, linesearch=optax.scale_by_backtracking_linesearch(20, "
            "increase_factor=jnp.inf))"
        ),
    ],
)
def test_lbfgs_makes_the_same_steps(call):
    made, expected = (run(m, evaluate(call, m)) for m in (spoken, optax))
    assert_close(made, expected, rtol=1e-4, atol=1e-5)


def test_the_loop_of_the_documentation_runs():
    """A compiled loop that goes on until the gradient in the state is small."""
    tx = spoken.lbfgs()
    value_and_grad = spoken.value_and_grad_from_state(rosenbrock)

    def step(carry):
        params, state = carry
        value, grad = value_and_grad(params, state=state)
        updates, state = tx.update(
            grad, state, params, value=value, grad=grad, value_fn=rosenbrock
        )
        return spoken.apply_updates(params, updates), state

    def goes_on(carry):
        count, grad = (spoken.tree.get(carry[1], name) for name in ("count", "grad"))
        return (count == 0) | ((count < 100) & (spoken.tree.norm(grad) >= 1e-3))

    start = jnp.zeros(8)
    params, state = jax.jit(lambda: jax.lax.while_loop(goes_on, step, (start, tx.init(start))))()
    np.testing.assert_allclose(params, 1.0, atol=1e-3)
    assert isinstance(state[0], spoken.ScaleByLBFGSState)
    assert isinstance(state[2], spoken.ScaleByZoomLinesearchState)
    assert isinstance(state[2].info, spoken.ZoomLinesearchInfo)
    assert 0 < spoken.tree.get(state, "count") < 60
    assert state[0].diff_params_memory.shape == (10, 8)


@pytest.mark.parametrize(
    "call", ["optax.scale_by_backtracking_linesearch(20)", "optax.scale_by_zoom_linesearch(20)"]
)
def test_complex_parameters_go_as_their_parts_do(call):
    matrix = jnp.array([[1.0, -2.0], [3.0, 4.0], [-4.0 + 2.0j, 5.0 - 3.0j]])
    fun = lambda z: jnp.sum(jnp.abs(matrix @ z - 1.0) ** 2)
    of_parts = lambda x: fun(jax.lax.complex(x[0], x[1]))
    ends = []
    for loss, start in (
        (fun, jnp.array([1.0 - 1.0j, 1.0j])),
        (of_parts, jnp.array([[1.0, 0.0], [-1.0, 1.0]])),
    ):
        tx = spoken.lbfgs(linesearch=evaluate(call, spoken))
        params, state = start, tx.init(start)
        for _ in range(4):
            value, grad = jax.value_and_grad(loss)(params)
            updates, state = tx.update(
                grad.conj(), state, params, value=value, grad=grad.conj(), value_fn=loss
            )
            params = spoken.apply_updates(params, updates)
        ends.append(params)
    np.testing.assert_allclose(
        jnp.stack([ends[0].real, ends[0].imag]), ends[1], rtol=1e-3, atol=1e-4
    )


@pytest.mark.rotated(3)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.complex64])
@pytest.mark.parametrize("call", [*SEARCHES, "optax.lbfgs()"])
def test_a_state_keeps_its_dtypes(call, dtype):
    tx, params = evaluate(call, spoken), jnp.ones(3, dtype)
    fun = lambda p: jnp.sum(jnp.abs(p) ** 2)
    state = tx.init(params)
    update = lambda g, s, p: tx.update(g, s, p, value=jnp.float16(3.0), grad=g, value_fn=fun)
    assert jax.eval_shape(update, params, state, params) == jax.eval_shape(
        lambda: (params, state)
    )
