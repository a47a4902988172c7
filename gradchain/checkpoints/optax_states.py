"""States of optax under the names of this library.

``adopt_state`` reads them, and the dialect of optax shows its states in them: both from this table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.ticks import next_step
from gradchain.core.types import Tree

#: A field of another library's state, or that and a function from the state to our slot.
Source: TypeAlias = str | tuple[str, Callable[[Any], Tree]]


@dataclasses.dataclass(frozen=True)
class Translation:
    """The names here for the state of a member elsewhere.

    Attributes:
        stage: the name of our member.
        slots: from our slot to the field, or to the field and a function of the whole that gives
            our slot.
        members: from the name of a member of a wrapper to the field that holds its state.
        fields: the other way round, fields that have to be computed from our slots.
    """

    stage: str
    slots: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    members: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fields: Mapping[str, Callable[[Mapping[str, Any]], Tree]] = dataclasses.field(
        default_factory=dict
    )


def same(stage: str, *slots: str, **others: Source) -> Translation:
    """A translation in which some slots have the same names."""
    return Translation(stage, {**{name: name for name in slots}, **others})


def _with_fields(translation: Translation, **fields: Callable[..., Tree]) -> Translation:
    """The same with fields that are computed from our slots."""
    return dataclasses.replace(translation, fields=fields)


_VARIANCE = ("nu", lambda s: jax.tree.map(lambda nu, mu: nu - (mu * mu.conj()).real, s.nu, s.mu))

_times = lambda n: lambda mean: mean * jnp.asarray(n, mean.dtype)

_SUM_OF_GRADIENTS = (
    "acc_grads",
    lambda s: jax.tree.map(_times(s.mini_step), s.acc_grads),
)

_CLOCK = "inner/scale_by_learning_rate/count"  # of the schedules of all hyperparameters

_TUNABLE = Translation(
    "tunable", {"hyperparams": "hyperparams", _CLOCK: "count"}, {"inner": "inner_state"}
)


def _has_begun(field: str) -> Source:
    """A count from a flag: 0, then 1."""
    return field, lambda s: 1 - jnp.asarray(getattr(s, field), jnp.int32)


def _is_first(entry: Mapping[str, Any]) -> jax.Array:
    """The flag from a count."""
    return entry["count"] == 0


def _mean_square(entry: Mapping[str, Any]) -> Tree:
    """The mean of squares from mean and variance."""
    square = lambda mean: (mean * mean.conj()).real
    return jax.tree.map(lambda v, mean: v + square(mean), entry["variance"], entry["mean"])


# ------------------------------------------------------------------------ factors of second moments


def _map_with_holes(fun: Callable[..., Any], *trees: Tree) -> Tree:
    """Map leaves of which some are ``None``."""
    return jax.tree.map(fun, *trees, is_leaf=lambda x: x is None)


def _filled(slot: str, other: str) -> Callable[[Mapping[str, Any]], Tree]:
    """A slot with optax's zeros where leaves lack it."""
    fill = lambda x, y: jnp.zeros(1, y.dtype) if x is None and y is not None else x
    return lambda entry: _map_with_holes(fill, entry[slot], entry[other])


def _unfilled(field: str) -> Source:
    """A slot without those zeros."""

    def keep(x: Any, row: Any, column: Any) -> Any:
        is_factored = jnp.shape(row) != (1,) or jnp.shape(column) != (1,)
        return x if is_factored is (field != "v") else None

    return field, lambda s: _map_with_holes(keep, getattr(s, field), s.v_row, s.v_col)


def _bound(axis: int) -> Source:
    """One of a leaf's bounds in SM3."""
    own = lambda like, bounds: bounds[axis] if axis < jnp.ndim(like) else None
    return "mu", lambda s: jax.tree.map(own, s.nu, s.mu)


def _bounds(entry: Mapping[str, Any]) -> Tree:
    """The bounds of a leaf in SM3, by dimension."""
    slots = [entry[f"axis_{axis}"] for axis in range(6)]
    own = lambda like, one, *found: [*found[: jnp.ndim(like)]] or [one]
    return _map_with_holes(
        lambda like, *found: None if like is None else own(like, *found),
        *(entry["mu"], entry["single"], *slots),
    )


_SINGLE = (
    "mu",
    lambda s: jax.tree.map(lambda like, x: None if jnp.ndim(like) else x[0], s.nu, s.mu),
)

