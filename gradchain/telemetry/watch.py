"""Measure a transformation at work, as numbers in its state."""

from __future__ import annotations

import collections
import contextlib
import contextvars
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.columns import Columns
from gradchain.core.errors import check_slots, first_names
from gradchain.core.intervals import refuse_inverted
from gradchain.core.ranges import StaticPositiveInt
from gradchain.core.restored import check_numbers
from gradchain.core.run import run_stages
from gradchain.core.slots import scalar
from gradchain.core.stage import Body, Stage, trusting_extras
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, Params, State, Updates, Where
from gradchain.core.walk import PlacedMember
from gradchain.inspection.hyperparams import own_hyperparams
from gradchain.numerics.arithmetic import cast, safe_divide
from gradchain.numerics.branches import cond, varying_as
from gradchain.numerics.counting import increment, remainder
from gradchain.numerics.reductions import varying_axes
from gradchain.telemetry.layers import Layers
from gradchain.telemetry.meters import (
    measured,
    meters,
    norm_at,
    run_with_meters,
    with_meters,
    without_meters,
)
from gradchain.tree.mapping import map_leaves, real_dtype_of, tree_map_live


@transform(roles="observer")
def watch(
    inner: GradientTransformation | Pair,
    every: StaticPositiveInt = 100,
    by: Where | None = None,
    healthy: Annotated[Sequence[Numeric], "[0, inf]"] = (1e-3, 1e3),
    relative: bool = True,
) -> Body:
    r"""Measure the updates of ``inner`` and its members.

    ``metrics`` reads the numbers from the state. Updates are those of ``inner``, bit for bit.
    Beside its state stand the metrics, one number each, under names that are the same from ``init``
    on:

    - ``gradient_norm``, ``update_norm`` and ``parameter_norm``, of all leaves together, and
      ``update_ratio``, the second over the third (0 where that is 0);
    - for each member, however deep, ``scale_by_adam/norm_in`` and ``scale_by_adam/norm_out``, and
      its numbers as they are at this step: ``scale_by_learning_rate/learning_rate``; for one with
      the role ``clip``, or *clip* in its own name, ``clip_by_global_norm/clip_factor``, the norm
      that it left over the norm that came in;
    - ``vanishing`` and ``exploding``, the number of layers whose gradient is too small or too
      large, see ``healthy``;
    - with ``by``, for each layer ``gradient_norm/<layer>``, ``update_norm/<layer>``,
      ``parameter_norm/<layer>``, ``update_ratio/<layer>`` and ``health/<layer>``: -1 if it
      vanishes, 1 if it explodes, else 0;
    - ``step``: which update they are of, 1 for the first.

    Leaves that are frozen take part in nothing. A norm that is not finite is shown as it is.

    The first update is measured and each ``every``-th, by a second run of ``inner`` whose updates
    are thrown away; between, the metrics stay as they are and cost next to nothing. With
    ``every=1`` there is but one run. To measure takes about as long as an update, of the optimizer
    alone, so that the default costs a hundredth of that. Around ``accumulate`` it counts
    micro-steps; ``accumulate(watch(tx), 8)`` counts steps.

    Args:
        inner: the transformation, most often a whole optimizer.
        every: of how many updates one is measured, besides the first.
        by: the layers: ``"path"``, each leaf; ``"group"``, the groups of ``groups``,
            ``partition`` or ``masked``; ``f(path, leaf) -> name``; or a tree of names. By default
            each leaf, without metrics of its own.
        healthy: the least and the largest root mean square of a layer's gradient that is neither
            vanishing nor exploding, in units of the upper quartile of all layers whose gradient is
            finite and not zero. Of only two such layers nothing says which is the usual one:
            neither vanishes nor explodes.
        relative: whether ``healthy`` is in those units; else it is in units of the gradient.

    Raises:
        ValueError: if ``every`` is less than 1, ``by`` is another string, there are no groups for
            ``by="group"``, or ``healthy`` is no pair, or begins with the larger number.
        TypeError: if ``update`` is called without ``params``.

    Example:
        >>> import gradchain as gc
        >>> tx = watch(gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(0.1)), every=1)
        >>> params = {"w": jnp.array([3.0, 4.0])}
        >>> updates, state = tx.update({"w": jnp.array([0.0, 2.0])}, tx.init(params), params)
        >>> for name in ("gradient_norm", "clip_by_global_norm/clip_factor", "update_ratio"):
        ...     print(name, gc.metrics(state)[name])
        gradient_norm 2.0
        clip_by_global_norm/clip_factor 0.5
        update_ratio 0.02
    """
    if isinstance(by, str) and by not in ("path", "group"):
        raise ValueError(
            "watch: by must be 'path', 'group', a function of path and leaf, or a tree,"
            f" not {by!r}."
        )
    if not (isinstance(healthy, tuple | list) and len(healthy) == 2):
        raise ValueError(
            "watch: healthy must be a pair, the least and the largest that is healthy,"
            f" not {healthy!r}."
        )
    refuse_inverted("watch: healthy", least=healthy[0], largest=healthy[1])
    return Watched(inner, every, by, healthy, relative)


