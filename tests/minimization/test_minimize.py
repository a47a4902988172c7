"""``minimize``: how it ends, what it returns, whom it tells, and what it compiles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import monitoring

import gradchain as gc
from gradchain.minimization.minimize import _compiled
from tests.laws.samples import assert_close

pytestmark = pytest.mark.rotated(3)  # they take long

START = jnp.array([2.0, -1.0])
INF = jnp.array(jnp.inf)


def bowl(p):
    return jnp.sum((p - 1.0) ** 2)


def rosenbrock(p):
    return 100.0 * (p[1] - p[0] ** 2) ** 2 + (1.0 - p[0]) ** 2


def fit(p, x, y):
    return jnp.sum((p["a"] * x + p["b"] - y) ** 2)


def cliff(p):
    """Falls towards 0.5, where it is no number any more."""
    return jnp.sum(jnp.where(p < 0.5, jnp.nan, p))


ENDS = {
    "converged by gradient": (rosenbrock, START, {}, "CONVERGED_GRADIENT"),
    "converged by value": (
        lambda p: 1e3 + jnp.sum(jnp.cosh(p)),
        START,
        {"tol": 0.0},
        "CONVERGED_VALUE",
    ),
    "converged by a value of one's own": (
        lambda p: jnp.sum(p**4),
        START,
        {"tol": gc.minimization.Tolerance(0.0, 0.9)},
        "CONVERGED_VALUE",
    ),
    "flat": (lambda p: 3.0 + 0.0 * jnp.sum(p), START, {}, "CONVERGED_GRADIENT"),
    "NaN everywhere": (lambda p: jnp.nan * jnp.sum(p), START, {}, "NON_FINITE"),
    "NaN at the start": (lambda p: jnp.sum(jnp.sqrt(p)), START, {}, "NON_FINITE"),
    "infinite at the start": (
        lambda p: jnp.sum(1.0 / jnp.abs(p)),
        jnp.zeros(2),
        {},
        "NON_FINITE",
    ),
    "NaN on the way": (
        lambda p: jnp.sum(jnp.log(p) + 1 / p),
        jnp.array([5.0, 0.5]),
        {"tol": 1e-5},
        "CONVERGED_GRADIENT",
    ),
    "NaN where it goes down": (cliff, jnp.array([5.0, 0.8]), {}, "STALLED"),
    "a corner": (lambda p: jnp.sum(jnp.abs(p)), jnp.array([1.0, 0.3]), {}, "STALLED"),
    "a gradient that lies": (jax.custom_jvp(lambda p: jnp.sum(p**2)), START, {}, "STALLED"),
    "linear": (jnp.sum, START, {}, "UNBOUNDED"),
    "concave": (lambda p: -jnp.sum(p**2), START, {}, "UNBOUNDED"),
    "minus an exponential": (lambda p: -jnp.exp(jnp.sum(p)), START, {}, "UNBOUNDED"),
    "a cubic": (lambda p: jnp.sum(p**3), START, {}, "UNBOUNDED"),
    "no room": (bowl, START, {"bounds": (1.0, 0.0)}, "INFEASIBLE"),
    "NaN as a bound": (bowl, START, {"bounds": (jnp.nan, None)}, "INFEASIBLE"),
    "no steps": (bowl, START, {"max_steps": 0}, "OUT_OF_STEPS"),
    "no evaluations": (bowl, START, {"max_evals": 0}, "OUT_OF_EVALS"),
    "a step": (rosenbrock, START, {"max_steps": 1}, "OUT_OF_STEPS"),
    "three evaluations": (rosenbrock, START, {"max_evals": 3}, "OUT_OF_EVALS"),
    "no parameters": (lambda p: jnp.sum(p**2), jnp.zeros(0), {}, "CONVERGED_GRADIENT"),
    "an empty tree": (lambda p: jnp.array(1.0), {}, {}, "CONVERGED_GRADIENT"),
}
ENDS["a gradient that lies"][0].defjvps(lambda t, value, p: -2.0 * jnp.vdot(p, t))


@pytest.mark.rotated(2)
@pytest.mark.parametrize("name", ENDS)
def test_how_it_ends(name):
    fun, start, settings, status = ENDS[name]
    result = gc.minimize(fun, start, **settings)
    assert result.status is gc.minimization.Status[status]
    assert result.success == result.status.is_success
    if status != "INFEASIBLE":
        np.testing.assert_allclose(result.value, fun(result.params), rtol=1e-6, atol=1e-12)
        assert result.evals >= result.steps + 1
    if jnp.isfinite(fun(start)) and status != "INFEASIBLE":
        assert result.value <= fun(start)
    else:
        assert_close(result.params, start, 0.0)


def test_it_ends_where_the_limits_say():
    result = gc.minimize(rosenbrock, START, max_evals=7, tol=0.0)
    assert result.evals == 7
    result = gc.minimize(rosenbrock, START, max_steps=4, tol=0.0)
    assert (result.steps, result.status) == (4, gc.minimization.Status.OUT_OF_STEPS)


def test_in_float64_linear_and_concave_are_unbounded():
    with jax.enable_x64(True):
        for fun in (jnp.sum, lambda p: -jnp.sum(p**2)):
            assert (
                gc.minimize(fun, jnp.array([2.0, -1.0])).status
                is gc.minimization.Status.UNBOUNDED
            )


def test_a_minimum_far_away_is_no_abyss():
    result = gc.minimize(lambda p: jnp.sum(jnp.sqrt(1.0 + (p - 1e9) ** 2)), jnp.zeros(2))
    assert result.status is not gc.minimization.Status.UNBOUNDED
    np.testing.assert_allclose(result.params, 1e9, rtol=1e-3)


# --------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64])
def test_parameters_of_each_dtype(dtype):
    result = gc.minimize(
        lambda p: jnp.sum(jnp.square(jnp.abs(p - jnp.ones_like(p)))), START.astype(dtype)
    )
    assert result.params.dtype == dtype
    assert result.success
    np.testing.assert_allclose(np.asarray(result.params, np.complex64), 1.0, atol=1e-3)


def test_complex_parameters_go_downhill():
    target = jnp.array([1.0 + 2.0j, -1.0j])
    result = gc.minimize(lambda p: jnp.sum(jnp.abs(p - target) ** 2), jnp.zeros(2, jnp.complex64))
    np.testing.assert_allclose(result.params, target, atol=1e-5)


def test_trees_with_holes_and_scalars_of_python():
    start = {"a": 3.0, "hole": None, "b": [np.zeros(2, np.float32), jnp.zeros((0, 2))]}
    result = gc.minimize(
        lambda p: (p["a"] - 1.0) ** 2 + bowl(p["b"][0]) + jnp.sum(p["b"][1]), start
    )
    assert jax.tree.structure(result.params) == jax.tree.structure(start)
    assert_close(result.params["b"][0], jnp.ones(2), 1e-5)


# ------------------------------------------------------------------------------------------ methods


def in_groups():
    return gc.groups([("a", gc.sgd(0.1))], default=gc.lbfgs())


METHODS = {
    "adam": lambda: gc.adam(0.1),
    "sgd": lambda: gc.sgd(0.1),
    "lbfgs": lambda: gc.lbfgs(),
    "a fixed rate": lambda: gc.lbfgs(line_search=gc.scale(0.5)),
    "a search that is not last": lambda: gc.chain(gc.lbfgs(), gc.scale(0.9)),
    "a search in a group": in_groups,
    "adam of optax": lambda: optax.adam(0.1),
    "lbfgs of optax": lambda: optax.lbfgs(),
    "a schedule from zero": lambda: gc.sgd(gc.linear_schedule(0.0, 0.1, 5)),
    "a chain that accumulates": lambda: gc.accumulate(gc.sgd(0.1), every=4),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    loss = lambda p: bowl(p["a"]) + jnp.sum(jnp.cosh(p["b"]))
    with jax.numpy_dtype_promotion("standard"):  # for optax
        result = gc.minimize(loss, {"a": START, "b": START}, METHODS[name](), tol=3e-4)
    assert result.status is gc.minimization.Status.CONVERGED_GRADIENT
    assert_close(result.params["a"], jnp.ones(2), 1e-3)
    assert jnp.max(jnp.abs(result.params["b"])) < 1e-3


def test_the_best_point_is_returned_and_what_belongs_to_it():
    """Of a rate that is too large: the start."""
    result = gc.minimize(
        lambda p: (bowl(p), {"at": 2.0 * p}), START, gc.sgd(1.1), has_aux=True, max_steps=20
    )
    assert (result.status, result.steps, result.evals) == (
        gc.minimization.Status.OUT_OF_STEPS,
        20,
        21,
    )
    assert_close(result.params, START, 0.0)
    assert_close(result.aux["at"], 2.0 * START, 0.0)
    assert result.value == bowl(START)


def test_a_method_that_does_not_move_is_stalled():
    result = gc.minimize(bowl, START, gc.sgd(0.0))
    assert result.status is gc.minimization.Status.STALLED


def test_what_diverges_is_not_finite_or_unbounded():
    result = gc.minimize(bowl, START, gc.sgd(10.0))
    assert result.status is gc.minimization.Status.NON_FINITE
    assert_close(result.params, START, 0.0)


# --------------------------------------------------------------------------------------------- data


def test_args_partials_and_aux():
    x, y = jnp.arange(4.0), 3.0 * jnp.arange(4.0) + 1.0
    start = {"a": jnp.array(0.0), "b": jnp.array(0.0)}
    line = lambda data, p, y, *, shift: (fit(p, data, y + shift), y)
    result = gc.minimize(functools.partial(line, x, shift=1.0), start, args=(y,), has_aux=True)
    np.testing.assert_allclose([result.params["a"], result.params["b"]], [3.0, 2.0], rtol=1e-4)
    assert_close(result.aux, y, 0.0)


def test_bounds():
    result = gc.minimize(rosenbrock, START, bounds=(None, jnp.array([0.5, 10.0])))
    np.testing.assert_allclose(result.params, [0.5, 0.25], rtol=1e-4)
    assert result.success
    result = gc.minimize(
        lambda p: bowl(p["a"]) + bowl(p["b"]),
        {"a": START, "b": START},
        bounds=({"a": 2.0, "b": None}, 3.0),
    )
    assert_close(result.params, {"a": 2.0 * jnp.ones(2), "b": jnp.ones(2)}, 1e-5)


@pytest.mark.parametrize(
    "tx",
    [gc.lbfgs(), gc.lbfgsb(), gc.trust_region(), gc.sgd(0.1)],
    ids=lambda tx: tx.factory.name,
)
def test_bounds_in_half_precision(tx):
    result = gc.minimize(bowl, jnp.zeros(2, jnp.bfloat16), tx, bounds=(-1.0, 0.5))
    assert_close(result.params, jnp.full(2, 0.5, jnp.bfloat16), 0.0)
    assert result.success


def test_history():
    result = gc.minimize(rosenbrock, START, max_steps=50, history="params")
    steps, history = int(result.steps), result.history
    assert history["params"].shape == (51, 2)
    assert_close(history["params"][0], START, 0.0)
    np.testing.assert_allclose(
        history["value"][: steps + 1],
        jax.vmap(rosenbrock)(history["params"][: steps + 1]),
        rtol=1e-3,
        atol=1e-8,
    )
    assert np.all(np.diff(history["value"][: steps + 1]) < 0)
    assert np.all(np.isnan(history["value"][steps + 1 :]))
    assert history["evals"][steps] == float(result.evals)
    assert history["value"][steps] == result.value
    assert history["grad_norm"][steps] == result.grad_norm
    assert gc.minimize(rosenbrock, START, max_steps=50, history=True).history.keys() == {
        "value",
        "grad_norm",
        "evals",
    }
    assert gc.minimize(rosenbrock, START).history is None


# --------------------------------------------------------------------------------------------- vmap


def test_many_starts_are_as_one_by_one():
    with jax.enable_x64(True):  # where other rounding makes no other way
        starts = jnp.array([[2.0, -1.0], [1.0, 1.0], [-1.2, 1.0], [jnp.nan, 0.0], [100.0, 3.0]])
        one = lambda x: gc.minimize(rosenbrock, x, max_steps=30, history=True)
        many = jax.vmap(one)(starts)
        for i, start in enumerate(starts):
            alone = one(start)
            assert many.status[i] is alone.status
            assert (many.steps[i], many.evals[i]) == (alone.steps, alone.evals)
            np.testing.assert_allclose(many.params[i], alone.params, rtol=1e-6)
            np.testing.assert_allclose(
                many.history["value"][i], alone.history["value"], rtol=1e-4, atol=1e-12
            )
        assert len(set(many.status)) == 3
        assert many.success.tolist() == [s.is_success for s in many.status]


def test_inside_jit_the_status_is_a_number():
    result = jax.jit(lambda x: gc.minimize(bowl, x))(START)
    assert result.status is gc.minimization.Status.CONVERGED_GRADIENT
    code = jax.jit(lambda x: gc.minimize(bowl, x).status)(START)
    assert code == gc.minimization.Status.CONVERGED_GRADIENT


def test_results_say_first_how_they_ended():
    one = lambda x: gc.minimize(bowl, x, max_steps=5, history=True)
    shown = repr(one(START))
    assert shown.startswith("Result(status=CONVERGED_GRADIENT, params=Array([")
    assert shown.endswith(", history=['evals', 'grad_norm', 'value'])")
    starts = jnp.array([[2.0, -1.0], [jnp.nan, 1.0], [1.0, 1.0]])
    assert repr(jax.vmap(one)(starts)).startswith(
        "Result(status=2 CONVERGED_GRADIENT + 1 NON_FINITE, params="
    )


def test_statuses_have_words():
    for status in gc.minimization.Status:
        assert status.words
    assert str(gc.minimization.Status.STALLED) == "Status.STALLED"


# -------------------------------------------------------------------------------------- compilation


class Compilations:
    """How often something is compiled inside a block."""

    def __enter__(self):
        self.count = 0
        monitoring.register_event_duration_secs_listener(self)
        return self

    def __call__(self, event, duration, **_):
        self.count += event == "/jax/core/compile/backend_compile_duration"

    def __exit__(self, *_):
        monitoring.unregister_event_duration_listener(self)


def test_new_data_compile_nothing():
    traces = []

    def loss(p, x, y):
        traces.append(1)
        return fit(p, x, y)

    x, rng = jnp.arange(4.0), np.random.default_rng(0)
    start = {"a": jnp.array(0.0), "b": jnp.array(0.0)}
    data = [jnp.asarray(rng.standard_normal(4), jnp.float32) for _ in range(100)]
    found = gc.minimize(loss, start, args=(x, data[0]))
    jax.block_until_ready(found)
    before, size = len(traces), _compiled._cache_size()
    with Compilations() as compilations:
        for y in data:
            found = gc.minimize(loss, start, args=(x, y))
        gc.minimize(
            loss, start, gc.lbfgs(), args=(x, data[0]), max_steps=3, max_evals=5, tol=1e-3
        )
        gc.minimize(functools.partial(loss), start, args=(x, data[0]))
    assert found.status.is_success
    assert (len(traces), _compiled._cache_size(), compilations.count) == (before, size, 0)


BUILT = []


@gc.transform
def counted_descent():
    BUILT.append(1)
    return gc.elementwise(lambda g: -0.1 * g)


def test_a_call_that_is_compiled_already_builds_no_transformation():
    for x in (START, 2.0 * START):
        before = len(BUILT)
        gc.minimize(bowl, x, counted_descent())
    assert len(BUILT) == before > 0


def test_it_is_counted():
    with Compilations() as compilations:
        gc.minimize(lambda p: bowl(p), START)
    assert compilations.count >= 1


def test_another_callback_or_rate_compiles_nothing():
    run = lambda callback, rate: gc.minimize(
        bowl, START, gc.sgd(rate), callback=callback, max_steps=5
    )
    run(lambda told: None, 0.1)
    size = _compiled._cache_size()
    run([].append, 0.01)
    assert _compiled._cache_size() == size


# ------------------------------------------------------------------------------------------- errors


class Unhashable:
    __hash__ = None

    def __call__(self, p):
        return bowl(p)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((Unhashable(), START), TypeError, "pass what the object holds in args"),
        ((bowl, jnp.arange(2)), TypeError, r"x0 is int32\[2\]\. A start is of floating numbers"),
        ((bowl, {"a": 1}), TypeError, r"x0 holds at 'a' int"),
        ((3.0, START), TypeError, r"the first is a function of the parameters, not 3\.0"),
        ((bowl, START, gc.gauss_newton()), TypeError, "gauss_newton has to know the residuals"),
        (
            (lambda p: p, START),
            TypeError,
            r"must return a real scalar, not float32\[2\]\. Residuals, .* least_squares\(",
        ),
        (
            (lambda p: jax.lax.complex(*p), START),
            TypeError,
            "must return a real scalar, not complex64",
        ),
        ((bowl, START, gc.constant_schedule(0.1)), TypeError, "minimize: tx"),
        (
            (lambda p: (bowl(p), p), START),
            TypeError,
            r"has_aux=False fun must return a real scalar, not \('float32",
        ),
        (
            (functools.partial(lambda p, act: bowl(act(p)), act=jnp.tanh), START),
            TypeError,
            "at 'partial/1/act'",
        ),
    ],
)
def test_wrong_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        gc.minimize(*arguments)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"max_steps": -1}, ValueError, "max_steps must be 0 or more, not -1"),
        ({"max_evals": -1}, ValueError, "max_evals"),
        ({"history": "all"}, ValueError, "history must be one of"),
        ({"bounds": 1.0}, ValueError, "bounds are a pair"),
        ({"bounds": (jnp.zeros(3), None)}, ValueError, "the lower bound has shape"),
        (
            {"bounds": (jnp.zeros(1), None)},
            ValueError,
            r"has shape \[1\], the parameters there \[2\]",
        ),
        ({"max_steps": None}, TypeError, "max_steps must be an integer, not None"),
        ({"max_evals": 2.5}, TypeError, "max_evals must be an integer, not 2.5"),
        ({"tol": float("nan")}, ValueError, "tol must be 0 or more, not nan"),
        (
            {"tol": gc.minimization.Tolerance(value=-1.0)},
            ValueError,
            "tol.value must be 0 or more",
        ),
        ({"args": jnp.ones(1)}, TypeError, r"args is a tuple, args=\(data,\) for one argument"),
        ({"args": ({"by": "mean"},)}, TypeError, "there is a str at 'args/0/by'"),
        (
            {"has_aux": True},
            TypeError,
            r"has_aux=True fun must return a pair \(scalar, aux\), not float32\[\]",
        ),
    ],
)
def test_wrong_settings(settings, error, words):
    with pytest.raises(error, match=words):
        gc.minimize(bowl, START, **settings)


def test_bounds_on_complex_parameters():
    with pytest.raises(TypeError, match="have no order"):
        gc.minimize(
            lambda p: jnp.sum(jnp.abs(p)), START.astype(jnp.complex64), bounds=(0.0, None)
        )