_SQUARES = (
    "grad_sum_of_squares",
    lambda s: jax.tree.map(lambda x: jnp.reshape(x, ()), s.grad_sum_of_squares),
)


def _has_seen(field: str) -> Source:
    """A count, 0 or 1, from sums."""

    def count(s: Any) -> jax.Array:
        sums = [jnp.any(x != 0) for x in jax.tree.leaves(getattr(s, field))]
        return jnp.any(jnp.stack(sums)).astype(jnp.int32)

    return field, count


# --------------------------------------------------------------------------------- pairs of L-BFGS


def _products(first: str, second: str) -> Source:
    """The inner products of remembered pairs."""

    def product(s: Any) -> jax.Array:
        def along(x: jax.Array, y: jax.Array) -> jax.Array:
            rows = (x.conj() * y).real
            return rows.reshape(rows.shape[0], -1).sum(1)

        found = jax.tree.map(along, getattr(s, first), getattr(s, second))
        return sum(jax.tree.leaves(found), jnp.zeros(()))

    return second, product


_STEPS, _CHANGES = "diff_params_memory", "diff_updates_memory"


def _weights(entry: Mapping[str, Any]) -> jax.Array:
    """The reciprocals of the inner products of pairs."""
    sy = entry["sy"]
    return jnp.where(sy == 0, 0.0, 1 / jnp.where(sy == 0, 1.0, sy))


def _updates_made(entry: Mapping[str, Any]) -> jax.Array:
    """The count that tells how many pairs there are."""
    return jnp.where(entry["count"] == 0, 0, next_step(entry["pairs"]))


_MODEL = {"value": "barf", "linear": "gamma", "lower_bound": "lb"}

_SUMS = {"sums": "grad_sum", "distance": "estim_lr", "numerator": "numerator_weighted"}

_MOMENTS = {"mu": "exp_avg", "nu": "exp_avg_sq"}

_PLATEAU = {
    "waited": "plateau_count",
    "cooling": "cooldown_count",
    "in_window": "count",
    "average": "avg_value",
}

