"""Calls that a newcomer from torch, optax or Keras writes: the message alone mends them.

``python -m tests.integration.test_wrong_calls`` prints each message.
"""

import inspect
import re
import warnings
from types import SimpleNamespace

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import gradchain as gc
from gradchain import as_optax
from gradchain.core import foreign_names
from gradchain.core.advice import call_of, is_uncalled
from gradchain.core.factory import FACTORIES
from gradchain.minimization.fit import LeastSquaresResult
from tests.golden import interface

pytestmark = pytest.mark.usefixtures("without_jit")

PARAMS = {"dense": {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}}
GRADS = jax.tree.map(jnp.ones_like, PARAMS)
LOSS = jnp.float32(0.5)
TX = gc.adamw(1e-3)
STATE = TX.init(PARAMS)
ORDER = "update(grads, state, params)"

linear = lambda: nnx.Linear(2, 2, rngs=nnx.Rngs(0))
optimizer_of = lambda tx: nnx.Optimizer(linear(), tx, wrt=nnx.Param)
mask_of_tree = lambda params: jax.tree.map(lambda x: x.ndim > 1, params)
torch_adam = type("Adam", (), {"param_groups": [], "step": lambda self: None})()

#: A wrong call, and the words that the message must have.
CALLS = {
    # Factories that have not been called
    "nnx.Optimizer(model, gc.adam)": (
        lambda: optimizer_of(gc.adam),
        ["the function adam itself", "Call it: gc.adam(1e-3)"],
    ),
    "TrainState.create(tx=gc.adamw)": (
        lambda: TrainState.create(apply_fn=None, params=PARAMS, tx=gc.adamw),
        ["the function adamw itself", "Call it: gc.adamw(1e-3)"],
    ),
    "optax.chain(optax.clip(1.0), gc.adam)": (
        lambda: optax.chain(optax.clip(1.0), gc.adam).init(PARAMS),
        ["the function adam itself", "Call it: gc.adam(1e-3)"],
    ),
    "chain(clip(1.0), adam)": (
        lambda: gc.chain(gc.clip(1.0), gc.adam),
        ["chain", "'members'", "Call it: gc.adam(1e-3)"],
    ),
    "chain(clip_by_global_norm, adam(1e-3))": (
        lambda: gc.chain(gc.clip_by_global_norm, gc.adam(1e-3)),
        ["chain", "Call it: gc.clip_by_global_norm(1.0)"],
    ),
    "chain(optax.adam)": (
        lambda: gc.chain(optax.adam),
        ["chain", "'members'", "adam (alias.py", "call it: adam(1e-3)"],
    ),
    "adam(cosine_decay_schedule)": (
        lambda: gc.adam(gc.cosine_decay_schedule),
        ["adam", "'learning_rate'", "Call it: gc.cosine_decay_schedule(1e-3, decay_steps=...)"],
    ),
    "adamw(1e-3, where=ndim_at_least)": (
        lambda: gc.adamw(1e-3, where=gc.ndim_at_least),
        ["adamw", "'where'", "Call it: gc.ndim_at_least(2)"],
    ),
    "groups([('head/*', sgd)])": (
        lambda: gc.groups([("head/*", gc.sgd)]),
        ["groups", "'rules'", "Call it: gc.sgd(1e-3)"],
    ),
    "minimize(f, x, 'BFGS')": (
        lambda: gc.minimize(lambda x: x**2, 1.0, "BFGS"),
        ["minimize", "tx", "'BFGS'", "gc.bfgs()"],
    ),
    "minimize(f, x, method='BFGS', jac=True)": (
        lambda: gc.minimize(lambda x: x**2, 1.0, method="BFGS", jac=True),
        ["minimize", "method='BFGS'", "'tx'", "tx=bfgs()", "'jac'", "Leave it out"],
    ),
    "describe(adam, params)": (
        lambda: gc.describe(gc.adam, PARAMS),
        ["describe", "Call it: gc.adam(1e-3)"],
    ),
    # Members of chains
    "chain([clip(1.0), adam(1e-3)])": (
        lambda: gc.chain([gc.clip(1.0), gc.adam(1e-3)]),
        ["chain", "'members'", "one by one", "chain(*members)"],
    ),
    "chain({'a': adam(1e-3)})": (
        lambda: gc.chain({"a": gc.adam(1e-3)}),
        ["chain", "'members'", "first.named('name')"],
    ),
    "chain(clip(1.0), 'adam')": (
        lambda: gc.chain(gc.clip(1.0), "adam"),
        ["chain", "'members'", "'adam'", "gc.adam(1e-3)"],
    ),
    "chain(torch.optim.Adam(...))": (
        lambda: gc.chain(torch_adam),
        ["chain", "'members'", "Adam object", "gc.adam(1e-3)"],
    ),
    "clip_by_global_norm(adam(1e-3), 1.0)": (
        lambda: gc.clip_by_global_norm(gc.adam(1e-3), 1.0),
        ["clip_by_global_norm", "'max_norm'", "adam(learning_rate=0.001", "chain(first, second)"],
    ),
    "accumulate(4, adam(1e-3))": (
        lambda: gc.accumulate(4, gc.adam(1e-3)),
        ["accumulate", "'inner'", "not 4", "accumulate(inner, every)"],
    ),
    "average_weights(0.999)": (
        lambda: gc.average_weights(0.999),
        ["average_weights", "'inner'", "0.999", "average_weights(inner, decay=None"],
    ),
    # Arguments of other libraries
    "adam(lr=1e-3)": (
        lambda: gc.adam(lr=1e-3),
        ["adam", "'lr' (lr=0.001)", "learning_rate=0.001"],
    ),
    "adam(model.parameters(), lr=1e-3)": (
        lambda: gc.adam(iter([jnp.ones(2)]), lr=1e-3),
        ["adam", "learning_rate=0.001", "tx.init(params)"],
    ),
    "adam(params)": (
        lambda: gc.adam(PARAMS),
        ["adam", "'learning_rate'", "a dict of arrays", "tx.init(params)"],
    ),
    "adam(1e-3, betas=(0.9, 0.99))": (
        lambda: gc.adam(1e-3, betas=(0.9, 0.99)),
        ["adam", "betas=(0.9, 0.99)", "b1=0.9, b2=0.99"],
    ),
    "adam(1e-3, (0.9, 0.99))": (
        lambda: gc.adam(1e-3, (0.9, 0.99)),
        ["adam", "'b1'", "(0.9, 0.99)", "b1=0.9, b2=0.99."],
    ),
    "adam(1e-3, beta_1=0.9, epsilon=1e-7)": (
        lambda: gc.adam(1e-3, beta_1=0.8, epsilon=1e-7),
        ["adam", "beta_1=0.8", "b1=0.8", "epsilon=1e-07", "eps=1e-07"],
    ),
    "adam(1e-3, weight_decay=0.1)": (
        lambda: gc.adam(1e-3, weight_decay=0.1),
        ["adam", "weight_decay=0.1", "adamw", "chain(add_decayed_weights("],
    ),
    "adam(1e-3, clipnorm=1.0)": (
        lambda: gc.adam(1e-3, clipnorm=1.0),
        ["adam", "clipnorm=1.0", "chain(clip_by_norm(1.0)"],
    ),
    "adam(1e-3, amsgrad=True)": (
        lambda: gc.adam(1e-3, amsgrad=True),
        ["adam", "amsgrad=True", "amsgrad(1e-3)"],
    ),
    "adam(1e-3, mu_dtype=bfloat16)": (
        lambda: gc.adam(1e-3, mu_dtype=jnp.bfloat16),
        [
            "adam",
            "'mu_dtype'",
            "storage(adam(1e-3), mu='bfloat16')",
            "as_optax.adam(1e-3, mu_dtype='bfloat16')",
        ],
    ),
    "adamw(1e-3, mask=f)": (
        lambda: gc.adamw(1e-3, mask=mask_of_tree),
        ["adamw", "'mask'", "'where'", "where=weight_matrices()"],
    ),
    "adamw(1e-3, where=lambda params: tree)": (
        lambda: gc.adamw(1e-3, where=mask_of_tree),
        ["adamw", "'where'", "(params)", "lambda path, leaf", "gc.tree.OfTree(function)"],
    ),
    "adamw(1e-3, where=['*bias', '*scale'])": (
        lambda: gc.adamw(1e-3, where=["*bias", "*scale"]),
        ["adamw", "'where'", "['*bias', '*scale']", "path_matches('bias$|scale$')"],
    ),
    "rmsprop(1e-2, alpha=0.99)": (
        lambda: gc.rmsprop(1e-2, alpha=0.99),
        ["rmsprop", "alpha=0.99", "decay=0.99"],
    ),
    "accumulate(adam(1e-3), every_k_schedule=4)": (
        lambda: gc.accumulate(gc.adam(1e-3), every_k_schedule=4),
        ["accumulate", "every_k_schedule=4", "every=4"],
    ),
    "adam('1e-3')": (
        lambda: gc.adam("1e-3"),
        ["adam", "'learning_rate'", "'1e-3'", "without quotes: 0.001"],
    ),
    "adam({'head': 1e-3})": (
        lambda: gc.adam({"head": 1e-3}),
        ["adam", "'learning_rate'", "{'head': 0.001}", "groups(["],
    ),
    "lbfgs(lr=1.0, max_iter=20)": (
        lambda: gc.lbfgs(lr=1.0, max_iter=20, history_size=5),
        ["lbfgs", "lr=1.0", "Leave it out", "max_steps=", "memory_size=5"],
    ),
    # Schedules
    "piecewise_constant_schedule(0.1, [10, 20])": (
        lambda: gc.piecewise_constant_schedule(0.1, [10, 20]),
        ["piecewise_constant_schedule", "boundaries_and_scales", "10", "{1000: 0.1, 2000: 0.1}"],
    ),
    "cosine_decay_schedule(0.1, T_max=100)": (
        lambda: gc.cosine_decay_schedule(0.1, T_max=100),
        ["cosine_decay_schedule", "T_max=100", "decay_steps=100"],
    ),
    "exponential_decay(initial_learning_rate=0.1, ...)": (
        lambda: gc.exponential_decay(initial_learning_rate=0.1, decay_steps=9, decay_rate=0.9),
        ["exponential_decay", "init_value=0.1", "transition_steps=9"],
    ),
    "join_schedules([a, b], 100)": (
        lambda: gc.join_schedules([gc.constant_schedule(1.0), gc.constant_schedule(2.0)], 100),
        ["join_schedules", "'boundaries'", "a list", "not 100"],
    ),
    # Updates
    "update(grads, params, state)": (
        lambda: TX.update(GRADS, PARAMS, STATE),
        ["'params' looks like the state", "'scale_by_adam'", "Swapped?", ORDER],
    ),
    "update(state, grads, params)": (
        lambda: TX.update(STATE, GRADS, PARAMS),
        ["'updates' looks like the state", "Swapped?", ORDER],
    ),
    "update(grads, params)": (
        lambda: TX.update(GRADS, PARAMS),
        ["the state is a tree like the gradients", "'dense'", "these the parameters?", ORDER],
    ),
    "step(params, state, grads), some frozen": (
        lambda: TX.step(PARAMS, STATE, {"dense": {**GRADS["dense"], "bias": None}}),
        ["'dense/bias'", "its parameter is None", "step(grads, state, params)"],
    ),
    "step(grads, state, params), per example": (
        lambda: TX.step(PARAMS, STATE, jax.tree.map(lambda x: jnp.stack([x, x]), GRADS)),
        ["'dense/bias'", "float32[2]", "float32[2,2]", "step(grads, state, params)"],
    ),
    "update(loss, state, params)": (
        lambda: TX.update(LOSS, STATE, PARAMS),
        ["one array, float32[]", "Is it the loss?", "jax.grad(loss_fn)(params)"],
    ),
    "update(loss, state)": (
        lambda: gc.adam(1e-3).update(LOSS, gc.adam(1e-3).init(PARAMS)),
        ["one array, float32[]", "'dense/bias'", "Is it the loss?", "jax.grad(loss_fn)(params)"],
    ),
    "update((loss, grads), state, params)": (
        lambda: TX.update((LOSS, GRADS), STATE, PARAMS),
        ["updates are a pair", "loss, grads = jax.value_and_grad(loss_fn)(params)"],
    ),
    "params = update(...), and again": (
        lambda: TX.update(GRADS, STATE, TX.update(GRADS, STATE, PARAMS)),
        ["params are a pair", "updates, state = tx.update(grads, state, params)"],
    ),
    "state = update(...), and again": (
        lambda: TX.update(GRADS, TX.update(GRADS, STATE, PARAMS), PARAMS),
        ["the state is a tuple", "updates, state = tx.update("],
    ),
    "update(grads, state, params, loss=loss)": (
        lambda: TX.update(GRADS, STATE, PARAMS, loss=LOSS),
        ["'loss'", "value=loss"],
    ),
    "update(grads, state, params, learning_rate=0.1)": (
        lambda: TX.update(GRADS, STATE, PARAMS, learning_rate=0.1),
        ["'learning_rate'", "tx.replace(learning_rate=0.1)"],
    ),
    "init(nn.Dense(3))": (
        lambda: TX.init(nn.Dense(3)),
        ["init", "the whole tree is a Dense", "model.init(key, x)['params']", "tx.init(params)"],
    ),
    # Reading and changing
    "tx.replace(lr=0.1)": (
        lambda: TX.replace(lr=0.1),
        ["'lr'", "learning_rate=0.1"],
    ),
    "tx.zero_grad()": (
        lambda: TX.zero_grad(),
        ["adamw", "'zero_grad'", "nothing to reset"],
    ),
    "tx.learning_rate": (
        lambda: TX.learning_rate,
        ["adamw", "'learning_rate'", "gc.hyperparams(tx, state)", "tx.replace"],
    ),
    "tx.apply_gradients(zip(grads, params))": (
        lambda: TX.apply_gradients(GRADS),
        ["adamw", "'apply_gradients'", "tx.step(grads, state, params)"],
    ),
    "hyperparams(tx, state)['lr']": (
        lambda: gc.hyperparams(TX, STATE)["lr"],
        ["'lr'", "Is 'learning_rate' meant?"],
    ),
    "metrics(state)['gradient_norm'] without watch": (
        lambda: gc.metrics(STATE)["gradient_norm"],
        ["'gradient_norm'", "tx = gc.watch(tx)"],
    ),
    "metrics(tx)": (
        lambda: gc.metrics(TX),
        ["metrics", "adamw(", "metrics(state)"],
    ),
    "gc.Adam": (lambda: gc.Adam, ["'Adam'", "gc.adam(1e-3)"]),
    "gc.MultiSteps": (lambda: gc.MultiSteps, ["'MultiSteps'", "accumulate", "as_optax"]),
    "gc.cosine_restarts_schedule": (
        lambda: gc.cosine_restarts_schedule,
        ["'cosine_restarts_schedule'", "gradchain.schedules.cosine_restarts_schedule"],
    ),
}


