"""Rows of the plain transformations and of what is made of others."""

import jax
import optax

import gradchain as gc
from tests import own
from tests.references import recipes, transforms as twins
from tests.row import (
    FUNCTION,
    NO_NUMBERS,
    NO_OWN_NUMBERS,
    Row,
    is_matrix,
    matrices,
    warm_up,
    warm_up_optax,
    warm_up_twin,
)

ROWS = [
    Row("identity", lambda: gc.identity(), twins.Identity, optax.identity, reasons=NO_NUMBERS),
    Row("freeze", lambda: gc.freeze(), twins.Zero, optax.set_to_zero, reasons=NO_NUMBERS),
    Row(
        "chain-freeze",
        lambda: gc.chain(
            gc.clip_by_global_norm(0.5), gc.scale_by_adam(), gc.freeze("*bias"), gc.freeze("scale")
        ),
        lambda: twins.Groups(
            {"yes": twins.Zero(), "no": twins.Chain(twins.ClipNorm(0.5), twins.Adam())},
            lambda name, x: "yes" if name.endswith("bias") or name == "scale" else "no",
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row("scale", lambda: gc.scale(-0.7), lambda: twins.Scale(-0.7), lambda: optax.scale(-0.7)),
    Row(
        "scale_by_learning_rate",
        lambda: gc.scale_by_learning_rate(0.3),
        lambda: twins.LearningRate(0.3),
        lambda: optax.scale_by_learning_rate(0.3),
    ),
    Row(
        "scale_by_schedule",
        lambda: gc.scale_by_schedule(warm_up()),
        lambda: twins.ByStep(warm_up_twin),
        lambda: optax.scale_by_schedule(warm_up_optax()),
    ),
    Row("scale_by_schedule-number", lambda: gc.scale_by_schedule(0.3), lambda: twins.ByStep(0.3)),
    Row(
        "stateless",
        lambda: gc.stateless(own.halve_and_pull),
        lambda: twins.Stateless(lambda g, p: 0.5 * g + 0.25 * p),
        lambda: optax.stateless(own.halve_and_pull),
        needs_params=True,
        reasons=NO_NUMBERS | FUNCTION,
    ),
    Row("clip", lambda: gc.clip(0.5), lambda: twins.Clip(0.5)),
    Row(
        "clip_by_global_norm",
        lambda: gc.clip_by_global_norm(2.0),
        lambda: twins.ClipNorm(2.0),
        lambda: optax.clip_by_global_norm(2.0),
    ),
    Row(
        "add_momentum",
        lambda: gc.add_momentum(0.8),
        lambda: twins.Momentum(0.8),
        lambda: optax.trace(0.8),
    ),
    Row(
        "add_momentum-nesterov",
        lambda: gc.add_momentum(0.8, nesterov=True),
        lambda: twins.Momentum(0.8, nesterov=True),
        lambda: optax.trace(0.8, nesterov=True),
    ),
    Row("scale_by_rms", lambda: gc.scale_by_rms(), twins.Rms, optax.scale_by_rms),
    Row(
        "scale_by_rms-eps_outside",
        lambda: gc.scale_by_rms(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: twins.Rms(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: optax.scale_by_rms(0.8, 1e-3, 0.1, eps_in_sqrt=False),
    ),
    Row(
        "scale_by_rms-bias_correction",
        lambda: gc.scale_by_rms(0.95, bias_correction=True),
        lambda: twins.Rms(0.95, bias_correction=True),
        lambda: optax.scale_by_rms(0.95, bias_correction=True),
    ),
    Row("scale_by_rss", lambda: gc.scale_by_rss(), twins.Rss, optax.scale_by_rss),
    Row(
        "scale_by_rss-from_zero",
        lambda: gc.scale_by_rss(0.0, 0.0),
        lambda: twins.Rss(0.0, 0.0),
        lambda: optax.scale_by_rss(0.0, 0.0),
    ),
    Row("scale_by_adam", lambda: gc.scale_by_adam(), twins.Adam, optax.scale_by_adam),
    Row(
        "scale_by_adam-eps_root",
        lambda: gc.scale_by_adam(0.8, 0.95, 1e-4, eps_root=1e-3),
        lambda: twins.Adam(0.8, 0.95, 1e-4, eps_root=1e-3),
        lambda: optax.scale_by_adam(0.8, 0.95, 1e-4, eps_root=1e-3),
    ),
    Row(
        "add_decayed_weights",
        lambda: gc.add_decayed_weights(0.1),
        lambda: twins.Decay(0.1),
        lambda: optax.add_decayed_weights(0.1),
        needs_params=True,
    ),
    Row(
        "add_decayed_weights-where",
        lambda: gc.add_decayed_weights(0.1, where=matrices),
        lambda: twins.Decay(0.1, is_matrix),
        lambda: optax.add_decayed_weights(
            0.1, mask=lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree)
        ),
        needs_params=True,
    ),
    Row(
        "masked",
        lambda: gc.masked(gc.scale_by_adam(b1=warm_up()), "*kernel"),
        lambda: twins.Groups(
            {"yes": twins.Scheduled(twins.Adam(), b1=warm_up_twin), "no": twins.Identity()},
            lambda name, x: "yes" if "kernel" in name else "no",
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "masked-others",
        lambda: gc.masked(
            gc.adamw(warm_up(), where=matrices), gc.path_matches("kernel|bias"), gc.freeze()
        ),
        lambda: twins.Groups(
            {
                "yes": twins.Scheduled(
                    recipes.AdamW(0.1, weight_decay=1e-4, chosen=is_matrix),
                    learning_rate=warm_up_twin,
                ),
                "no": twins.Zero(),
            },
            lambda name, x: "yes" if "kernel" in name or "bias" in name else "no",
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "partition",
        lambda: gc.partition(
            {
                "matrices": gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(warm_up())),
                "rest": gc.sgd(0.1, 0.9),
            },
            own.group_of,
        ),
        lambda: twins.Groups(
            {
                "matrices": twins.Chain(
                    twins.ClipNorm(1.0),
                    twins.Scheduled(
                        recipes.AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin
                    ),
                ),
                "rest": recipes.Sgd(0.1, 0.9),
            },
            own.group_of,
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS | FUNCTION,
    ),
    Row("chain-empty", lambda: gc.chain(), twins.Identity, reasons=NO_NUMBERS),
    Row(
        "chain",
        lambda: gc.chain(
            gc.clip_by_global_norm(1.0),
            gc.chain(gc.add_momentum(0.5).named("first"), gc.add_momentum(0.5)),
            gc.clip(0.5),
            gc.add_momentum(0.7, nesterov=True),
            gc.scale_by_schedule(warm_up()),
        ),
        lambda: twins.Chain(
            twins.ClipNorm(1.0),
            twins.Momentum(0.5),
            twins.Momentum(0.5),
            twins.Clip(0.5),
            twins.Momentum(0.7, nesterov=True),
            twins.ByStep(warm_up_twin),
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "chain-named",
        lambda: gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(warm_up(), where=matrices)).named(
            "both"
        ),
        lambda: twins.Chain(
            twins.ClipNorm(1.0),
            twins.Scheduled(
                recipes.AdamW(0.1, weight_decay=1e-4, chosen=is_matrix), learning_rate=warm_up_twin
            ),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "GradientTransformation",
        lambda: gc.GradientTransformation(own.init_sum, own.add_to_sum),
        lambda: twins.Momentum(0.5),
        lambda: optax.trace(0.5),
        reasons=NO_NUMBERS | FUNCTION,
    ),
]
