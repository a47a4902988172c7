"""Code as users write it: type checkers find no fault in it, and it runs."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix
from flax import nnx
from flax.training.train_state import TrainState

import gradchain as gc
import gradchain.as_optax as dialect

params = {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
grads = jax.tree.map(jnp.ones_like, params)
weights = jax.tree.map(lambda p: p.ndim > 1, params)


def loss(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2)


# Hyperparameters: numbers, arrays, schedules of three kinds, plain functions of the step


def annotated(step: int) -> float:
    return 1e-3 * step


rate = gc.warmup_cosine_decay_schedule(0.0, 1e-3, 10, 100)
gc.adamw(1e-3)
gc.adamw(1)
gc.adamw(np.float64(1e-3))
gc.adamw(jnp.asarray(1e-3))
gc.adamw(rate)
gc.adamw(gc.schedules.inverse_sqrt_schedule(0.0, 1e-3, 10))
gc.adamw(optax.cosine_decay_schedule(1e-3, 100))
gc.adamw(lambda step: 1e-3 / (1 + step))
gc.adamw(lambda step: jnp.where(step < 10, 1e-3, 1e-4))
gc.adamw(annotated)
gc.adamw(learning_rate=1e-3, b1=lambda step: 0.9, eps=rate)
gc.sgd(0.1, momentum=None)
optax.adamw(rate)

# Schedules

warm = gc.linear_schedule(0.0, 1.0, 10).until(10) | gc.cosine_decay_schedule(1.0, 90)
gc.adamw(1e-3 * warm + 1e-5)
gc.adamw((warm - 0.5).clip(low=0.0).shift(3))
gc.adamw(warm * (lambda step: 1 + 0.1 * jnp.sin(step)))
values: jax.Array = warm(3) + warm(np.arange(10)) + warm(jnp.arange(10))
gc.join_schedules([warm, lambda step: 0.1], [100])
gc.linear_schedule(lambda step: 0.1, 0.0, 10)

# Which leaves

gc.adamw(1e-3, where="*kernel")
gc.adamw(1e-3, where=lambda path, leaf: leaf.ndim > 1)
gc.adamw(1e-3, where=gc.ndim_at_least(2))
gc.adamw(1e-3, where=gc.path_matches("kernel$"))
gc.adamw(1e-3, where=weights)
gc.freeze("*bias")

# Chains, groups and wrappers

tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(1e-3))
gc.chain(*tx.members.values())
by_label = {"weights": gc.adamw(1e-3), "rest": gc.adam(1e-3)}
gc.partition(by_label, lambda path, x: "weights" if x.ndim > 1 else "rest")
gc.partition({"weights": optax.adamw(1e-3), "rest": gc.freeze()}, {"dense": "weights"})
rules = [("*bias", gc.sgd(0.1)), (gc.ndim_at_least(3), gc.freeze())]
gc.groups(rules, default=gc.adamw(1e-3))
gc.groups([("*bias", {"weight_decay": 0.0}), (weights, gc.sgd(1.0))], default=gc.adamw(1e-3))
gc.masked(gc.scale_by_adam(), "*kernel")
gc.masked(gc.adamw(1e-3), weights, gc.freeze())
gc.accumulate(gc.adamw(1e-3), 4)
gc.accumulate(gc.adamw(1e-3), lambda step: 4)
gc.lookahead(gc.average_weights(gc.skip_nonfinite(gc.sam(gc.adam(rate), rho=0.01))))
gc.tunable(gc.adamw(1e-3), ("learning_rate",))
gc.apply_when(lambda step: step < 2, gc.clip_by_global_norm(1.0))
gc.lbfgs(line_search=gc.hager_zhang())
tx.replace(learning_rate=rate).insert_before("scale_by_adam", gc.clip(1.0)).named("all")
tx["scale_by_adam"].arguments["b1"]

# A step of training

state = tx.init(params)
updates, state = tx.update(grads, state, params)
updates, state = jax.jit(tx.update)(grads, state, params)
params = gc.apply_updates(params, updates)
params, state = tx.step(grads, state, params, value=1.0)
init, update = tx
size: jax.Array = gc.global_norm(updates)

# Pairs of optax and hand-written ones among ours

gc.chain(
    optax.clip_by_global_norm(1.0), gc.freeze("*bias"), gc.scale_by_adam(), optax.scale(-0.1)
)
gc.chain((lambda params: {}, lambda g, state, params=None: (g, state)), gc.adamw(1e-3))
gc.chain(optax.MultiSteps(optax.adam(1e-3), 4))
gc.GradientTransformation(lambda params: {}, lambda g, state, params=None: (g, state))
gc.cautious(optax.adamw(1e-3), downhill=True)
gc.masked(optax.scale_by_adam(), "*kernel")
gc.groups([("*bias", optax.sgd(0.1))], default=optax.adam(1e-3))
gc.minimize(loss, jnp.ones(2), optax.adam(1e-3), max_steps=2)
gc.minimize(loss, jnp.ones(2), gc.lbfgs(), max_steps=2)
gc.minimize(loss, jnp.ones(2), max_steps=2)

# Ours in optax, Flax, Equinox and optimistix

optax.chain(gc.adamw(1e-3))
optax.chain(optax.clip_by_global_norm(1.0), gc.adamw(1e-3))
optax.MultiSteps(gc.adam(1e-3), every_k_schedule=4)
optax.apply_if_finite(gc.adam(1e-3), max_consecutive_errors=3)
optax.masked(gc.adam(1e-3), weights)
optax.multi_transform({"a": gc.adam(1e-3), "b": optax.sgd(1e-3)}, {"dense": "a"})
optax.inject_hyperparams(gc.adam)(learning_rate=1e-3)
optax.chain(optax.GradientTransformationExtraArgs(*gc.sam(gc.adam(0.1))))
annotated_as_optax: optax.GradientTransformation = gc.adam(1e-3)
params = optax.apply_updates(params, updates)

model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
nnx.Optimizer(model, gc.adamw(1e-3), wrt=nnx.Param)
TrainState.create(apply_fn=nn.Dense(3).apply, params=params, tx=gc.adamw(1e-3))
arrays = eqx.filter(eqx.nn.Linear(2, 2, key=jax.random.key(0)), eqx.is_inexact_array)
gc.adamw(rate, where="*/weight").init(arrays)
optimistix.OptaxMinimiser(gc.sam(gc.adam(0.1), rho=0.01), rtol=1e-5, atol=1e-5)

# The dialect of optax

dialect.adamw(1e-3, 0.9, 0.999, 1e-8, 0.0, None, 0.1, lambda params: weights)
dialect.adamw(rate, weight_decay=0.1, mask=weights, mu_dtype=jnp.bfloat16, nesterov=True)
dialect.chain(dialect.clip_by_global_norm(1.0), dialect.sgd(1e-3, momentum=0.9, nesterov=True))
dialect.chain(optax.clip(1.0), dialect.adam(lambda count: 1e-3))
dialect.inject_hyperparams(dialect.adamw)(learning_rate=1e-3)
dialect.multi_transform({"a": dialect.adam(1e-3), "b": dialect.set_to_zero()}, {"dense": "a"})
dialect.MultiSteps(dialect.adam(1e-3), every_k_schedule=2)
dialect.contrib.prodigy(1.0, betas=(0.9, 0.999))

# One's own


@gc.transform
def scale_by_own_rms(decay: gc.Hyper = 0.9, eps: gc.Hyper = 1e-8):
    def rule(g, s):
        nu = decay * s["nu"] + (1 - decay) * g**2
        return g / (jnp.sqrt(nu) + eps), {"nu": nu}

    return gc.elementwise(rule, nu=gc.slots.like_param)


@gc.recipe
def rms_sgd(learning_rate: gc.Hyper, decay: gc.Hyper = 0.9):
    return scale_by_own_rms(decay), gc.scale_by_learning_rate(learning_rate)


@gc.transform
def twice(inner: gc.GradientTransformation):
    def rule(g, s, p, inner):
        u, new = inner(g, s["inner"], p)
        return gc.tree.map_leaves(lambda x: 2 * x, u), {"inner": new}

    return gc.around(rule, inner=inner)


@gc.schedule
def inverse_sqrt(step, peak: gc.Hyper, warmup: int):
    return peak * jnp.minimum(step / warmup, jnp.sqrt(warmup / jnp.maximum(step, 1)))


@gc.selection
def larger_than(path, leaf, n: int) -> bool:
    return leaf.size > n


twice(rms_sgd(inverse_sqrt(0.1, warmup=10), decay=lambda step: 0.9))
gc.adamw(1e-3, where=larger_than(100))

# Programs that were written for optax annotate with its classes.
pair: dialect.GradientTransformation = dialect.chain(dialect.clip(1.0), dialect.scale(-0.1))
exact: dialect.GradientTransformationExtraArgs = dialect.adam(1e-3)
exact = dialect.with_extra_args_support(pair)
exact = dialect.inject_hyperparams(dialect.adam)(learning_rate=gc.cosine_decay_schedule(1.0, 10))
init, update = dialect.masked(pair, {"kernel": True})
pair = dialect.GradientTransformation(init, update)
