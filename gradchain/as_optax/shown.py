"""Which class of optax shows the state of which member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp

from gradchain.as_optax import contrib_states, states
from gradchain.as_optax.views import (
    AsItIs,
    ByLabel,
    Empty,
    Inside,
    Masked,
    Only,
    Record,
    Several,
    View,
)
from gradchain.checkpoints.optax_states import OPTAX
from gradchain.core.facts import keeps_state
from gradchain.core.stage import Stage, stages_at_start
from gradchain.core.transformation import GradientTransformation, as_transformation, recipe

Tx: TypeAlias = GradientTransformation

_CONTRIB = vars(contrib_states)


@recipe
def shown_as(tx: GradientTransformation, form: str, detail: Any = None) -> GradientTransformation:
    """A transformation with a form of its own for states.

    Args:
        tx: the transformation.
        form: the name of the form, a key of ``FORMS``.
        detail: what the form has to know.
    """
    return tx


def view_of(tx: Tx) -> View:
    """How the state of a transformation is shown."""
    return tx.kept("view of optax", lambda: _view_of(tx))


def _view_of(tx: Tx) -> View:
    if tx.name:
        inner = tx.unnamed
        return inside(inner) if inner.factory.composite else view_of(inner)
    if tx.factory.name in ROWS:
        return ROWS[tx.factory.name](tx)
    if tx.factory.composite:
        made = tx.factory.call(tx.arguments)
        if isinstance(made, GradientTransformation):  # a recipe that is one chain
            return view_of(made.native)
        parts = [as_transformation(part, "chain") for part in made]
        names = [part.name for part in parts if part.name]
        is_named = bool(parts) and len(names) == len(parts)
        return Several([view_of(part) for part in parts], names if is_named else None)
    stage = _stage_of(tx)
    if tx.is_pair:
        return AsItIs()
    if not keeps_state(stage):
        return Empty()
    is_schedule = not stage.body.members and any(map(callable, tx.arguments.values()))
    has_slots = bool(getattr(stage.body, "slots", {}))
    return AsItIs() if has_slots or not is_schedule else _record(tx, "ScaleByScheduleState")


def _stage_of(tx: Tx) -> Stage:
    return stages_at_start({"it": tx})[0]


def inside(tx: Tx, *path: str) -> Inside:
    """The whole state of a wrapper's member, in its entry."""
    return Inside(view_of(tx), list(tx.members), path)


def _record(
    tx: Tx, name: str, inner: str = "", constants: dict[str, Any] | None = None
) -> Record:
    """A member by a class, around the member ``inner``."""
    kind = getattr(states, name, None) or _CONTRIB[name]
    stage = _stage_of(tx)
    known = stage.body.slot_names
    clock = {"count"} if stage.has_clock else set()
    slots = OPTAX[name].slots.keys() if known is None else known | clock
    members = OPTAX[name].members
    views = {member: inside(tx.arguments[inner]) for member in members}
    return Record(kind, OPTAX[name], slots, views, constants)


def _by(name: str, inner: str = "") -> Callable[[Tx], View]:
    return lambda tx: _record(tx, name, inner)


def _with_count(plain: str, counted: str) -> Callable[[Tx], View]:
    is_counted = lambda tx: tx.arguments["bias_correction"]
    return lambda tx: _record(tx, counted if is_counted(tx) else plain)


def _rate(tx: Tx) -> View:
    """A rate, whose clock is shown for schedules alone."""
    is_schedule = any(map(callable, tx.arguments.values()))
    return _record(tx, "ScaleByScheduleState") if is_schedule else Empty([True])


def _decay(tx: Tx) -> View:
    is_schedule = callable(tx.arguments["weight_decay"])
    view = _record(tx, "WeightDecaySchedule") if is_schedule else Empty()
    return view if tx.arguments["where"] is None else Masked(states.MaskedState, view)


def _trust_ratio(tx: Tx) -> View:
    return Empty() if tx.arguments["where"] is None else Masked(states.MaskedState, Empty())


def _distance(tx: Tx) -> View:
    is_by_leaf = tx.arguments["layer_wise"]
    return _record(tx, "ScaleByDistanceOverGradientsState" if is_by_leaf else "DoGState")


def _momo(name: str) -> Callable[[Tx], View]:
    def view(tx: Tx) -> View:
        bound = jnp.asarray(tx.arguments["lower_bound"], float)
        return _record(tx, name, constants={"lb": bound})

    return view


def _masked(tx: Tx) -> View:
    return Masked(states.MaskedState, inside(tx.arguments["inner"], "inner"))


