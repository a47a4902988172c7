"""One row per factory of transformations: a value to test, its twin, and what the laws have to know.

A factory with options that change its formula has more rows than one. The four transformations that end the table
are a user's own, one per lift.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import optax

import gradchain as gc
from tests import own
from tests.references import recipes, schedules
from tests.references import transforms as twins
from tests.references.transforms import Twin


@dataclass(frozen=True)
class Row:
    """What the laws have to know of a transformation.

    Attributes:
        name: the name of the factory, and after a dash the variant.
        make: makes the value, anew at each call.
        twin: makes its twin.
        optax: makes its counterpart in optax, where the definitions agree.
        needs_params: whether ``update`` has to be given ``params``.
        reasons: from the name of a law that does not apply to why.
    """

    name: str
    make: Callable[[], gc.GradientTransformation]
    twin: Callable[[], Twin]
    optax: Callable[[], Any] | None = None
    needs_params: bool = False
    reasons: dict[str, str] = field(default_factory=dict)


NO_NUMBERS = dict.fromkeys(
    ["takes_traced_numbers", "can_be_vmapped", "can_be_differentiated", "takes_schedules"], "it has no numbers"
)
NO_OWN_NUMBERS = {"takes_schedules": "its numbers are its members'; a member of this row is scheduled"}
FUNCTION = dict.fromkeys(["prints_as_its_recipe", "survives_json"], "it holds a function, which has no text")

warm_up = lambda: gc.linear_schedule(0.1, 0.3, 10)
warm_up_twin = lambda t: schedules.linear(t, 0.1, 0.3, 10)
warm_up_optax = lambda: lambda step: optax.linear_schedule(0.1, 0.3, 10)(step.astype(float))  # else it is in float32
matrices = gc.ndim_at_least(2)
is_matrix = lambda name, x: x.ndim >= 2

ROWS = [
    Row("identity", lambda: gc.identity(), twins.Identity, optax.identity, reasons=NO_NUMBERS),
    Row("set_to_zero", lambda: gc.set_to_zero(), twins.Zero, optax.set_to_zero, reasons=NO_NUMBERS),
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
    Row("add_momentum", lambda: gc.add_momentum(0.8), lambda: twins.Momentum(0.8), lambda: optax.trace(0.8)),
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
        lambda: optax.add_decayed_weights(0.1, mask=lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree)),
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
        lambda: gc.masked(gc.adamw(warm_up(), where=matrices), gc.path_matches("kernel|bias"), gc.set_to_zero()),
        lambda: twins.Groups(
            {
                "yes": twins.Scheduled(
                    recipes.AdamW(0.1, weight_decay=1e-4, chosen=is_matrix), learning_rate=warm_up_twin
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
            {"matrices": gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(warm_up())), "rest": gc.sgd(0.1, 0.9)},
            own.group_of,
        ),
        lambda: twins.Groups(
            {
                "matrices": twins.Chain(
                    twins.ClipNorm(1.0),
                    twins.Scheduled(recipes.AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin),
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
        lambda: gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(warm_up(), where=matrices)).named("both"),
        lambda: twins.Chain(
            twins.ClipNorm(1.0),
            twins.Scheduled(recipes.AdamW(0.1, weight_decay=1e-4, chosen=is_matrix), learning_rate=warm_up_twin),
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
    Row("sgd", lambda: gc.sgd(0.1), lambda: recipes.Sgd(0.1), lambda: optax.sgd(0.1)),
    Row("sgd-momentum", lambda: gc.sgd(0.1, 0.9), lambda: recipes.Sgd(0.1, 0.9), lambda: optax.sgd(0.1, 0.9)),
    Row(
        "sgd-nesterov",
        lambda: gc.sgd(0.1, 0.9, nesterov=True),
        lambda: recipes.Sgd(0.1, 0.9, nesterov=True),
        lambda: optax.sgd(0.1, 0.9, nesterov=True),
    ),
    Row("adagrad", lambda: gc.adagrad(0.1), lambda: recipes.Adagrad(0.1), lambda: optax.adagrad(0.1)),
    Row("rmsprop", lambda: gc.rmsprop(0.01), lambda: recipes.RmsProp(0.01), lambda: optax.rmsprop(0.01)),
    Row(
        "rmsprop-momentum",
        lambda: gc.rmsprop(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
        lambda: recipes.RmsProp(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
        lambda: optax.rmsprop(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
    ),
    Row(
        "rmsprop-options",
        lambda: gc.rmsprop(0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True),
        lambda: recipes.RmsProp(0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True),
        lambda: optax.rmsprop(0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True),
    ),
    Row("adam", lambda: gc.adam(0.01), lambda: recipes.AdamW(0.01), lambda: optax.adam(0.01)),
    Row(
        "adam-eps_root",
        lambda: gc.adam(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
        lambda: recipes.AdamW(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
        lambda: optax.adam(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
    ),
    Row(
        "adamw",
        lambda: gc.adamw(0.01, weight_decay=0.1),
        lambda: recipes.AdamW(0.01, weight_decay=0.1),
        lambda: optax.adamw(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "adamw-where",
        lambda: gc.adamw(warm_up(), 0.8, 0.99, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: twins.Scheduled(
            recipes.AdamW(0.1, 0.8, 0.99, 1e-4, 0.1, chosen=is_matrix, eps_root=1e-6), learning_rate=warm_up_twin
        ),
        lambda: optax.adamw(
            warm_up_optax(),
            0.8,
            0.99,
            1e-4,
            1e-6,
            weight_decay=0.1,
            mask=lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree),
        ),
        needs_params=True,
    ),
    Row(
        "average_recent",
        lambda: own.average_recent(0.5, 0.1),
        lambda: own.AverageRecent(0.5, 0.1),
        needs_params=True,
    ),
    Row("normalize_leaf", lambda: own.normalize_leaf(0.5), lambda: own.NormalizeLeaf(0.5)),
    Row("normalize_rows", lambda: own.normalize_rows(0.9), lambda: own.NormalizeRows(0.9)),
    Row("divide_by_mean_norm", lambda: own.divide_by_mean_norm(0.9), lambda: own.DivideByMeanNorm(0.9)),
]
