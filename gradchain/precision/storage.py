"""Storage policies: slots in few bytes, around any chain."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import other_state, shape_dtype
from gradchain.core.facts import slots_in
from gradchain.core.ranges import StaticInt, StaticNonNegativeInt
from gradchain.core.run import run_stages
from gradchain.core.stage import (
    Body,
    Extra,
    Ran,
    Stage,
    run_inside,
    taken_by,
    trusting_extras,
)
from gradchain.core.stored import Stored, is_stored
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Params, Shape, State
from gradchain.precision.codec import Codec
from gradchain.precision.codecs import codec_of
from gradchain.precision.places import (
    AsItIs,
    Choice,
    Path,
    Place,
    names_of,
    spaces_of,
)
from gradchain.tree.mapping import upcast
from gradchain.tree.paths import named_leaves, path_name


@transform
def storage(
    inner: GradientTransformation | Pair,
    default: str | Codec | None = None,
    *,
    stochastic: bool = False,
    seed: StaticInt = 0,
    least_size: StaticNonNegativeInt = 4096,
    memory: str | Mapping[str, str] | None = None,
    **by_slot: str | Codec | None,
) -> Body:
    r"""Keep the slots of a chain in fewer bytes.

    What rules compute with is decoded from what is kept, in float32 at least, and what they make is
    encoded again. It stands around the whole of a chain, or in a group around a part. What is in it
    may have a policy of its own, which holds there.

    .. math::
        \hat s = \mathrm{decode}(c_{t-1}), \quad (u, s) = \mathrm{update}(g, \hat s, p), \quad c_t =
        \mathrm{encode}(s)

    Args:
        inner: the transformation.
        default: how slots are kept that no other argument names; ``None``: as they are.
        stochastic: whether what is kept is rounded up or down by chance, so that it is right on
            average, instead of to nearest. It is the same again for the same step and leaf.
        seed: of that chance.
        least_size: codecs with blocks leave slots of fewer elements alone: there is little to save.
        memory: where slots are kept, for example ``"pinned_host"`` for the memory of the host, or
            by slot and glob, ``{"nu": "pinned_host"}``. They are brought to the device, one leaf
            after another, inside the compiled step. ``None``: beside the parameters. On CPUs such a
            state must not be donated: jaxlib 0.10 fails there.
        by_slot: how a slot is kept, by its name, ``mu="bfloat16"``, or by a glob on paths in the
            state of ``inner``, ``**{"*/nu/embed*": "int8_log"}``, the first that fits before names.
            The value is a dtype's name, the short name of a codec, a codec of
            ``gradchain.precision``, or ``None`` for no change. Counters and single numbers are
            always left alone.

    Raises:
        ValueError: for an unknown codec, and a memory that the devices lack; at ``init``, for a
            name that no slot has and a glob that fits none, and for a complex slot in a real codec.

    Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2021,
    https://arxiv.org/abs/2110.02861

    Example:
        >>> import gradchain as gc
        >>> tx = storage(gc.adamw(1e-3), mu="bfloat16", nu="uint8_log")
        >>> kept = tx.init(jnp.zeros((64, 64)))["storage"]["inner"]["scale_by_adam"]
        >>> print(kept["mu"].dtype, kept["nu"]["codes"].dtype, kept["nu"]["scales"].shape)
        bfloat16 uint8 (64, 1)
    """
    own = {name: None if x is None else codec_of(x) for name, x in by_slot.items()}
    rest = None if default is None else codec_of(default)
    return Storage(
        inner,
        Choice(own, rest),
        spaces_of(memory),
        stochastic,
        seed,
        least_size,
    )


class Storage(Body):
    """A transformation whose slots are kept by codecs."""

    stores = True

    def __init__(
        self,
        inner: GradientTransformation,
        codecs: Choice,
        spaces: Choice,
        stochastic: bool,
        seed: int,
        least_size: int,
    ):
        self.codecs, self.spaces = codecs, spaces
        self.seed, self.least_size = seed, least_size
        self.members = {"inner": inner}
        self.locality, self.extras, self.freezes = inner.locality, inner.extras, inner.freezes
        self.reduces_examples = inner.facts.reduces_examples
        self.reduces_shards = inner.facts.reduces_shards
        self.needs_step = stochastic
        self.slots_known = dict(slots_in(inner.facts, in_stores=False))

    def init(self, params: Params) -> State:
        """See ``Body``."""
        inner = self.members["inner"]
        state = inner.init(params)
        form = inner.kept("form", dict)  # a nest would ask again at each level
        form.clear()
        form[_types(params)] = jax.tree.map(_type, state)
        made = self.encoded(state)
        return {"inner": made} if made else {}

    def encoded(self, state: State) -> State:
        """A state of arrays, as it is kept."""
        leaves, treedef = jax.tree.flatten(state)
        keep = lambda x, way: x if way is None else way.of(x).parts
        return treedef.unflatten(map(keep, leaves, self.ways(state)))

    @classmethod
    def run(cls, stages: list[Stage], columns: Any, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        body = stage.body
        inner = body.members["inner"]
        seen = columns.updates if columns.params is None else columns.params
        key = None
        if body.needs_step:
            key = jax.random.fold_in(
                jax.random.key(body.seed),
                stage.count,
            )
        kept = body.opened(
            state.get("inner", {}),
            seen,
            key,
        )
        if columns.adds and type(inner) is GradientTransformation:
            with trusting_extras():
                own = taken_by(inner, extra)
                columns, new = run_stages(inner.members, columns, kept, own)
        else:
            u, new = run_inside(
                inner,
                upcast(columns.updates),
                kept,
                columns.params,
                extra,
            )
            columns = columns.with_updates(u)
        new = body.closed(kept, new)
        return columns, [{"inner": new} if new else {}]

    def opened(self, state: State, params: Params, key: jax.Array | None = None) -> State:
        """A state whose leaves say how they are kept.

        What has another form stays as it is: the member that it belongs to says what is wrong.
        """
        like = self._form(params)
        treedef = jax.tree.structure(like)
        ways = self.ways(like)
        if key is not None:
            with_key = lambda i, way: dataclasses.replace(
                way,
                key=jax.random.fold_in(key, i),
            )
            ways = [way and with_key(i, way) for i, way in enumerate(ways)]
        return _opened((), treedef.unflatten(ways), state)

    def _form(self, params: Params) -> State:
        """The shapes and dtypes of its inner state, found once."""
        inner, known = self.members["inner"], _types(params)
        form = inner.kept("form", dict)
        if known not in form:
            form.clear()
            # Not by ``eval_shape``, out of whose trace numbers that are traced may not come.
            form[known] = jax.tree.map(
                _type,
                inner.init(params),
            )
        return form[known]

    def closed(self, kept: State, new: State) -> State:
        """A state as it is kept."""
        old, treedef = jax.tree.flatten(kept, is_leaf=is_stored)

        def close(before: Any, x: Any) -> Any:
            if not is_stored(before):
                return x
            return x.parts if is_stored(x) else before.of(x).parts

        return treedef.unflatten(map(close, old, treedef.flatten_up_to(new)))

    def ways(self, state: State) -> list[Stored | None]:
        """How each leaf is kept; ``None``: as it is.

        Its parts are yet to come.
        """
        places = list(self.places(state))
        of_slots = [p for p in places if p is not None]
        names = {p.slot for p in of_slots} | set(names_of(self.slots_known))
        for choice in (self.codecs, self.spaces):
            choice.check(
                ["/".join(p.path) for p in of_slots],
                names,
                self.members["inner"],
            )
        return [None if p is None else self._way(p) for p in places]

    def _way(self, place: Place) -> Stored | None:
        codec, space = (
            self._fitting(
                place,
                self.codecs.of(place),
            ),
            self.spaces.of(place),
        )
        if codec is None and space is None:
            return None
        leaf = place.leaf
        _parts_of(
            codec or AsItIs(),
            leaf.shape,
            jnp.dtype(leaf.dtype),
        )  # refused in time
        return Stored(
            codec or AsItIs(),
            leaf.shape,
            leaf.dtype,
            None,
            space=space,
        )

    def places(self, state: State) -> Iterator[Place | None]:
        """Each leaf that belongs to a slot; ``None`` for others."""
        for path, x in jax.tree_util.tree_leaves_with_path(state):
            names = tuple(map(_name, path))
            depth = next(
                (i for i in range(len(names), 0, -1) if names[:i] in self.slots_known), 0
            )
            slot = self.slots_known.get(names[:depth])
            if not depth or not jnp.issubdtype(x.dtype, jnp.inexact):
                yield None
            elif slot is None:  # of a pair of functions, which declares none
                named = (name for name in names[depth:] if not name.isdigit())  # in tuples
                yield Place(names, next(named, ""), x) if x.ndim else None
            else:
                yield (
                    None
                    if slot.relation == "scalar"
                    else Place(
                        names,
                        names[depth - 1],
                        x,
                    )
                )

    def _fitting(self, place: Place, codec: Codec | None) -> Codec | None:
        """A codec, if it can keep a leaf."""
        if codec is None:
            return None
        if jnp.issubdtype(place.leaf.dtype, jnp.complexfloating) and not codec.takes_complex:
            path = "/".join(place.path)
            raise ValueError(
                f"storage: {codec!r} cannot keep {path!r}, which is complex. Leave it as it is:"
                f" **{{{path!r}: None}}."
            )
        return None if codec.has_blocks and place.leaf.size < self.least_size else codec


def _type(x: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(
        jnp.shape(x),
        jnp.result_type(x),
    )


def _types(params: Params) -> Any:
    """The form of a tree, for a dict."""
    leaves, treedef = jax.tree.flatten(params)
    types = tuple((x.shape, jnp.dtype(x.dtype)) for x in leaves)
    return treedef, types, jax.config.read("jax_enable_x64")


def _opened(path: Path, way: Any, own: Any) -> Any:
    """A part of a state, kept as ``way`` says."""
    if isinstance(way, dict) and isinstance(own, dict):
        return {
            k: _opened(
                (*path, k),
                way[k],
                v,
            )
            if k in way
            else v
            for k, v in own.items()
        }
    is_leaf = lambda x: x is None or is_stored(x)
    ways, treedef = jax.tree_util.tree_flatten_with_path(way, is_leaf=is_leaf)
    try:
        columns = treedef.flatten_up_to(own)
    except (ValueError, TypeError, KeyError):
        return own
    pairs = zip(ways, columns, strict=True)
    fill = lambda keys, w, x: (
        x
        if w is None
        else _filled(
            (*path, *map(_name, keys)),
            w,
            x,
        )
    )
    return treedef.unflatten([fill(keys, w, x) for (keys, w), x in pairs])


def _filled(path: Path, way: Stored, parts: Any) -> Stored:
    """Fill a slot with what is kept of it.

    Raises:
        TypeError: naming the path, if it is of another dtype.
        ValueError: naming the path, if it is of another form or shape.
    """
    expected = _parts_of(
        way.codec,
        way.shape,
        jnp.dtype(way.dtype),
    )
    found = jax.tree.map(_type, parts)
    if found == expected:
        if way.space is not None:  # a serializer may have brought it to the device
            parts = jax.device_put(parts, way.space)
        return dataclasses.replace(way, parts=parts)
    shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
    is_of_shape = shapes(found) == shapes(expected)
    way_out = (
        ". If it is of another storage policy, or of none, gradchain.adopt_state(tx, state, params)"
        " carries it over."
    )
    raise (TypeError if is_of_shape else ValueError)(
        f"update: slot {'/'.join(path)!r} in the state of 'storage' is kept as {_text(found)}, but"
        f" {way.codec!r} keeps it as {_text(expected)}"
        + (way_out if is_of_shape else other_state(way_out))
    )


@functools.lru_cache(1000)
def _parts_of(codec: Any, shape: Shape, dtype: Any) -> Any:
    """The shapes and dtypes of what a codec keeps."""
    like = jax.ShapeDtypeStruct(shape, dtype)
    parts = jax.eval_shape(codec.encode, like)
    back = jax.eval_shape(codec.decode, parts, like)
    if back.shape != shape:
        raise ValueError(
            f"storage: {codec!r} makes {shape_dtype(back)} of what it keeps of"
            f" {shape_dtype(like)}: decode(parts, like) must return the shape like.shape."
        )
    return jax.tree.map(_type, parts)


def _text(parts: Any) -> str:
    """Arrays by name, dtype and shape."""
    named = named_leaves(parts)
    one = lambda name, x: f"{name} {'None' if x is None else shape_dtype(x)}".strip()
    return ", ".join(one(name, x) for name, x in named)


def _name(key: Any) -> str:
    return path_name((key,))
