"""ZeRO-1 under ``jit``: each device updates its part."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax import core
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gradchain.core.slot_specs import Sizes
from gradchain.core.stage import Body, Extra, Ran, Stage, run_inside
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Params, State, Tree
from gradchain.distributed.layouts import AnyMesh, axes_in, joined, parted, sizes_of, zero_spec
from gradchain.distributed.state_sharding import spread
from gradchain.numerics.reductions import manual_axes
from gradchain.tree.mapping import upcast
from gradchain.tree.paths import flatten, flatten_like, named_leaves


@transform
def zero1(
    inner: GradientTransformation | Pair,
    *,
    axis: str = "data",
    mesh: Mesh | None = None,
    param_specs: Any = None,
) -> Body:
    r"""Split a state, and its update, over replicas.

    In data parallel training each device has all parameters, and would keep all of the state and
    make the same update. Here each keeps the :math:`n`-th part, updates with that part of gradients
    and parameters, and gathers the updates of the others:

    .. math::
        u = \mathrm{gather}_i\ \mathrm{update}(g_i, s_i, p_i)

    A leaf is split along its largest dimension that the devices divide, and that no axis of another
    type splits. It is for plain ``jit`` and
    any chain: rules that look at whole leaves, matrices or trees give what they give on one device.
    XLA makes a reduce-scatter of the sum of gradients where it can. Also known as weight update
    sharding. It stands outermost, around guards, accumulation and ways of rounding too:
    ``zero1(split_weights(storage(adamw(1e-3), "int8_log")))``.

    Args:
        inner: the transformation.
        axis: the axis of the mesh that the batch is split over.
        mesh: the mesh of devices; ``None``: the one that the parameters lie on, or that of
            ``jax.set_mesh``.
        param_specs: a tree of ``PartitionSpec`` like the parameters, if they are split over further
            axes whose type is ``Auto``; else they are taken to be whole on each replica. Axes of
            type ``Explicit`` stand in the type of an array.

    Raises:
        ValueError: if no mesh is known, it lacks the axis, or parameters are split and nothing says
            how; and inside ``shard_map``, where ``zero1_flat`` is right.

    Source: Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter
    models", 2020, https://arxiv.org/abs/1910.02054

    Example:
        >>> import gradchain as gc
        >>> mesh = jax.make_mesh((jax.device_count(),), ("data",))
        >>> params = {"w": jax.numpy.ones((jax.device_count(), 3))}
        >>> state = zero1(gc.adam(1e-3), mesh=mesh).init(params)
        >>> state["zero1"]["inner"]["scale_by_adam"]["mu"]["w"].sharding.spec
        P('data', None)
    """
    return Zero(inner, axis, mesh, param_specs)


class Zero(Body):
    """A transformation of which each replica has a part."""

    is_outermost = True  # what is around it would have a whole state

    def __init__(
        self, inner: GradientTransformation, axis: str, mesh: Mesh | None, param_specs: Any
    ):
        self.axis, self.mesh, self.param_specs = axis, mesh, param_specs
        self.members = {"inner": inner}
        self.locality, self.extras, self.freezes = inner.locality, inner.extras, inner.freezes
        self.reduces_examples = inner.facts.reduces_examples

    def init(self, params: Params) -> State:
        """See ``Body``."""
        parts = self.parts_of(params)
        if self.param_specs is None:
            parts.check(params)
        inner = self.members["inner"]
        state = parts.of_state(inner, inner.init(parts.split(params)))
        return {"inner": state} if state else {}

    @classmethod
    def run(cls, stages: list[Stage], columns: Any, states: list[Any], extra: Extra) -> Ran:
        """See ``Body``."""
        (stage,), (state,) = stages, states
        body, g, p = stage.body, columns.updates, columns.params
        inner = body.members["inner"]
        parts = body.parts_of(g if p is None else p)
        own = parts.split(g)
        if "grad" in inner.extras:
            extra = extra | {"grad": own}
        before = parts.of_state(inner, state.get("inner", {}))
        low = None if p is None else parts.split(p)
        u, new = run_inside(inner, upcast(own), before, low, extra)
        new = parts.of_state(inner, new)
        return columns.with_updates(parts.gathered(u)), [{"inner": new} if new else {}]

    def parts_of(self, params: Params) -> Parts:
        """How the leaves are split."""
        if self.axis in manual_axes():
            raise ValueError(
                f"zero1: inside shard_map over {self.axis!r} each device sees its own part already:"
                " use zero1_flat there, or zero1 under plain jit."
            )
        mesh = _mesh_around(params) if self.mesh is None else _as_in_trace(self.mesh, params)
        sizes = sizes_of(mesh, self.axis, "zero1")
        leaves, treedef = flatten(params)
        given: list[Any] = [None] * len(leaves)
        if self.param_specs is not None:
            given = flatten_like(treedef, self.param_specs)
        typed = _axes_in_types(mesh)
        pairs = zip(leaves, given, strict=True)
        old = [_spec_of(x, spec, typed) for x, spec in pairs]
        shapes = [None if x is None else x.shape for x in leaves]
        rows = zip(shapes, old, strict=True)
        apart = _apart(self.axis, typed, sizes)
        new = [zero_spec(shape or (), spec, self.axis, sizes, apart) for shape, spec in rows]
        return Parts(self.axis, mesh, typed, treedef, shapes, old, new)


@dataclasses.dataclass(frozen=True)
class Parts:
    """How leaves are split while they are updated.

    Attributes:
        axis: the axis of replicas.
        mesh: the mesh of devices.
        typed: the axes of it that stand in the types of arrays.
        treedef: the structure of the parameters.
        shapes: their shapes.
        old: how they are split.
        new: how they are while they are updated.
    """

    axis: str
    mesh: AnyMesh
    typed: frozenset[str]
    treedef: Any
    shapes: list[Any]
    old: list[Any]
    new: list[Any]

    @property
    def sizes(self) -> dict[str, int]:
        """The lengths of the axes of the mesh."""
        return dict(self.mesh.shape)

    def split(self, tree: Tree) -> Tree:
        """The leaves in parts; of other shapes as they are."""
        leaves = flatten_like(self.treedef, tree)
        rows = zip(leaves, self.shapes, self.new, strict=True)
        fit = lambda x, shape, spec: self._laid(x, spec) if x.shape == shape else x
        return self.treedef.unflatten([None if x is None else fit(x, *row) for x, *row in rows])

    def gathered(self, tree: Tree) -> Tree:
        """The leaves as they were split before."""
        leaves = flatten_like(self.treedef, tree)
        rows = zip(leaves, self.old, self.new, strict=True)
        back = lambda x, old, new: x if old == new else self._laid(x, old)
        return self.treedef.unflatten([None if x is None else back(x, *row) for x, *row in rows])

    def of_state(self, inner: GradientTransformation, state: State) -> State:
        """A state whose slots are split as these parts."""
        like = self._state_of(inner)
        if jax.tree.structure(like) != jax.tree.structure(state):
            return state  # of which the member says what is wrong

        def lay(x: jax.Array, to: Any) -> jax.Array:
            if not isinstance(to, jax.ShapeDtypeStruct):  # of a tree without leaves
                return x
            fits = x.shape == to.shape and to.sharding.memory_kind != "pinned_host"
            spec = spread(to, self.axis, self.sizes, _apart(self.axis, self.typed, self.sizes))
            return self._laid(x, spec) if fits else x

        return jax.tree.map(lay, state, like)

    def _state_of(self, inner: GradientTransformation) -> State:
        """The shapes of a state, found once for a nest."""
        key = (self.treedef, tuple(self.shapes), tuple(self.new), self.mesh)
        known = inner.kept("state of parts", dict)
        if key in known:
            return known[key]
        put = lambda shape, spec: jax.ShapeDtypeStruct(
            shape, "float32", sharding=NamedSharding(self.mesh, spec)
        )
        rows = zip(self.shapes, self.new, strict=True)
        leaves = [None if shape is None else put(shape, spec) for shape, spec in rows]
        like = inner.init(self.treedef.unflatten(leaves))
        if not any(isinstance(x, core.Tracer) for x in jax.tree.leaves(like)):
            known[key] = like
        return like

    def _laid(self, x: jax.Array, spec: PartitionSpec) -> jax.Array:
        """An array split by a spec."""
        in_type, others = parted(spec, x.ndim, self.typed)
        if not isinstance(x, core.Tracer):
            return jax.device_put(x, NamedSharding(_real(self.mesh), spec))
        if self.typed:
            x = jax.sharding.reshard(x, NamedSharding(self.mesh, in_type))
        if len(self.typed) == len(self.sizes):
            return x
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, others))

    def check(self, params: Params) -> None:
        """Refuse parameters split as a step cannot see."""
        for name, x in named_leaves(params):
            sharding = getattr(x, "sharding", None) if not isinstance(x, core.Tracer) else None
            if not isinstance(sharding, NamedSharding):
                continue
            if any(set(axes_in(part)) - self.typed for part in sharding.spec):
                raise ValueError(
                    f"zero1: {name!r} is split by {sharding.spec}, which its type does not say"
                    " inside jit: give param_specs=, or make the axes of the mesh Explicit."
                )


def _axes_in_types(mesh: AnyMesh) -> frozenset[str]:
    """The axes of a mesh that are of type ``Explicit``."""
    pairs = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return frozenset(name for name, kind in pairs if kind == AxisType.Explicit)


def _apart(axis: str, typed: frozenset[str], sizes: Sizes) -> frozenset[str]:
    """The axes of another type than that of replicas.

    They split no dimension together: of one that an explicit axis splits, jit gives back parts over
    this axis alone.
    """
    return typed.symmetric_difference(sizes) if axis in typed else typed


def _spec_of(x: Any, given: Any, typed: frozenset[str]) -> PartitionSpec:
    """How a parameter is split; its type may say it."""
    given = PartitionSpec() if given is None else given
    if not typed or not isinstance(x, jax.Array):
        return given
    own = jax.typeof(x).sharding
    in_type = PartitionSpec() if own.mesh.empty else own.spec
    return joined(in_type, parted(given, x.ndim, typed)[1])


def _mesh_around(params: Params) -> AnyMesh:
    """The mesh that arrays lie on, or that is set."""
    for x in jax.tree.leaves(params):
        seen = jax.typeof(x) if isinstance(x, core.Tracer) else x
        sharding = getattr(seen, "sharding", None)
        if isinstance(sharding, NamedSharding) and not sharding.mesh.empty:
            return sharding.mesh
    around = jax.sharding.get_abstract_mesh()
    if around.empty:
        raise ValueError(
            "zero1: it is not known on which devices to split the state. Put the parameters on a"
            " mesh, jax.device_put(params, NamedSharding(mesh, PartitionSpec())), or give mesh=, or"
            " call it inside jax.set_mesh(mesh)."
        )
    return around


def _as_in_trace(mesh: Mesh, params: Params) -> AnyMesh:
    """A mesh whose axes have the types of the trace."""
    around = jax.sharding.get_abstract_mesh()
    is_traced = any(isinstance(x, core.Tracer) for x in jax.tree.leaves(params))
    return around if is_traced and around.shape == mesh.shape else mesh


def _real(mesh: AnyMesh) -> Mesh:
    return mesh if isinstance(mesh, Mesh) else jax.sharding.get_mesh()