class Watched(Body):
    """A transformation, with a measurement of it."""

    needs_step = True

    def __init__(
        self,
        inner: GradientTransformation,
        every: int,
        by: Where | None,
        healthy: Sequence[Numeric],
        relative: bool,
    ):
        self.members = {"inner": inner}
        self.inner, self.every = inner, every
        self.layers_of = lambda params: Layers(inner, by, healthy, relative, params)
        self.locality = inner.locality
        self.extras = inner.extras
        self.freezes = inner.freezes
        self.reduces_examples = inner.facts.reduces_examples
        self.reduces_shards = inner.facts.reduces_shards

    def init(self, params: Params) -> State:
        """See ``Body``."""
        state = self.inner.init(params)
        dtype = real_dtype_of(params)
        numbers = {name: jnp.zeros((), dtype) for name in _names(self, state, params)}
        entry = {"metrics": numbers, "inner": state}
        return {k: v for k, v in entry.items() if v}

    @classmethod
    def run(
        cls,
        stages: list[Stage],
        columns: Columns,
        states: list[Any],
        extra: dict[str, Any],
    ) -> tuple[Columns, list[Any]]:
        """See ``Body``."""
        (stage,), (entry,) = stages, states
        body = stage.body
        is_dict = isinstance(entry, dict)
        own = {k: x for k, x in entry.items() if k != "inner"} if is_dict else entry
        check_slots(stage.name, {"metrics"}, own)
        old = entry["metrics"]
        state = entry.get("inner", {})
        updates, params = columns.updates, columns.params
        if params is None and jax.tree.leaves(updates):
            way_out = "call update(grads, state, params)"
            raise TypeError(f"update: {stage.name!r} needs params: {way_out}.")
        names = _names(body, state, updates if params is None else params)
        check_slots(f"{stage.name}/metrics", set(names), old)
        check_numbers(f"{stage.name}/metrics", old, dict.fromkeys(names, scalar))
        outer = _outer.get()
        if outer is not None and outer.measures:  # it shows its numbers by itself
            new_updates, new_state = _run_once(body.inner, updates, state, params, extra)
            return columns.with_updates(new_updates), [_entry(entry, old, new_state)]
        run = lambda: _measured_run(body, stage.count, updates, state, params, extra, old)
        programs = {} if outer is None else outer.programs
        with trusting_extras():
            if body.every == 1:
                new_updates, new_state, metrics = run()
            else:
                due = (stage.count == 0) | (remainder(increment(stage.count), body.every) == 0)
                with _inside(Outer(True, programs)):
                    metrics = cond(due, lambda: run()[2], lambda: old)
                updates = _after(metrics["step"] >= 0, updates)
                run_inner = _run if outer is None else _run_once
                with _inside(Outer(False, programs)):
                    new_updates, new_state = run_inner(body.inner, updates, state, params, extra)
        return columns.with_updates(new_updates), [_entry(entry, metrics, new_state)]


class Outer(NamedTuple):
    """A watch that is at work around others.

    A watch runs its members twice, to measure and to update: a watch in a watch in a watch would be
    traced eight times. So one that is inside does not measure while the outer one does, and its
    members are one program, which is traced once.

    Attributes:
        measures: whether it measures now.
        programs: by the members that a watch inside holds, the program that runs them.
    """

    measures: bool
    programs: dict[Any, Callable[..., tuple[Updates, State]]]


_outer: contextvars.ContextVar[Outer | None] = contextvars.ContextVar("_outer", default=None)


@contextlib.contextmanager
def _inside(outer: Outer) -> Iterator[None]:
    token = _outer.set(outer)
    try:
        yield
    finally:
        _outer.reset(token)


def _run(
    tx: GradientTransformation,
    updates: Updates,
    state: State,
    params: Params | None,
    extra: dict[str, Any],
) -> tuple[Updates, State]:
    made, new_state = run_stages(tx.members, Columns.of(updates, params), state, extra)
    return made.updates, new_state


