"""Calls of one who knew the documentation alone: the message mends them.

``python -m tests.integration.test_wrong_calls_newcomers`` prints each message.
"""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from gradchain.core import foreign_names
from gradchain.minimization import Result
from gradchain.minimization.scipy import METHODS
from tests.integration.test_wrong_calls import (
    GRADS,
    PARAMS,
    STATE,
    TX,
    assert_message_has,
    message,
)

pytestmark = pytest.mark.usefixtures("without_jit")

bowl = lambda x: jnp.sum(x**2)
line = lambda p, x, y: p["a"] * x + p["b"] - y
line_at = lambda p: line(p, jnp.arange(4.0), jnp.arange(4.0))
START, AB = jnp.ones(2), {"a": jnp.array(0.0), "b": jnp.array(0.0)}
ADAM = gc.adam(1e-3)
AVERAGED = gc.average_weights(ADAM, decay=0.9).init(PARAMS)
ACCUMULATED = gc.chain(gc.accumulate(ADAM, every=2))
RESTORED = {"layers": {"0": jnp.ones(1), "1": jnp.ones(1)}}
LAYERS = {"layers": [jnp.ones(1), jnp.ones(1)]}

#: A wrong call, and the words that the message must have.
CALLS = {
    # Too few arguments, and too many
    "tx.init()": (lambda: ADAM.init(), ["'params' is missing", "state = tx.init(params)"]),
    "tx.update(grads)": (
        lambda: ADAM.update(GRADS),
        ["'state' is missing", "updates, state = tx.update(grads, state, params)"],
    ),
    "tx.step()": (
        lambda: ADAM.step(),
        ["'grads', 'state', 'params' are missing", "params, state = tx.step(jax.grad(loss_fn)("],
    ),
    "tx.update(grads, state, params, loss)": (
        lambda: ADAM.update(GRADS, STATE, PARAMS, 0.5),
        ["takes 3 by place, not 4", "tx.update(grads, state, params)"],
    ),
    "apply_updates(params)": (
        lambda: gc.apply_updates(PARAMS),
        ["'updates' is missing", "gc.apply_updates(params, updates)"],
    ),
    "metrics(tx, state)": (lambda: gc.metrics(TX, STATE), ["metrics", "gc.metrics(state)"]),
    "set_hyperparams(tx, state, learning_rate=0.1)": (
        lambda: gc.set_hyperparams(TX, STATE, learning_rate=0.1),
        ["set_hyperparams", "state = gc.set_hyperparams(state, learning_rate=1e-4)"],
    ),
    "set_hyperparams(state, {...})": (
        lambda: gc.set_hyperparams(STATE, {"learning_rate": 0.1}),
        ["set_hyperparams", "gc.set_hyperparams(state, learning_rate=1e-4)", "**values"],
    ),
    "set_hyperparams(tx, learning_rate=0.1)": (
        lambda: gc.set_hyperparams(TX, learning_rate=0.1),
        ["a transformation, not a state", "tx.replace(learning_rate=1e-4)"],
    ),
    "hyperparams(state)": (lambda: gc.hyperparams(STATE), ["gc.hyperparams(tx, state)"]),
    # In another order
    "apply_updates(state, params)": (
        lambda: gc.apply_updates(STATE, PARAMS),
        ["look like a state", "'scale_by_adam'", "apply_updates(params, updates)"],
    ),
    "eval_params(params, state)": (
        lambda: gc.eval_params(PARAMS, AVERAGED),
        ["look like a state", "Swapped?", "eval_params(state, params)"],
    ),
    "eval_params(array, state)": (
        lambda: gc.eval_params(START, gc.average_weights(ADAM).init(START)),
        ["one array", "Swapped?", "eval_params(state, params)"],
    ),
    "adopt_state(state, tx, params)": (
        lambda: gc.adopt_state(STATE, TX, PARAMS),
        ["adopt_state(tx, old_state, params)", "a dict of arrays", "stands first"],
    ),
    "adopt_state(tx, params, state)": (
        lambda: gc.adopt_state(TX, PARAMS, STATE),
        ["look like a state", "adopt_state(tx, old_state, params)"],
    ),
    "minimize(x0, fun)": (
        lambda: gc.minimize(START, bowl),
        ["the first is a function", "float32[2]", "minimize(fun, x0, tx)"],
    ),
    "minimize(fun, tx, x0)": (
        lambda: gc.minimize(bowl, gc.lbfgs(), START),
        ["the second is where to start, not lbfgs(", "minimize(fun, x0, tx)"],
    ),
    "least_squares(x0, fun)": (
        lambda: gc.least_squares(AB, line_at),
        ["the first is a function", "least_squares(fun, x0, tx)"],
    ),
    # Other things in their places
    "update(lambda, state, params)": (
        lambda: ADAM.update(bowl, STATE, PARAMS),
        ["is a function", "grads = jax.grad(loss_fn)(params)"],
    ),
    "init(loss_fn)": (lambda: ADAM.init(bowl), ["is a function", "tx.init(params)"]),
    "adam(None)": (
        lambda: gc.adam(None),
        ["'learning_rate'", "not None", "For no rate", "gc.scale_by_adam()"],
    ),
    "sgd(None)": (lambda: gc.sgd(None), ["not None", "give the rate 1.0: sgd(1.0)"]),
    "chain(scale_by_adam(), schedule)": (
        lambda: gc.chain(gc.scale_by_adam(), gc.cosine_decay_schedule(1e-3, 9)),
        ["scale_by_learning_rate(schedule)", "adam(schedule)"],
    ),
    "freeze(['b'])": (lambda: gc.freeze(["b"]), ["['b']", "path_matches('^b$')"]),
    "select(['head/*', '*scale'], tree)": (
        lambda: gc.select(["head/*", "*scale"], PARAMS),
        ["one at a time", "path_matches('^head/|scale$')"],
    ),
    "groups([{'params': '*bias', 'lr': 1e-4}])": (
        lambda: gc.groups([{"params": "*bias", "lr": 1e-4}], default=ADAM).init(PARAMS),
        ["a rule is a pair", "('*bias', {'learning_rate': 0.0001})"],
    ),
    "softmax_cross_entropy(logits, class numbers)": (
        lambda: gc.losses.softmax_cross_entropy(jnp.zeros((4, 3)), jnp.array([0, 1, 2, 0])),
        ["int32[4]", "float32[4,3]", "softmax_cross_entropy_with_integer_labels(logits, labels)"],
    ),
    "poly_loss_cross_entropy(logits, class numbers)": (
        lambda: gc.losses.poly_loss_cross_entropy(jnp.zeros((3, 3)), np.array([0, 1, 2])),
        ["int64[3]", "jax.nn.one_hot(labels, 3)"],
    ),
    # Methods and results of SciPy
    "minimize(fun, x0, 'L-BFGS-B')": (
        lambda: gc.minimize(bowl, START, "L-BFGS-B"),
        ["'L-BFGS-B'", "gc.lbfgsb()"],
    ),
    "minimize(fun, x0, method='L-BFGS-B')": (
        lambda: gc.minimize(bowl, START, method="L-BFGS-B"),
        ["method='L-BFGS-B'", "tx=lbfgsb()"],
    ),
    "minimize(fun, x0, method='Nelder-Mead')": (
        lambda: gc.minimize(bowl, START, method="Nelder-Mead"),
        ["'Nelder-Mead'", "Leave tx out"],
    ),
    "minimize(fun, x0, 'SLSQP')": (
        lambda: gc.minimize(bowl, START, "SLSQP"),
        ["'SLSQP'", "Leave tx out", "bounds="],
    ),
    "least_squares(fun, x0, method='trf')": (
        lambda: gc.least_squares(line_at, AB, method="trf"),
        ["method='trf'", "tx=levenberg_marquardt(None)"],
    ),
    "least_squares(fun, x0, 'lm')": (
        lambda: gc.least_squares(line_at, AB, "lm"),
        ["'lm'", "gc.levenberg_marquardt(None)"],
    ),
    "minimize(bounds=[(0, 1), (0, None)])": (
        lambda: gc.minimize(bowl, START, bounds=[(0, 1), (0, None)]),
        ["(lower, upper)", "(jnp.array([0.0, 0.0]), jnp.array([1.0, jnp.inf]))"],
    ),
    "minimize(bounds=({'a': 0.5}, None))": (
        lambda: gc.minimize(lambda p: line_at(p)[0] ** 2, AB, bounds=({"a": 0.5}, None)),
        ["the lower bound", "'b' is left out", "give it None"],
    ),
    "minimize(bounds=({'a': 0.5, 'c': 1.0}, None))": (
        lambda: gc.minimize(
            lambda p: line_at(p)[0] ** 2, AB, bounds=({"a": 0.5, "c": 1.0}, None)
        ),
        ["'c' is none of the names there, which are 'a', 'b'"],
    ),
    "minimize(bounds=('low', None))": (
        lambda: gc.minimize(bowl, START, bounds=("low", None)),
        ["the lower bound", "must be a number", "'low'"],
    ),
    "least_squares(x_scale=[1.0, 2.0])": (
        lambda: gc.least_squares(line_at, AB, x_scale=[1.0, 2.0]),
        ["x_scale", "a list in the place of a dict", "{'a': ..., 'b': ...}"],
    ),
    "least_squares(array, x_scale=[1.0, 2.0])": (
        lambda: gc.least_squares(lambda p: p, START, x_scale=[1.0, 2.0]),
        ["x_scale", "a list in the place of an array", "jnp.array([1.0, 2.0])"],
    ),
    "least_squares(sum of squares)": (
        lambda: gc.least_squares(bowl, START),
        ["one number for several parameters", "minimize(fun, x0)", "jnp.atleast_1d"],
    ),
    "least_squares(NumPy)": (
        lambda: gc.least_squares(lambda p: np.asarray(p) - 1.0, START),
        ["cannot be traced by JAX", "jax.numpy"],
    ),
    "minimize(float(x))": (
        lambda: gc.minimize(lambda p: float(p[0]), START),
        ["cannot be traced by JAX", "float()"],
    ),
    # Names
    "gc.inject_hyperparams(gc.adam)(1e-3)": (
        lambda: gc.inject_hyperparams,
        ["tunable(adam(1e-3))", "set_hyperparams(state, learning_rate=1e-4)"],
    ),
    "gc.multi_transform": (
        lambda: gc.multi_transform,
        ["partition(transforms, param_labels)", "groups([("],
    ),
    "gc.swa": (lambda: gc.swa, ["average_weights(sgd(0.1), start=1000, every=100)"]),
    "gc.curve_fit": (lambda: gc.curve_fit, ["least_squares(lambda p, x, y: model(p, x) - y"]),
    "gc.losses.cross_entropy": (
        lambda: gc.losses.cross_entropy,
        ["losses.softmax_cross_entropy_with_integer_labels(logits, labels)", "class numbers"],
    ),
    "gc.MSELoss": (lambda: gc.MSELoss, ["losses.squared_error(predictions, targets).mean()"]),
    "gc.losses.huber_los": (lambda: gc.losses.huber_los, ["gc.losses.huber_loss"]),
    "gc.schedules.CosineAnnealingLR": (
        lambda: gc.schedules.CosineAnnealingLR,
        ["gc.cosine_decay_schedule(1e-3, decay_steps=...)"],
    ),
    "gc.schedules.cosine": (
        lambda: gc.schedules.cosine,
        ["There are", "'cosine_decay_schedule'"],
    ),
    "gc.losses.adam": (lambda: gc.losses.adam, ["It is gradchain.adam"]),
    "gc.constraints.l1_bal": (lambda: gc.constraints.l1_bal, ["gc.constraints.l1_ball("]),
    # Reading and changing
    "metrics(state)['lr']": (
        lambda: gc.metrics(gc.watch(ADAM).init(PARAMS))["lr"],
        ["'lr'", "Is 'learning_rate' meant?"],
    ),
    "set_hyperparams without tunable": (
        lambda: gc.set_hyperparams(STATE, learning_rate=0.1),
        ["'learning_rate'", "tx = gc.tunable(tx)", "adopt_state(tx, state, params)"],
    ),
    "set_hyperparams(state, lr=0.1)": (
        lambda: gc.set_hyperparams(gc.tunable(ADAM).init(PARAMS), lr=0.1),
        ["'lr'", "Is 'learning_rate' meant?"],
    ),
    "reduce_on_plateau(mode='max')": (
        lambda: gc.reduce_on_plateau(mode="max"),
        ["give its negative: value=-score"],
    ),
    "reduce_on_plateau(threshold_mode='abs')": (
        lambda: gc.reduce_on_plateau(threshold_mode="abs"),
        ["one in its units is rtol=0.0, atol=0.01"],
    ),
    # Configs
    "@transform of a schedule": (
        lambda: gc.from_config({"@transform": "cosine_decay_schedule", "init_value": 1.0}),
        ["That is a Schedule", "{'@schedule': 'cosine_decay_schedule', ...}"],
    ),
    "@transform of a selection": (
        lambda: gc.from_config({"@transform": "weight_matrices"}),
        ["{'@selection': 'weight_matrices', ...}"],
    ),
    "{'class_name': 'Adam', 'config': {...}}": (
        lambda: gc.from_config({"class_name": "Adam", "config": {"lr": 0.1, "beta_1": 0.8}}),
        ["is no config", "{'@transform': 'adam', 'learning_rate': 0.1, 'b1': 0.8}"],
    ),
    # States and parameters of other programs
    "the state of what is now accumulated": (
        lambda: ACCUMULATED.update(GRADS, ADAM.init(PARAMS), PARAMS),
        ["lacks 'accumulate'", "'scale_by_adam'", "gradchain.adopt_state(tx, state, params)"],
    ),
    "the state of a part of the chain": (
        lambda: TX.update(GRADS, gc.sgd(0.1).init(PARAMS), PARAMS),
        ["lacks 'scale_by_adam'", "adopt_state(tx, state, params)"],
    ),
    "parameters that were a list": (
        lambda: ADAM.update(LAYERS, ADAM.init(LAYERS), RESTORED),
        [
            "at 'layers' updates have a list and params a dict",
            "from_state_dict(params, restored)",
        ],
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_message_of_a_wrong_call_mends_it(name):
    assert_message_has(*CALLS[name])


def test_a_type_error_inside_a_function_stays_as_it_is():
    def broken(step):
        raise TypeError("update() missing 1 required positional argument: 'state'")

    tx = gc.apply_when(broken, gc.sgd(0.1))
    with pytest.raises(TypeError, match="missing 1 required"):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)


# ---------------------------------------------------------------------------------------- in tables


def test_each_loss_and_schedule_of_optax_is_native_or_explained():
    for room in (optax.losses, optax.schedules):
        for name, found in vars(room).items():
            is_own = inspect.isfunction(found) and found.__module__.startswith("optax")
            if name[:1] != "_" and is_own and not is_public(name):
                assert "Here that is" in message(lambda name=name: getattr(gc, name)), name


def is_public(name):
    """Whether a room or the package has it."""
    return any(name in vars(room) for room in (gc, gc.losses, gc.schedules, gc.numerics))


LOSSES = [
    "CrossEntropyLoss",
    "NLLLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "MSELoss",
    "L1Loss",
    "SmoothL1Loss",
    "HuberLoss",
    "KLDivLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "TripletMarginLoss",
    "cross_entropy",
    "nll_loss",
    "mse_loss",
    "l1_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "smooth_l1_loss",
    "kl_div",
    "BinaryCrossentropy",
    "SparseCategoricalCrossentropy",
    "CategoricalCrossentropy",
    "MeanSquaredError",
    "MeanAbsoluteError",
    "binary_crossentropy",
    "sparse_categorical_crossentropy",
    "mean_squared_error",
    "KLDivergence",
    "log_loss",
    "BinaryFocalCrossentropy",
    "CategoricalHinge",
    "dice",
    "focal_loss",
]


def test_each_loss_of_torch_and_keras_is_explained():
    for name in LOSSES:
        for home in (gc, gc.losses):
            found = message(lambda home=home, name=name: getattr(home, name))
            assert re.search(r"(Here that is|Did you mean) .*(losses\.|jnp\.)", found), name


def test_the_calls_in_the_tables_bind():
    """Of losses, methods and results: each is there, and takes these arguments."""
    known = {"gc": gc, "losses": gc.losses, "jnp": jnp, "jax": jax}
    for text in foreign_names.LOSSES.values():
        for room, name, arguments in re.findall(r"(losses|jnp)\.(\w+)\(([\w, ]*)\)", text):
            function = getattr(known[room], name)
            inspect.signature(function).bind(*arguments.split(", "))
    for text in foreign_names.METHODS.values():
        assert isinstance(eval(text, vars(gc)), gc.GradientTransformation)
    result = gc.least_squares(line_at, AB)
    for text in foreign_names.RESULTS.values():
        for name in re.findall(r"result\.(\w+)", text):
            assert name in dir(result), text


def test_each_method_of_scipy_has_a_sentence():
    named = foreign_names.METHODS.keys() | foreign_names.NO_METHODS.keys()
    ours = {name.lower() for name in METHODS}
    assert ours <= foreign_names.METHODS.keys()
    theirs = [
        "nelder-mead",
        "powell",
        "cg",
        "bfgs",
        "newton-cg",
        "l-bfgs-b",
        "tnc",
        "cobyla",
        "cobyqa",
        "slsqp",
        "trust-constr",
        "dogleg",
        "trust-ncg",
        "trust-exact",
        "trust-krylov",
        "lm",
        "trf",
        "dogbox",
    ]
    assert set(theirs) <= named
    assert not foreign_names.METHODS.keys() & foreign_names.NO_METHODS.keys()


@pytest.mark.parametrize("name", [*foreign_names.RESULTS, "parms"])
def test_attributes_of_other_results_are_led_to_ours(name):
    result = gc.minimize(bowl, START)
    native = foreign_names.RESULTS.get(name, "Is 'params' meant?")
    with pytest.raises(AttributeError, match=re.escape(native)):
        getattr(result, name)
    assert not hasattr(Result, name)


# ----------------------------------------------------------------------------------- at the start


def test_a_start_that_has_converged_says_so():
    tiny = gc.minimize(lambda x: 1e-12 * bowl(x - 3.0), START)
    assert tiny.status is gc.minimization.Status.CONVERGED_GRADIENT and tiny.steps == 0
    assert "at the start" in tiny.message and "below tol" in tiny.message
    assert "rescale the function" in repr(tiny)
    moved = gc.minimize(bowl, START)
    assert moved.message == moved.status.words and "message" not in repr(moved)
    at_minimum = gc.minimize(bowl, jnp.zeros(2))
    assert at_minimum.message.endswith("at the start already")
    assert "rescale" not in gc.least_squares(line_at, {"a": 1.0, "b": 0.0}).message
    many = jax.vmap(lambda x: gc.minimize(bowl, x))(jnp.ones((3, 2)))
    assert many.message == "3 CONVERGED_GRADIENT"


def test_a_single_residual_of_a_single_parameter_is_solved():
    root = gc.least_squares(lambda x: x**2 - 2.0, 1.0)
    assert abs(root.params - 2**0.5) < 1e-5
    with pytest.raises(TypeError, match="one number for several"):
        gc.least_squares(lambda p: p["a"] + p["b"], AB)
    gc.least_squares(lambda p: jnp.atleast_1d(p["a"] + p["b"] - 1.0), AB)


if __name__ == "__main__":
    with jax.disable_jit():
        for name, (call, _) in CALLS.items():
            print(f"\n{name}\n    {message(call)}")
