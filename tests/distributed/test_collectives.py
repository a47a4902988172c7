"""Collectives are found in programs of eight devices, and in the text of other compilers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.distributed import Collective, collectives, collectives_table, wire_bytes

AUTO = (jax.sharding.AxisType.Auto,) * 2


def found(function, in_specs, out_specs, *shapes, dtype="float32"):
    """The collectives of a function of shards, on a mesh of four by two."""
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=AUTO)
    on_shards = jax.shard_map(
        function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )
    arguments = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    return collectives(jax.jit(on_shards).lower(*arguments).compile())


SPLIT = P("a")
KINDS = {
    "sum": (lambda x: lax.psum(x, "a"), SPLIT, P(), "all-reduce", 512, 4, 768),
    "sum of all": (
        lambda x: lax.psum(x, ("a", "b")),
        P("a", "b"),
        P(),
        "all-reduce",
        256,
        8,
        448,
    ),
    "gather": (
        lambda x: lax.all_gather(x, "b", tiled=True),
        P("b"),
        P(),
        "all-gather",
        2048,
        2,
        1024,
    ),
    "scatter": (
        lambda x: lax.psum_scatter(x, "a", tiled=True),
        P(),
        SPLIT,
        "reduce-scatter",
        2048,
        4,
        1536,
    ),
    "exchange": (
        lambda x: lax.all_to_all(x, "a", 0, 0, tiled=True),
        SPLIT,
        SPLIT,
        "all-to-all",
        512,
        4,
        384,
    ),
    "shift": (
        lambda x: lax.ppermute(x, "a", [(i, (i + 1) % 4) for i in range(4)]),
        SPLIT,
        SPLIT,
        "collective-permute",
        512,
        8,
        512,
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_found_with_its_bytes(name):
    function, in_specs, out_specs, kind, size, group, wire = KINDS[name]
    (one,) = found(function, in_specs, out_specs, (64, 8))
    assert one == Collective(kind, "f32", size, group)
    assert one.wire_bytes == wire


def test_several_arrays_in_one_exchange_are_added():
    both = lambda x, y: (lax.psum(x, "a"), lax.psum(y, "a"))
    (one,) = found(both, (SPLIT, SPLIT), (P(), P()), (64, 8), (64,))
    assert one == Collective("all-reduce", "f32", 512 + 64, 4)


def test_the_width_of_a_number_is_known():
    gather = lambda x: lax.all_gather(x, "a", tiled=True)
    assert found(gather, SPLIT, P(), (64,), dtype="int8")[0].bytes == 64
    assert found(gather, SPLIT, P(), (64,), dtype="complex64")[0].bytes == 8 * 64


def test_equal_ones_are_counted_together_and_loops_by_their_length():
    body = lambda i, x: lax.psum(x * jnp.sin(lax.psum(x, "a")), "a")
    (one,) = found(lambda x: lax.fori_loop(0, 5, body, x), SPLIT, SPLIT, (64, 8))
    assert one == Collective("all-reduce", "f32", 512, 4, 10)
    assert wire_bytes([one]) == 10 * 768


def test_those_in_branches_are_marked():
    send = lambda x: lax.cond(x[0, 0] > 0, lambda x: lax.psum(x, "a"), lambda x: x, x)
    (one,) = found(send, SPLIT, SPLIT, (64, 8))
    assert one.when == "in a branch"
    assert collectives_table([one]).splitlines()[1].endswith("in a branch")


def test_a_program_without_exchanges_has_none():
    assert collectives(jax.jit(jnp.sin).lower(np.ones(3, np.float32)).compile()) == ()


def test_one_device_sends_nothing():
    assert Collective("all-reduce", "f32", 1000, 1).wire_bytes == 0


# ------------------------------------------------------------------------------ of other compilers

HEAD = "HloModule jit_step, num_partitions=8\n"
STARTED = """
ENTRY %main (p: f32[32]) -> f32[256] {
  %p = f32[32]{0} parameter(0)
  %start = (f32[32]{0}, f32[256]{0}) all-gather-start(%p), channel_id=1, replica_groups=[1,8]<=[8]
  %done = f32[256]{0} all-gather-done(%start)
  %shift = (f32[256]{0}, f32[256]{0}, u32[], u32[]) collective-permute-start(%done), channel_id=2, \
source_target_pairs={{0,1},{1,0}}
  %shifted = f32[256]{0} collective-permute-done(%shift)
  %sum = bf16[64]{0} all-reduce-start(%q), channel_id=3, replica_groups={}, to_apply=%add
  ROOT %summed = bf16[64]{0} all-reduce-done(%sum)
}
"""
WRAPPED = """
%wrapped (p: f32[256]) -> f32[32] {
  ROOT %inner = f32[32]{0} reduce-scatter(%p), channel_id=1, \
replica_groups=[2,4]<=[8], to_apply=%add
}