#: Classes of optax. One that is not here is read by the names of its fields.
OPTAX = {
    "ApplyIfFiniteState": Translation(
        "skip_nonfinite",
        {"skipped": "total_notfinite", "skipped_in_a_row": "notfinite_count"},
        {"inner": "inner_state"},
    ),
    "COCOBState": same(
        "scale_by_cocob",
        "reward",
        start="init_particles",
        descent="cumulative_gradients",
        largest="scale",
        magnitudes="subgradients",
    ),
    "DAdaptAdamWState": same("scale_by_dadapt_adam", "count", **_MOMENTS, **_SUMS),
    "DoGState": _with_fields(
        same(
            "scale_by_distance_over_gradients",
            count=_has_begun("is_init_step"),
            start="init_params",
            distance="max_dist",
            squares="sum_sq_norm_grads",
        ),
        is_init_step=_is_first,
    ),
    "DoWGState": same(
        "scale_by_dowg",
        start="init_params",
        squared_distance="estim_sq_dist",
        squares="weighted_sq_norm_grads",
    ),
    "EmaState": same("average_updates", "count", average="ema"),
    "FactoredState": _with_fields(
        same(
            "scale_by_factored_rms",
            "count",
            v_row=_unfilled("v_row"),
            v_col=_unfilled("v_col"),
            v=_unfilled("v"),
        ),
        v_row=_filled("v_row", "v"),
        v_col=_filled("v_col", "v"),
        v=_filled("v", "v_row"),
    ),
    "InjectHyperparamsState": _TUNABLE,
    "InjectStatefulHyperparamsState": _TUNABLE,
    "MadgradState": same(
        "scale_by_madgrad", "count", sum="s", sum_of_squares="grad_sum_sq", start="x0"
    ),
    "MaskedState": Translation("masked", members={"inner": "inner_state"}),
    "MechanicState": Translation(
        "mechanize",
        {**{k: k for k in "rmvs"}, "start": "x0"},
        {"base_optimizer": "base_optimizer_state"},
    ),
    "MomoAdamState": same("scale_by_momo_adam", "count", **_MOMENTS, **_MODEL),
    "MomoState": same("scale_by_momo", "count", mu="exp_avg", **_MODEL),
    "MultiStepsState": Translation(
        "accumulate",
        {
            "count": "gradient_step",
            "micro_step": "mini_step",
            "taken": "mini_step",
            "gradient_sum": _SUM_OF_GRADIENTS,
        },
        {"inner": "inner_opt_state"},
    ),
    "MuonState": same("average_updates", "count", average="mu"),
    "MultiTransformState": Translation("partition", members={"": "inner_states"}),
    "PartitionState": Translation("partition", members={"": "inner_states"}),
    "ProdigyState": same("scale_by_prodigy", "count", start="params0", **_MOMENTS, **_SUMS),
    "ReduceLROnPlateauState": same("reduce_on_plateau", "scale", best="best_value", **_PLATEAU),
    "ScaleByAdaDeltaState": same("scale_by_adadelta", "e_g", "e_x"),
    "ScaleByAdamState": same("scale_by_adam", "count", "mu", "nu"),
    "ScaleByAdanState": same(
        "scale_by_adan", count="t", mu="m", difference="v", nu="n", previous="g"
    ),
    "ScaleByAdemamixState": _with_fields(
        same("scale_by_ademamix", "count", "nu", mu="m1", mu_slow="m2"),
        count_m2=lambda entry: entry["count"],
    ),
    "ScaleByAmsgradState": same("scale_by_amsgrad", "count", "mu", "nu", "nu_max"),
    "ScaleByBeliefState": same("scale_by_belief", "count", "mu", "nu"),
    "ScaleByDistanceOverGradientsState": _with_fields(
        same(
            "scale_by_distance_over_gradients",
            count=_has_seen("grad_sum_of_squares"),
            start="init_params",
            distance="max_dist",
            squares=_SQUARES,
        ),
        grad_sum_of_squares=lambda entry: jax.tree.map(lambda x: x.reshape(1), entry["squares"]),
    ),
    "ScaleByLBFGSState": _with_fields(
        same(
            "scale_by_lbfgs",
            "count",
            "params",
            grad="updates",
            s=_STEPS,
            y=_CHANGES,
            pairs=("count", lambda s: jnp.maximum(s.count - 1, 0)),
            sy=_products(_STEPS, _CHANGES),
            yy=_products(_CHANGES, _CHANGES),
        ),
        weights_memory=_weights,
        count=_updates_made,
    ),
    "ScaleByLionState": same("scale_by_lion", "mu"),
    "ScaleByNovogradState": same("scale_by_novograd", "count", "mu", "nu"),
    "ScaleByOptimisticGradientState": _with_fields(
        same(
            "scale_by_optimistic_gradient",
            count=_has_begun("is_initial_step"),
            previous="previous_gradient",
        ),
        is_initial_step=_is_first,
    ),
    "ScaleByRStdDevState": _with_fields(
        same("scale_by_stddev", mean="mu", variance=_VARIANCE), nu=_mean_square
    ),
    "ScaleByRStdDevWithCountState": _with_fields(
        same("scale_by_stddev", "count", mean="mu", variance=_VARIANCE), nu=_mean_square
    ),
    "ScaleByRmsState": same("scale_by_rms", "nu"),
    "ScaleByRmsWithCountState": same("scale_by_rms", "count", "nu"),
    "ScaleByRpropState": same("scale_by_rprop", step_size="step_sizes", previous="prev_updates"),
    "ScaleByRssState": same("scale_by_rss", "sum_of_squares"),
    "ScaleBySM3State": _with_fields(
        same(
            "scale_by_sm3",
            mu="nu",
            single=_SINGLE,
            **{f"axis_{axis}": _bound(axis) for axis in range(6)},
        ),
        mu=_bounds,
    ),
    "ScaleByScheduleState": same("scale_by_learning_rate", "count"),
    "ScaleBySimplifiedAdEMAMixState": same(
        "scale_by_simplified_ademamix", count="t", momentum="m", nu="n"
    ),
    "ScheduleFreeState": Translation(
        "schedule_free",
        {
            **{k: k for k in ("b1", "weight_sum", "z")},
            "max_learning_rate": "max_lr",
            "count": ("step_count", lambda s: s.step_count - 1),
        },
        {"inner": "base_optimizer_state"},
        {"step_count": lambda entry: next_step(entry["count"])},
    ),
    "TraceState": same("add_momentum", momentum="trace"),
    "WeightDecaySchedule": same("add_decayed_weights", "count"),
    "ZeroNansState": _with_fields(
        same(
            "zero_nans",
            found_nan=(
                "found_nan",
                lambda s: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), s.found_nan),
            ),
        ),
        found_nan=lambda entry: jax.tree.map(lambda x: x > 0, entry["found_nan"]),
    ),
}
