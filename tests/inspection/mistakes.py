"""Rows of ``gradchain.inspection.mistakes``."""

import jax
import jax.numpy as jnp
import optax

import gradchain as gc

PARAMS = {
    "dense": {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))},
    "head": {"kernel": jnp.ones((2, 1))},
}
HALF = jax.tree.map(lambda x: x.astype(jnp.float16), PARAMS)
EVERYTHING = ("params", "value", "grad", "value_fn", "key")
WARM_UP_TO_ONE = gc.warmup_constant_schedule(0.9, 1.0, 700)
SWEPT_NOISE = jax.tree.map(lambda x: jnp.array([x, -x]), gc.add_noise(0.1, 0.5))
WARM_UP = gc.warmup_cosine_decay_schedule(0.0, 0.1, 100, 1000)

GROWING = gc.piecewise_constant_schedule(2.0, {100: 2.0})


@gc.transform
def doubled():
    return gc.elementwise(lambda g: 2 * g)


@gc.recipe
def clipped_late(learning_rate: gc.Hyper):
    return gc.chain(gc.adam(learning_rate), gc.clip(1.0))


def by_python(step):
    return 0.1 if step < 10 else 0.01


adam, decay, rate = (
    gc.scale_by_adam(),
    gc.add_decayed_weights(0.1),
    gc.scale_by_learning_rate(0.1),
)
by_ndim = lambda path, x: "matrix" if x.ndim > 1 else "rest"