def _run_once(
    tx: GradientTransformation,
    updates: Updates,
    state: State,
    params: Params | None,
    extra: dict[str, Any],
) -> tuple[Updates, State]:
    """Run the members of an inner watch, traced once."""
    leaves, treedef = jax.tree.flatten(tx)
    numbers = tuple(x if isinstance(x, float) else None for x in leaves)
    fixed = {k: v for k, v in extra.items() if isinstance(v, str) or callable(v)}
    programs = typing.cast(Outer, _outer.get()).programs

    def run(arrays: list[jax.Array], own_extra: dict[str, Any], *rest: Any) -> Any:
        own = iter(arrays)
        known = [next(own) if x is None else x for x in numbers]
        same = jax.tree.unflatten(treedef, known).with_facts_of(tx)
        with _inside(Outer(False, programs)):
            return _run(same, *rest, extra=own_extra | fixed)

    arrays = [x for x in leaves if not isinstance(x, float)]
    given = {k: v for k, v in extra.items() if k not in fixed}
    program = programs.setdefault((treedef, numbers, *fixed.items()), jax.jit(run))
    return program(arrays, given, updates, state, params)


def _entry(old: State, metrics: dict[str, jax.Array], state: State) -> State:
    parts = {"metrics": metrics, "inner": state}
    return {k: v for k, v in parts.items() if k in old or v}


def _after(always: jax.Array, updates: Updates) -> Updates:
    """The updates, once a condition is known, which always holds.

    Without it the compiler may run the update before the measurement and, where the state is
    donated, copy arrays that the measurement still has to read.
    """
    return map_leaves(lambda x: jnp.where(always, x, jnp.zeros_like(x)), updates)


def _measured_run(
    body: Watched,
    count: jax.Array,
    updates: Updates,
    state: State,
    params: Params,
    extra: dict[str, Any],
    old: dict[str, jax.Array],
) -> tuple[Updates, State, dict[str, jax.Array]]:
    """The updates, the new state, and the metrics."""
    parts = measured(body.inner, state)
    places = dict(meters(parts))
    ready = with_meters(state, {path: old[name] for name, path in places.items()})
    new_updates, new_state = run_with_meters(body.inner, updates, ready, params, extra)
    metrics: dict[str, Any] = {k: norm_at(new_state, path) for k, path in places.items()}
    for name, (before, after) in _clips(parts, metrics).items():
        factor = safe_divide(metrics[after], metrics[before])
        metrics[name] = jnp.where(metrics[before] == 0, 1.0, factor)
    gradients = updates
    if body.reduces_examples:
        gradients = tree_map_live(lambda x: jnp.mean(x, axis=0), updates)
    if body.reduces_shards:
        gradients = map_leaves(_mean_of_shards, updates, params)
    metrics |= _numbers(body.inner, state) | {"step": increment(count)}
    metrics |= body.layers_of(params).measure(gradients, new_updates, params)
    settle = lambda x, like: varying_as(
        cast(lax.stop_gradient(jnp.asarray(x)), like.dtype),
        like,
    )
    settled = {k: settle(metrics[k], old[k]) for k in old}
    return new_updates, without_meters(new_state, places.values()), settled


def _mean_of_shards(g: jax.Array, p: jax.Array) -> jax.Array:
    """The mean gradient over shards with one parameter."""
    axes = tuple(sorted(varying_axes(g) - varying_axes(p)))
    return lax.pmean(g, axes) if axes else g


def _names(body: Watched, state: State, params: Params) -> list[str]:
    """The names of all metrics.

    Raises:
        ValueError: if two have the same name.
    """
    parts = measured(body.inner, state)
    norms = [name for name, _ in meters(parts)]
    numbers = _numbers(body.inner, state)
    layers = body.layers_of(params).names
    names = [*norms, *_clips(parts, norms), *numbers, "step", *layers]
    same = [name for name, times in collections.Counter(names).items() if times > 1]
    if same:
        raise ValueError(
            f"watch: two metrics are called {first_names(same)}, because a member, a group or a"
            " layer has the name of another, or of a metric. Give one another name."
        )
    return names


def _clips(
    parts: list[PlacedMember],
    norms: Collection[str],
) -> dict[str, tuple[str, str]]:
    """Clip factors, and the norms of which they are ratios."""
    is_clip = lambda part: "clip" in part.roles or "clip" in part.path[-1]
    found = {}
    for name in [part.name for part in parts if is_clip(part)]:
        before, after = f"{name}/norm_in", f"{name}/norm_out"
        if before in norms:
            found[f"{name}/clip_factor"] = (before, after)
    return found


def _numbers(tx: GradientTransformation, state: State) -> dict[str, Numeric]:
    """The hyperparameters of each member at this step."""
    is_clock = lambda name: f"/{name}".endswith("/step")
    found = own_hyperparams(tx, state).items()
    return {name: x for name, x in found if not is_clock(name) and jnp.ndim(x) == 0}