ENTRY %main (p: f32[256]) -> f32[32] {
  %start = ((f32[256]{0}), f32[32]{0}) async-start(%p), calls=%wrapped
  ROOT %done = f32[32]{0} async-done(%start), calls=%wrapped
}
"""
SCATTERED = """
%all-reduce-scatter.1 (input: f32[1024,4096]) -> f32[128,4096] {
  %all-reduce.4 = f32[1024,4096]{1,0:T(8,128)} all-reduce(%input), channel_id=2, \
replica_groups={{0,1,2,3,4,5,6,7}}, to_apply=%add
  ROOT %part = f32[128,4096]{1,0:T(8,128)S(1)} dynamic-slice(%all-reduce.4, %i, %zero)
}

ENTRY %main (p: f32[1024,4096]) -> f32[128,4096] {
  ROOT %f = f32[128,4096]{1,0:T(8,128)S(1)} fusion(%p), kind=kCustom, calls=%all-reduce-scatter.1
}
"""
IN_PARTS = """
%start (p: f32[128]) -> (f32[128], f32[1024]) {
  %all-gather.11 = f32[1024]{0:T(1024)} all-gather(%p), channel_id=3, \
replica_groups=mesh['x'=4,'y'=2] {'x','y'}, dimensions={0}
  ROOT %call = (f32[128]{0}, f32[1024]{0}) custom-call(%all-gather.11), \
custom_call_target="AsyncCollectiveStart"
}

%end (p: f32[128]) -> f32[1024] {
  %all-gather.15 = f32[1024]{0:T(1024)} all-gather(%p), channel_id=3, \
replica_groups=mesh['x'=4,'y'=2] {'x','y'}, dimensions={0}
  ROOT %call.1 = f32[1024]{0} custom-call(%all-gather.15), \
custom_call_target="AsyncCollectiveDone"
}

ENTRY %main (p: f32[128]) -> f32[1024] {
  %s = (f32[128]{0}, f32[1024]{0}) fusion(%p), kind=kCustom, calls=%start
  %t = f32[1024]{0} fusion(%s), kind=kCustom, calls=%end
  ROOT %u = f32[1024]{0} all-reduce(%t), channel_id=4, \
replica_groups=mesh['x'=4,'y'=2] {'x':(1)2}, to_apply=%add
}
"""


def test_exchanges_that_run_beside_others_count_once():
    assert set(collectives(HEAD + STARTED)) == {
        Collective("all-gather", "f32", 1024, 8),
        Collective("collective-permute", "f32", 1024, 8),
        Collective("all-reduce", "bf16", 128, 8),
    }
    assert collectives(HEAD + WRAPPED) == (Collective("reduce-scatter", "f32", 512, 4),)


def test_a_sum_of_which_only_a_part_is_kept_is_a_reduce_scatter():
    assert collectives(HEAD + SCATTERED) == (Collective("reduce-scatter", "f32", 2**24, 8),)


def test_parts_of_one_exchange_in_several_fusions_count_once():
    assert set(collectives(HEAD + IN_PARTS)) == {
        Collective("all-gather", "f32", 4096, 8),
        Collective("all-reduce", "f32", 4096, 2),
    }


def test_a_mesh_whose_devices_stand_in_another_order_says_so():
    """As the compiler writes where a matrix comes from an axis to another."""
    turned = IN_PARTS.replace("'y'=2] ", "'y'=2], device_ids=([4,2]T(1,0)) ")
    assert turned != IN_PARTS
    assert collectives(HEAD + turned) == collectives(HEAD + IN_PARTS)


def test_groups_in_an_unknown_form_are_refused():
    with pytest.raises(ValueError, match="in no form that is known"):
        collectives(HEAD + SCATTERED.replace("{{0,1,2,3,4,5,6,7}}", "@new"))


def test_public_names():
    assert gc.distributed.collectives is collectives