#: For each mistake: what is found, and in what.
FIRES = [
    ("mistake", "no_learning_rate", "", gc.chain(gc.clip(1.0), adam), {}),
    ("mistake", "no_learning_rate", "", gc.chain(gc.clip(1.0), adam).named("all"), {}),
    ("mistake", "no_learning_rate", "", gc.lookahead(adam), {}),
    ("note", "no_learning_rate", "", adam, {}),
    ("note", "no_learning_rate", "", gc.cautious(gc.chain(gc.clip(1.0), adam)), {}),
    (
        "mistake",
        "no_learning_rate",
        "groups",
        gc.groups([("head/*", adam)], default=gc.sgd(0.1)),
        {},
    ),
    ("mistake", "no_learning_rate", "switch", gc.switch(gc.adam(0.1), at=3, then=adam), {}),
    (
        "mistake",
        "no_learning_rate",
        "parallel",
        gc.parallel(gc.adam(0.1), gc.scale_by_sign()),
        {},
    ),
    (
        "mistake",
        "no_learning_rate",
        "apply_when",
        gc.apply_when(lambda step: step < 3, gc.adam(0.1), others=gc.identity()),
        {},
    ),
    (
        "mistake",
        "infinite_learning_rate",
        "scale_by_learning_rate",
        gc.adam(lambda step: jnp.where(step < 0, 0.1, jnp.nan)),
        {},
    ),
    (
        "warning",
        "out_of_range",
        "clip_by_global_norm",
        gc.chain(gc.clip_by_global_norm(gc.linear_schedule(1.0, -1.0, 9)), gc.sgd(0.1)),
        {"steps": 10},
    ),
    ("mistake", "out_of_range", "scale_by_adam", gc.adam(0.1, b1=lambda step: 1.0), {}),
    (
        "mistake",
        "out_of_range",
        "scale_by_adam",
        gc.adam(0.1, b2=WARM_UP_TO_ONE),
        {"steps": 1000},
    ),
    ("mistake", "out_of_range", "add_noise", gc.chain(SWEPT_NOISE, gc.sgd(0.1)), {}),
    (
        "warning",
        "out_of_range",
        "project",
        gc.chain(
            gc.sgd(0.1),
            gc.project(gc.constraints.l2_ball(lambda step: jnp.where(step < 5, 1.0, -1.0))),
        ),
        {"steps": 10},
    ),
    ("mistake", "not_a_schedule", "scale_by_learning_rate", gc.adam(by_python), {}),
    ("mistake", "does_not_fit", "", gc.adam(lambda step: jnp.ones(3)), {}),
    (
        "mistake",
        "infinite_learning_rate",
        "scale_by_learning_rate",
        gc.adam(gc.constant_schedule(float("inf"))),
        {"steps": 10},
    ),
    (
        "mistake",
        "no_learning_rate",
        "masked",
        gc.masked(gc.sgd(0.1), "head/*", gc.identity()),
        {},
    ),
    (
        "mistake",
        "two_learning_rates",
        "scale_by_learning_rate_2",
        gc.chain(gc.adam(0.1), gc.sgd(0.1)),
        {},
    ),
    (
        "mistake",
        "two_learning_rates",
        "scale_by_learning_rate",
        gc.chain(gc.accumulate(gc.adam(0.1), 2), rate),
        {},
    ),
    (
        "mistake",
        "two_learning_rates",
        "scale_by_learning_rate",
        gc.chain(gc.madgrad(0.1), rate),
        {},
    ),
    ("mistake", "sign_twice", "scale", gc.chain(gc.adam(0.1), gc.scale(-1.0)), {}),
    (
        "mistake",
        "sign_twice",
        "scale_by_learning_rate",
        gc.chain(gc.scale(-1.0), gc.adam(0.1)),
        {},
    ),
    (
        "mistake",
        "sign_twice",
        "scale_by_schedule",
        gc.chain(gc.sgd(0.1), gc.scale_by_schedule(lambda t: -jnp.exp2(-t.astype(float)))),
        {},
    ),
    ("mistake", "negative_learning_rate", "scale_by_learning_rate", gc.adam(-0.1), {}),
    ("mistake", "zero_learning_rate", "scale_by_learning_rate", gc.adam(0.0), {}),
    ("mistake", "clip_after_scaling", "clip", gc.chain(gc.adam(0.1), gc.clip(1.0)), {}),
    ("mistake", "clip_after_scaling", "clip", clipped_late(0.1), {}),
    (
        "mistake",
        "clip_after_scaling",
        "clip_by_block_rms",
        gc.chain(gc.sgd(0.1), gc.clip_by_block_rms(1.0)),
        {},
    ),
    ("warning", "clip_after_scaling", "clip", gc.chain(adam, gc.clip(1.0), rate), {}),
    ("warning", "decay_before_adaptive", "scale_by_adam", gc.chain(decay, gc.adam(0.1)), {}),
    (
        "warning",
        "decay_before_adaptive",
        "cautious/inner/scale_by_adam",
        gc.chain(decay, gc.cautious(adam), rate),
        {},
    ),
    ("mistake", "decay_uphill", "add_decayed_weights", gc.chain(gc.adam(0.1), decay), {}),
    (
        "mistake",
        "decay_uphill",
        "add_independent_weight_decay",
        gc.chain(adam, gc.add_independent_weight_decay(0.1), rate),
        {},
    ),
    (
        "mistake",
        "not_the_last",
        "average_weights",
        gc.chain(gc.average_weights(gc.sgd(0.1)), gc.scale(0.5)),
        {},
    ),
    ("mistake", "not_the_last", "lookahead", gc.chain(gc.lookahead(adam), rate), {}),
    (
        "mistake",
        "not_the_last",
        "project",
        gc.chain(adam, gc.project(gc.constraints.non_negative()), rate),
        {},
    ),
    (
        "warning",
        "momentum_twice",
        "scale_by_adam",
        gc.chain(gc.add_momentum(0.9), gc.adam(0.1)),
        {},
    ),
    (
        "warning",
        "clip_in_groups",
        "groups/chain/clip_by_global_norm",
        gc.groups(
            [("head/*", gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(0.1)))], default=gc.sgd(0.1)
        ),
        {},
    ),
    (
        "warning",
        "outside_accumulate",
        "clip_by_global_norm",
        gc.chain(gc.clip_by_global_norm(1.0), gc.accumulate(gc.adam(0.1), 2)),
        {},
    ),
    (
        "warning",
        "outside_accumulate",
        "skip_nonfinite/inner/clip",
        gc.skip_nonfinite(gc.chain(gc.clip(1.0), gc.watch(gc.accumulate(gc.adam(0.1), GROWING)))),
        {},
    ),
    (
        "warning",
        "outside_accumulate",
        "average_weights",
        gc.average_weights(gc.skip_nonfinite(gc.accumulate(gc.adam(0.1), 2))),
        {},
    ),
    ("mistake", "missing_arguments", "scale_by_momo", gc.momo(), {}),
    (
        "mistake",
        "missing_arguments",
        "accumulate/inner/scale_by_polyak",
        gc.accumulate(gc.polyak_sgd(), 2),
        {},
    ),
    ("mistake", "missing_arguments", "add_decayed_weights", gc.adamw(0.1), {"passes": ()}),
    ("mistake", "missing_arguments", "sam", gc.sam(gc.sgd(0.1)), {"passes": ("params", "value")}),
    ("mistake", "unknown_arguments", "", gc.adam(0.1), {"passes": ("params", "vlaue")}),
    ("warning", "float16_without_loss_scale", "", gc.adam(0.1), {"params": HALF}),
    ("warning", "zero_eps", "scale_by_adam", gc.adam(0.1, eps=0.0), {}),
    (
        "mistake",
        "reduces_too_late",
        "exchange",
        gc.chain(gc.clip_by_global_norm(1.0), gc.distributed.exchange("int8"), gc.adam(0.1)),
        {},
    ),
    (
        "warning",
        "is_not_outermost",
        "skip_nonfinite/inner/zero1",
        gc.skip_nonfinite(gc.distributed.zero1(gc.adam(0.1))),
        {},
    ),
    (
        "mistake",
        "copies_lose_their_bits",
        "storage",
        gc.storage(gc.master_weights(gc.adam(0.1)), "bfloat16"),
        {},
    ),
    (
        "mistake",
        "small_divisors_become_zero",
        "storage",
        gc.storage(gc.adam(0.1), "int8"),
        {},
    ),
    (
        "mistake",
        "selects_nothing",
        "groups/matrices/orthogonalize",
        gc.muon(0.1, fold={"*/qkv": "d (3 n) -> 3 d n"}),
        {"params": PARAMS},
    ),
    (
        "mistake",
        "selects_nothing",
        "add_decayed_weights",
        gc.adamw(0.1, where="*/weight"),
        {"params": PARAMS},
    ),
    (
        "warning",
        "selects_nothing",
        "add_decayed_weights",
        gc.adamw(0.1, where=gc.ndim_at_least(3)),
        {"params": PARAMS},
    ),
    (
        "mistake",
        "selects_nothing",
        "freeze",
        gc.chain(gc.freeze("encoder/*"), gc.sgd(0.1)),
        {"params": PARAMS},
    ),
    (
        "mistake",
        "empty_group",
        "groups",
        gc.groups([("head/*", gc.sgd(0.2)), ("*head*", gc.freeze())], default=gc.sgd(0.1)),
        {"params": PARAMS},
    ),
    (
        "mistake",
        "empty_group",
        "masked",
        gc.chain(gc.masked(gc.clip(1.0), "bias"), gc.sgd(0.1)),
        {"params": PARAMS},
    ),
    (
        "warning",
        "empty_group",
        "partition",
        gc.partition({"matrix": gc.sgd(0.1), "rest": gc.sgd(0.2), "other": gc.sgd(0.3)}, by_ndim),
        {"params": PARAMS},
    ),
    ("mistake", "freezes_everything", "freeze", gc.chain(gc.freeze(), gc.sgd(0.1)), {}),
    (
        "mistake",
        "freezes_everything",
        "",
        gc.chain(gc.freeze("*"), gc.sgd(0.1)),
        {"params": PARAMS},
    ),
    ("note", "decays_vectors", "add_decayed_weights", gc.adamw(0.1), {"params": PARAMS}),
    ("mistake", "still_rising", "scale_by_learning_rate", gc.sgd(WARM_UP), {"steps": 50}),
    (
        "warning",
        "still_rising",
        "scale_by_learning_rate",
        gc.sgd(lambda step: 0.1 * step.astype(float)),
        {"steps": 50},
    ),
    (
        "mistake",
        "still_rising",
        "accumulate/inner/scale_by_learning_rate",
        gc.accumulate(gc.sgd(WARM_UP), 8),
        {"steps": 640},
    ),
    ("mistake", "ends_early", "scale_by_learning_rate", gc.sgd(WARM_UP), {"steps": 2000}),
    (
        "mistake",
        "ends_early",
        "scale_by_learning_rate",
        gc.sgd(gc.constant_schedule(0.0)),
        {"steps": 10},
    ),
    ("note", "decay_unfinished", "scale_by_learning_rate", gc.sgd(WARM_UP), {"steps": 500}),
    ("mistake", "does_not_fit", "", gc.groups([("head/*", gc.sgd(0.1))]), {"params": PARAMS}),
    ("mistake", "does_not_fit", "", gc.sgd(0.1), {"params": {"a": "text"}}),
    ("mistake", "does_not_fit", "", gc.masked(gc.sgd(0.1), "head/*"), {}),  # which is refused
    (
        "mistake",
        "does_not_fit",
        "",
        gc.partition({"a": gc.sgd(0.1)}, by_ndim),
        {"params": PARAMS},
    ),
    (
        "mistake",
        "does_not_fit",
        "",
        gc.chain(optax.masked(optax.sgd(0.1), {"a": True})),
        {"params": PARAMS},
    ),
]