def message(call):
    """The message of a call that is wrong, in whatever kind of error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            call()
        except (TypeError, ValueError, AttributeError, KeyError, UserWarning) as error:
            return f"{type(error).__name__}: {error}"
    return None


def assert_message_has(call, words):
    """The call is refused in a short message with all of the words."""
    found = message(call)
    assert found is not None, "it is taken for right"
    assert not [word for word in words if word not in found], found
    assert len(found) < 700  # it is read


@pytest.mark.parametrize("name", CALLS)
def test_the_message_of_a_wrong_call_mends_it(name):
    assert_message_has(*CALLS[name])


# ------------------------------------------------------------------------------ uncalled factories

OURS = {
    name: factory
    for name, factory in FACTORIES.items()
    if factory.function.__module__.startswith("gradchain.")
    and ".as_optax" not in factory.function.__module__
}
MAKERS = {name: make for name, make in vars(gc).items() if is_uncalled(make)}
TRANSFORMS = [name for name in MAKERS if OURS[name].kind is gc.GradientTransformation]
TAKING = [
    (name, argument)
    for name, factory in OURS.items()
    for argument in factory.signature.parameters
    if factory.mentions(argument, "GradientTransformation") or factory.kinds[argument].is_hyper
]


def test_every_transformation_that_is_not_called_says_so_at_foreign_borders():
    assert len(TRANSFORMS) > 180
    for name in TRANSFORMS:
        for method in (MAKERS[name].init, MAKERS[name].update):
            with pytest.raises(TypeError, match=rf"the function {name} itself.* gc\.{name}\("):
                method(PARAMS)


def test_every_argument_refuses_a_factory_that_is_not_called():
    """Of a transformation where a transformation stands, of a schedule where a number does."""
    for name, argument in TAKING:
        factory = OURS[name]
        is_number = factory.kinds[argument].is_hyper
        given = gc.cosine_decay_schedule if is_number else gc.adam
        call = "cosine_decay_schedule" if is_number else "adam"
        with pytest.raises(TypeError, match=rf"{name}: argument '{argument}'.* gc\.{call}\("):
            factory.admit(argument, given)


def test_the_calls_that_errors_show_are_found_under_their_names():
    for make in MAKERS.values():
        name, _, _ = call_of(make).partition("(")
        assert eval(name, {"gc": gc}) is make
    assert call_of(gc.constraints.box) == "gc.constraints.box()"
    assert call_of(gc.schedules.warmup_schedule).startswith("gc.schedules.warmup_schedule(")


def test_a_factory_that_takes_a_factory_is_let_through():
    @gc.recipe
    def made_twice_in_wrong_calls(make, rate: gc.Hyper):
        return gc.chain(make(rate), gc.scale(0.5))

    assert list(made_twice_in_wrong_calls(gc.sgd, 0.1).members)[-1] == "scale"
    as_optax.inject_hyperparams(as_optax.adam)(1e-3)


# ---------------------------------------------------------------------------------- foreign names


def arguments_of_ours():
    signatures = [factory.signature for factory in OURS.values()]
    signatures += map(inspect.signature, (gc.minimize, gc.least_squares))
    return {k for signature in signatures for k in signature.parameters}


def test_native_names_in_the_table_are_arguments_of_ours():
    native = {n for names in foreign_names.ARGUMENTS.values() for n in names.split()}
    assert native - arguments_of_ours() == set()


TEXTS = [*foreign_names.ELSEWHERE.values(), *foreign_names.EXTRAS.values()]
TEXTS += [*foreign_names.ATTRIBUTES.values(), *foreign_names.NAMES.values()]


def test_ways_out_in_the_tables_are_there():
    known = SimpleNamespace(gc=gc, gradchain=gc, tx=TX, as_optax=as_optax, jax=jax)
    known.result = LeastSquaresResult
    elsewhere = {"loss_fn", "step", "update", "zero", "batch", "model"}
    for text in dict.fromkeys(TEXTS):
        for name in re.findall(r"([\w.]+)\(", text):
            first, *rest = name.split(".")
            if first in elsewhere:
                continue
            found = getattr(known, first, None) or getattr(gc, first, None)
            found = found or getattr(gc.schedules, first, None)
            for part in rest:
                found = getattr(found, part)
            assert found is not None, f"{name} in {text!r}"


def arguments_of_peers():
    """The arguments of optax's optimizers, wrappers and schedules."""
    for name, found in vars(optax).items():
        if inspect.isfunction(found) and not name.startswith("_"):
            yield from ((name, argument) for argument in inspect.signature(found).parameters)


def test_each_argument_of_optax_is_known_or_explained():
    """In a factory of the same name."""
    left = []
    for name, argument in arguments_of_peers():
        factory = OURS.get(name)
        if factory is None or argument in factory.signature.parameters:
            continue
        if argument in ("args", "kwargs"):
            continue
        text = message(lambda factory=factory, k=argument: factory.bind((), {k: 0.5}))
        shown = text.partition("It is called as")[0]
        if not re.search(rf"'{argument}'( is '|: )|Did you mean", shown):
            left.append((name, argument))
    assert left == []


# ----------------------------------------------------------------------------------- rows of values

ROWS = [(n, k) for n, f in interface.FACTORIES.items() if n in OURS for k in sorted(f.rows)]


@pytest.mark.parametrize(("name", "argument"), ROWS)
def test_one_value_where_a_row_is_asked_for_is_refused(name, argument):
    for value in (0.5, 3, "text", jnp.float32(1.0)):
        with pytest.raises(TypeError, match=rf"{name}: argument '{argument}'.*{name}\("):
            OURS[name].admit(argument, value)


if __name__ == "__main__":
    with jax.disable_jit():
        for name, (call, _) in CALLS.items():
            print(f"\n{name}\n    {message(call)}")