def _partition(tx: Tx, keys: dict[str, Any] | None = None) -> View:
    members = tx.arguments["transforms"]
    views = {name: Masked(states.MaskedState, inside(part)) for name, part in members.items()}
    return ByLabel(states.PartitionState, views, keys or {name: name for name in members})


def _storage(tx: Tx) -> View:
    return inside(tx.arguments["inner"], "inner")


#: By the name of a factory of this library.
ROWS: dict[str, Callable[[Tx], View]] = {
    "add_decayed_weights": _decay,
    "add_momentum": _by("TraceState"),
    "average_updates": _by("EmaState"),
    "masked": _masked,
    "mechanize": _by("MechanicState", "base_optimizer"),
    "partition": _partition,
    "scale_by_acprop": _by("ScaleByBeliefState"),
    "scale_by_adadelta": _by("ScaleByAdaDeltaState"),
    "scale_by_adam": _by("ScaleByAdamState"),
    "scale_by_adamax": _by("ScaleByAdamState"),
    "scale_by_adan": _by("ScaleByAdanState"),
    "scale_by_ademamix": _by("ScaleByAdemamixState"),
    "scale_by_adopt": _by("ScaleByAdamState"),
    "scale_by_amsgrad": _by("ScaleByAmsgradState"),
    "scale_by_belief": _by("ScaleByBeliefState"),
    "scale_by_cocob": _by("COCOBState"),
    "scale_by_dadapt_adam": _by("DAdaptAdamWState"),
    "scale_by_distance_over_gradients": _distance,
    "scale_by_dowg": _by("DoWGState"),
    "scale_by_factored_rms": _by("FactoredState"),
    "scale_by_lbfgs": _by("ScaleByLBFGSState"),
    "scale_by_factored_rms_at": _by("FactoredState"),
    "scale_by_learning_rate": _rate,
    "scale_by_lion": _by("ScaleByLionState"),
    "scale_by_madgrad": _by("MadgradState"),
    "scale_by_momo": _momo("MomoState"),
    "scale_by_momo_adam": _momo("MomoAdamState"),
    "scale_by_nadam": _by("ScaleByAdamState"),
    "scale_by_novograd": _by("ScaleByNovogradState"),
    "scale_by_optimistic_gradient": _by("ScaleByOptimisticGradientState"),
    "scale_by_past_deviation": _by("ScaleByBeliefState"),
    "scale_by_prodigy": _by("ProdigyState"),
    "scale_by_radam": _by("ScaleByAdamState"),
    "scale_by_rms": _with_count("ScaleByRmsState", "ScaleByRmsWithCountState"),
    "scale_by_rprop": _by("ScaleByRpropState"),
    "scale_by_rss": _by("ScaleByRssState"),
    "scale_by_schedule": _rate,
    "scale_by_simplified_ademamix": _by("ScaleBySimplifiedAdEMAMixState"),
    "scale_by_soft_lion": _by("ScaleByLionState"),
    "scale_by_sm3": _by("ScaleBySM3State"),
    "scale_by_stddev": _with_count("ScaleByRStdDevState", "ScaleByRStdDevWithCountState"),
    "scale_by_trust_ratio": _trust_ratio,
    "scale_by_yogi": _by("ScaleByAdamState"),
    "schedule_free": _by("ScheduleFreeState", "inner"),
    "shown_as": lambda tx: FORMS[tx.arguments["form"]](
        tx.arguments["tx"], tx.arguments["detail"]
    ),
    "storage": _storage,
    "zero_nans": _by("ZeroNansState"),
}


def _first_only(tx: Tx, _: Any) -> View:
    """The state of the first member for all."""
    views = [view_of(member) for member in tx.members.values()]
    return Only(views, 0)


def _after_nothing(tx: Tx, _: Any) -> View:
    """A chain that begins with nothing in optax."""
    view = view_of(tx)
    parts = view.parts if isinstance(view, Several) else [view]
    return Several([Empty(()), *parts])


def _muon(tx: Tx, rows: Any) -> View:
    first, *others = tx.members.values()
    is_stored = first.factory.name == "storage"
    average = first.arguments["inner"] if is_stored else first
    coefficients = {"ns_coeffs": jnp.asarray(rows, float)}
    view = _record(average, "MuonState", constants=coefficients)
    own = Inside(view, list(average.members), ("inner",)) if is_stored else view
    return Only([own, *map(view_of, others)], 0)


def _labels(tx: Tx, keys: Any) -> View:
    return _partition(tx, {str(key): key for key in keys})


#: By the name of a form.
FORMS: dict[str, Callable[[Tx, Any], View]] = {
    "after nothing": _after_nothing,
    "first": _first_only,
    "labels": _labels,
    "masked": lambda tx, _: Masked(states.MaskedState, view_of(tx)),
    "muon": _muon,
}