#: What may look like a mistake and is none; nothing but notes may be found.
SILENT = [
    (
        gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(WARM_UP, where=gc.ndim_at_least(2))),
        {"steps": 1000},
    ),
    (gc.chain(gc.clip(1.0), adam, gc.scale(-0.1)), {}),
    (gc.chain(gc.clip(1.0), adam, gc.scale_by_schedule(lambda step: jnp.float32(-0.1))), {}),
    # Three turns are one.
    (gc.chain(gc.clip(1.0), adam, gc.scale(-1.0), gc.scale(-1.0), rate), {}),
    (gc.chain(adam, gc.scale(-1.0), gc.scale_by_learning_rate(-0.1)), {}),
    (
        gc.chain(gc.sgd(0.1), gc.scale(0.5), gc.reduce_on_plateau()),
        {"passes": ("params", "value")},
    ),
    (
        gc.apply_when(lambda step: step > 9, gc.chain(gc.sgd(0.1), gc.reduce_on_plateau())),
        {"passes": ("params", "value")},
    ),
    (gc.chain(gc.clip(1.0), doubled()), {}),  # who knows what it does
    (gc.chain(gc.clip(1.0), optax.adam(0.1)), {}),
    (gc.chain(optax.adam(0.1), gc.stateless(lambda g, p: g)), {}),
    (
        gc.chain(
            gc.clip(1.0), gc.GradientTransformation(lambda p: {}, lambda g, s, p=None: (g, s))
        ),
        {},
    ),
    (gc.chain(adam, rate).named("all"), {}),
    (gc.graft(gc.sgd(0.1), gc.adam(0.1)), {}),
    (gc.chain(gc.apply_when(lambda step: step < 3, gc.clip(1.0)), gc.adam(0.1)), {}),
    (gc.apply_when(lambda step: step < 3, gc.adam(0.1)), {}),
    (gc.switch(gc.adam(0.1), at=3, then=gc.chain(adam, gc.scale(-0.1))), {}),
    (gc.chain(gc.parallel(adam, gc.scale_by_sign()), rate), {}),
    (gc.parallel(gc.adam(0.1), gc.freeze()), {}),
    (
        gc.chain(
            gc.masked(gc.sgd(0.1), "head/*", gc.identity()),
            gc.masked(gc.adam(0.1), "dense/*", gc.identity()),
        ),
        {},
    ),
    (
        gc.chain(gc.groups([("head/*", gc.scale_by_sign())], default=adam), rate),
        {"params": PARAMS},
    ),
    (gc.chain(adam, gc.clip_by_block_rms(1.0), rate), {}),
    (
        gc.chain(gc.masked(adam, "head/*"), gc.masked(gc.clip(1.0), "dense/*"), rate),
        {"params": PARAMS},
    ),
    (gc.chain(gc.add_decayed_weights(0.0), gc.adam(0.1)), {}),
    (gc.chain(decay, gc.sgd(0.1, momentum=0.9)), {}),
    (gc.chain(gc.adam(0.1), gc.add_independent_weight_decay(1e-4)), {}),
    (gc.chain(gc.add_momentum(0.9), gc.scale_by_adam(b1=0.0), rate), {}),
    (
        gc.chain(
            gc.sgd(0.1),
            gc.project(gc.constraints.non_negative(), "head/*"),
            gc.prox(gc.penalties.l1(0.1), 0.1, "dense/*"),
        ),
        {},
    ),
    (gc.average_weights(gc.lookahead(gc.adam(0.1))), {}),
    (
        gc.chain(gc.average_weights(gc.adam(0.1)), gc.freeze("head/*"), gc.identity()),
        {"params": PARAMS},
    ),
    (
        gc.chain(
            gc.clip_by_global_norm(1.0), gc.groups([("head/*", gc.freeze())], default=gc.sgd(0.1))
        ),
        {"params": PARAMS},
    ),
    (gc.chain(gc.masked(gc.clip_by_global_norm(1.0), "head/*"), gc.adam(0.1)), {}),
    (gc.accumulate(gc.momo(), 2), {"passes": ("params", "value")}),
    (
        gc.accumulate(gc.average_weights(gc.chain(gc.clip_by_global_norm(1.0), gc.adam(0.1))), 2),
        {},
    ),
    (gc.average_weights(gc.chain(gc.clip(1.0), gc.accumulate(gc.adam(0.1), 1))), {}),
    (gc.chain(gc.accumulate(gc.scale_by_adam(), 2), rate), {}),
    (gc.adam(0.1), {"params": jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)}),
    (gc.adam(0.1, eps=0.0, eps_root=1e-8), {}),
    (gc.lars(0.1), {}),  # whose eps is 0 by default
    (gc.chain(gc.freeze("head/*"), gc.adamw(0.1, where="*kernel")), {"params": PARAMS}),
    (gc.adamw(0.1, where="*kernel"), {"params": {}}),
    (gc.chain(gc.freeze("head/*"), gc.freeze("head/*"), gc.sgd(0.1)), {"params": PARAMS}),
    (gc.chain(gc.identity(), optax.adam(0.1)), {"passes": ("params", "whatever")}),
    (
        gc.groups([("head/*", gc.sgd(0.2)), ("dense/*", gc.sgd(0.3))], default=gc.sgd(0.1)),
        {"params": PARAMS},
    ),
    (gc.masked(gc.sgd(0.1), "*", gc.freeze()), {"params": PARAMS}),
    (gc.sgd(gc.linear_schedule(0.1, 0.0, 1000)), {"steps": 1000}),
    (gc.sgd(gc.linear_schedule(0.0, 0.1, 1000)), {"steps": 1000}),  # it ends with the run
    (gc.sgd(gc.warmup_constant_schedule(0.0, 0.1, 100)), {"steps": 1000}),
    (gc.sgd(gc.exponential_decay(0.1, 100, 0.5)), {"steps": 1000}),
    (gc.sgd(gc.schedules.cosine_restarts_schedule(0.1, 100)), {"steps": 1000}),
    (gc.accumulate(gc.sgd(WARM_UP), 8), {"steps": 8000}),
    (gc.accumulate(gc.sgd(WARM_UP), lambda step: 8), {"steps": 100}),
    (gc.scale_by_adam(b1=gc.linear_schedule(0.0, 0.9, 100)), {"steps": 50}),
]
