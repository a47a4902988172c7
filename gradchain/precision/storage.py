"""Storage policies: slots in few bytes, around any chain."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.errors import first_names, quote
from gradchain.core.facts import Facts
from gradchain.core.ranges import StaticInt, StaticNonNegativeInt
from gradchain.core.run import run_stages
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Extra, Ran, Stage, trusting_extras
from gradchain.core.stored import Stored, is_stored
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Params, State
from gradchain.precision.casts import as_it_is
from gradchain.precision.codec import Codec
from gradchain.precision.codecs import codec_of
from gradchain.tree.mapping import shapes_of
from gradchain.tree.paths import flatten_like, path_name
from gradchain.tree.selecting import path_test

Path: TypeAlias = tuple[str, ...]
#: Memories by their names.
SPACES = {"device": None, "pinned_host": jax.memory.Space.Host}


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
    encoded again. It stands around the whole of a chain, or in a group around a part.

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
            after another, inside the compiled step. ``None``: beside the parameters.
        by_slot: how a slot is kept, by its name, ``mu="bfloat16"``, or by a glob on paths in the
            state of ``inner``, ``**{"*/nu/embed*": "int8_log"}``, the first that fits before names.
            The value is a dtype's name, the short name of a codec, a codec of
            ``gradchain.precision``, or ``None`` for no change. Counters and single numbers are
            always left alone.

    Raises:
        ValueError: for an unknown codec, and a memory that the devices lack; at ``init``, for a
            name that no slot has and a glob that fits none, and for a complex slot in a real codec.

    Example:
        >>> import gradchain as gc
        >>> tx = storage(gc.adamw(1e-3), mu="bfloat16", nu="int8_log")
        >>> kept = tx.init(jnp.zeros((64, 64)))["storage"]["inner"]["scale_by_adam"]
        >>> print(kept["mu"].dtype, kept["nu"]["codes"].dtype, kept["nu"]["scales"].shape)
        bfloat16 int8 (64, 1)
    """
    own = {name: None if x is None else codec_of(x) for name, x in by_slot.items()}
    rest = None if default is None else codec_of(default)
    if isinstance(memory, Mapping):
        spaces = Choice({k: space_of(kind) for k, kind in memory.items()})
    else:
        spaces = Choice(
            {},
            None if memory is None else space_of(memory),
        )
    return Storage(
        inner,
        rest,
        own,
        stochastic,
        seed,
        least_size,
        spaces,
    )


def space_of(kind: str) -> Any:
    """The memory of a name.

    Raises:
        ValueError: naming those that there are, if the devices have no such memory.
    """
    known = {m.kind for m in jax.devices()[0].addressable_memories()}
    if kind not in known & SPACES.keys():
        raise ValueError(
            f"storage: memory must be one of {quote(sorted(known & SPACES.keys()))}, not {kind!r};"
            f" {jax.devices()[0].platform} has {quote(sorted(known))}."
        )
    return SPACES[kind]


def _kept(x: jax.Array, way: Way | None) -> Any:
    """A first value as it is kept."""
    if way is None:
        return x
    parts = way.codec.encode(x)
    return parts if way.space is None else jax.device_put(parts, way.space)


class Place(NamedTuple):
    """A leaf of a slot."""

    path: Path
    slot: str
    leaf: jax.ShapeDtypeStruct


class Way(NamedTuple):
    """How a leaf is kept, and in which memory."""

    codec: Codec
    space: Any


@dataclasses.dataclass(frozen=True)
class Choice:
    """A choice for slots, by name or path.

    Attributes:
        by_slot: what is chosen, by name or glob; the first glob that fits goes before names.
        default: what is chosen for others.
    """

    by_slot: Mapping[str, Any]
    default: Any = None

    @functools.cached_property
    def tests(self) -> dict[str, Callable[[str], bool]]:
        """The globs."""
        return {k: path_test(k) for k in self.by_slot if not k.isidentifier()}

    def of(self, place: Place) -> Any:
        """The choice for a slot."""
        path = "/".join(place.path)
        fitting = (k for k, test in self.tests.items() if test(path))
        return self.by_slot.get(
            next(fitting, place.slot),
            self.default,
        )

    def check(self, places: list[Place], tx: GradientTransformation) -> None:
        """Refuse names and globs that no slot fits."""
        names, paths = {p.slot for p in places}, ["/".join(p.path) for p in places]
        known = first_names(sorted(names), 12) or "none"
        for k in self.by_slot:
            test = self.tests.get(k)
            if k in names or (test is not None and any(map(test, paths))):
                continue
            what = f"slot {k!r}" if test is None else f"path like {k!r}"
            example = f", with paths like {paths[0]!r}" if paths else ""
            raise ValueError(
                f"storage: there is no {what} in the state of {tx!r}; its slots are"
                f" {known}{example}."
            )


