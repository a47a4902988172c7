"""Storage policies: slots in few bytes, around any chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core.errors import first_names
from gradchain.core.facts import Facts
from gradchain.core.ranges import StaticInt, StaticNonNegativeInt
from gradchain.core.run import run_stages
from gradchain.core.slots import Slot
from gradchain.core.stage import Body, Extra, Ran, Stage, trusting_extras
from gradchain.core.stored import Stored, is_stored
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Params, State
from gradchain.precision.codec import Codec
from gradchain.precision.codecs import codec_of
from gradchain.tree.mapping import shapes_of
from gradchain.tree.paths import flatten_like, path_name
from gradchain.tree.selecting import path_test

Path = tuple[str, ...]


@transform(roles="harmless")
def storage(
    inner: GradientTransformation | Pair,
    default: str | Codec | None = None,
    *,
    stochastic: bool = False,
    seed: StaticInt = 0,
    least_size: StaticNonNegativeInt = 4096,
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
        by_slot: how a slot is kept, by its name, ``mu="bfloat16"``, or by a glob on paths in the
            state of ``inner``, ``**{"*/nu/embed*": "int8_log"}``, the first that fits before names.
            The value is a dtype's name, the short name of a codec, a codec of
            ``gradchain.precision``, or ``None`` for no change. Counters and single numbers are
            always left alone.

    Raises:
        ValueError: for an unknown codec; at ``init``, for a name that no slot has and a glob that
            fits none, and for a complex slot in a real codec.

    Example:
        >>> import gradchain as gc
        >>> tx = storage(gc.adamw(1e-3), mu="bfloat16", nu="int8_log")
        >>> kept = tx.init(jnp.zeros((64, 64)))["storage"]["inner"]["scale_by_adam"]
        >>> print(kept["mu"].dtype, kept["nu"]["codes"].dtype, kept["nu"]["scales"].shape)
        bfloat16 int8 (64, 1)
    """
    own = {name: None if x is None else codec_of(x) for name, x in by_slot.items()}
    rest = None if default is None else codec_of(default)
    return Storage(inner, rest, own, stochastic, seed, least_size)


class Place(NamedTuple):
    """A leaf of a state that may be kept in fewer bytes."""

    path: Path
    slot: str
    leaf: jax.ShapeDtypeStruct


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
    ):
        self.default, self.by_slot, self.seed = default, by_slot, seed
        self.least_size = least_size
        self.members = {"inner": inner}
        self.locality, self.extras, self.freezes = inner.locality, inner.extras, inner.freezes
        self.reduces_examples = inner.facts.reduces_examples
        self.needs_step = stochastic
        self.slots_known = dict(_slots_in(inner.facts))

    def init(self, params: Params) -> State:
        """See ``Body``."""
        state = self.members["inner"].init(params)
        leaves, treedef = jax.tree.flatten(state)
        codecs = self.codecs(state)
        keep = lambda x, codec: x if codec is None else codec.encode(x)
        made = treedef.unflatten(map(keep, leaves, codecs))
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
            key = jax.random.fold_in(jax.random.key(body.seed), stage.count)
        kept = body.opened(state.get("inner", {}), seen, key)
        own = {k: v for k, v in extra.items() if k in inner.extras or "*" in inner.extras}
        with trusting_extras():
            columns, new = run_stages(inner.members, columns, kept, own)
        new = body.closed(kept, new)
        return columns, [{"inner": new} if new else {}]

    def opened(self, state: State, params: Params, key: jax.Array | None = None) -> State:
        """A state whose leaves say how they are kept."""
        like = jax.eval_shape(self.members["inner"].init, shapes_of(params))
        leaves, treedef = jax.tree.flatten(like)
        kept = flatten_like(treedef, state)
        made = []
        for i, (x, codec, own) in enumerate(zip(leaves, self.codecs(like), kept, strict=True)):
            own_key = None if key is None else jax.random.fold_in(key, i)
            made.append(own if codec is None else Stored(codec, x.shape, x.dtype, own, own_key))
        return treedef.unflatten(made)

    def closed(self, kept: State, new: State) -> State:
        """A state as it is kept."""
        old, treedef = jax.tree.flatten(kept, is_leaf=is_stored)

        def close(before: Any, x: Any) -> Any:
            if not is_stored(before):
                return x
            return x.parts if is_stored(x) else before.of(x).parts

        return treedef.unflatten(map(close, old, treedef.flatten_up_to(new)))

    def codecs(self, state: State) -> list[Codec | None]:
        """The codec of each leaf of a state."""
        places = list(self.places(state))
        of = self._chosen([p for p in places if p is not None])
        return [None if p is None else self._fitting(p, of(p)) for p in places]

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
                    Place(names, names[depth] if depth < len(names) else "", x)
                    if x.ndim
                    else None
                )
            else:
                yield None if slot.relation == "scalar" else Place(names, names[depth - 1], x)

    def _chosen(self, places: list[Place]) -> Callable[[Place], Codec | None]:
        """Which codec a slot is given."""
        tests = {k: path_test(k) for k in self.by_slot if not k.isidentifier()}
        names = {p.slot for p in places}
        for k in self.by_slot:
            test = tests.get(k)
            paths = ["/".join(p.path) for p in places]
            if k not in names if test is None else not any(map(test, paths)):
                known = first_names(sorted(names), 12) or "none"
                what = f"slot {k!r}" if test is None else f"path that {k!r} fits; of {paths[:1]}"
                raise ValueError(
                    f"storage: there is no {what} in {self.members['inner']!r}; its slots are"
                    f" {known}."
                )

        def codec_for(place: Place) -> Codec | None:
            path = "/".join(place.path)
            fitting = (k for k, test in tests.items() if test(path))
            return self.by_slot.get(next(fitting, place.slot), self.default)

        return codec_for

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
    """The paths of slots; of a pair of functions that of its state."""
    for name, member in facts.members.items():
        path = (*above, name)
        for slot, declared in member.slots.items():
            yield (*path, slot), declared
        if member.is_opaque:
            yield path, None
        for key, inner in member.inner.items():
            yield from _slots_in(inner, (*path, key) if key else path)