class Storage(Body):
    """A transformation whose slots are kept by codecs."""

    def __init__(
        self,
        inner: GradientTransformation,
        default: Codec | None,
        by_slot: Mapping[str, Codec | None],
        stochastic: bool,
        seed: int,
        least_size: int,
        memory: Choice,
    ):
        self.codecs, self.spaces = Choice(by_slot, default), memory
        self.seed, self.least_size = seed, least_size
        self.members = {"inner": inner}
        self.locality, self.extras, self.freezes = inner.locality, inner.extras, inner.freezes
        self.reduces_examples = inner.facts.reduces_examples
        self.needs_step = stochastic
        self.slots_known = dict(_slots_in(inner.facts))

    def init(self, params: Params) -> State:
        """See ``Body``."""
        state = self.members["inner"].init(params)
        leaves, treedef = jax.tree.flatten(state)
        made = treedef.unflatten(map(_kept, leaves, self.ways(state)))
        return {"inner": made} if made else {}

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
        own = {k: v for k, v in extra.items() if k in inner.extras or "*" in inner.extras}
        with trusting_extras():
            columns, new = run_stages(inner.members, columns, kept, own)
        new = body.closed(kept, new)
        return columns, [{"inner": new} if new else {}]

    def opened(self, state: State, params: Params, key: jax.Array | None = None) -> State:
        """A state whose leaves say how they are kept."""
        like = jax.eval_shape(
            self.members["inner"].init,
            shapes_of(params),
        )
        leaves, treedef = jax.tree.flatten(like)
        kept = flatten_like(treedef, state)
        made = []
        for i, (x, way, own) in enumerate(
            zip(
                leaves,
                self.ways(like),
                kept,
                strict=True,
            )
        ):
            if way is None:
                made.append(own)
                continue
            own_key = None if key is None else jax.random.fold_in(key, i)
            made.append(
                Stored(
                    way.codec,
                    x.shape,
                    x.dtype,
                    own,
                    own_key,
                    way.space,
                )
            )
        return treedef.unflatten(made)

    def closed(self, kept: State, new: State) -> State:
        """A state as it is kept."""
        old, treedef = jax.tree.flatten(kept, is_leaf=is_stored)

        def close(before: Any, x: Any) -> Any:
            if not is_stored(before):
                return x
            return x.parts if is_stored(x) else before.of(x).parts

        return treedef.unflatten(map(close, old, treedef.flatten_up_to(new)))

    def ways(self, state: State) -> list[Way | None]:
        """How each leaf is kept; ``None``: as it is."""
        places = list(self.places(state))
        of_slots = [p for p in places if p is not None]
        self.codecs.check(
            of_slots,
            self.members["inner"],
        )
        self.spaces.check(
            of_slots,
            self.members["inner"],
        )
        return [None if p is None else self._way(p) for p in places]

    def _way(self, place: Place) -> Way | None:
        codec, space = (
            self._fitting(
                place,
                self.codecs.of(place),
            ),
            self.spaces.of(place),
        )
        if codec is None and space is None:
            return None
        return Way(codec or as_it_is(), space)

    def places(self, state: State) -> Iterator[Place | None]:
        """Each leaf that belongs to a slot; ``None`` for others."""
        for path, x in jax.tree_util.tree_leaves_with_path(state):
            names = tuple(path_name((key,)) for key in path)
            depth = next(
                (i for i in range(len(names), 0, -1) if names[:i] in self.slots_known), 0
            )
            slot = self.slots_known.get(names[:depth])
            if not depth or not jnp.issubdtype(x.dtype, jnp.inexact):
                yield None
            elif slot is None:  # of a pair of functions, which declares none
                yield (
                    Place(
                        names,
                        names[depth] if depth < len(names) else "",
                        x,
                    )
                    if x.ndim
                    else None
                )
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
        if jnp.issubdtype(place.leaf.dtype, jnp.complexfloating):
            path = "/".join(place.path)
            raise ValueError(
                f"storage: {codec!r} cannot keep {path!r}, which is complex. Leave it as it is:"
                f" **{{{path!r}: None}}."
            )
        return None if codec.has_blocks and place.leaf.size < self.least_size else codec


def _slots_in(facts: Facts, above: Path = ()) -> Iterator[tuple[Path, Slot | None]]:
    """The paths of slots, and of states of foreign pairs."""
    for name, member in facts.members.items():
        path = (*above, name)
        for slot, declared in member.slots.items():
            yield (*path, slot), declared
        if member.is_opaque:
            yield path, None
        for key, inner in member.inner.items():
            yield from _slots_in(
                inner,
                (*path, key) if key else path,
            )
