"""Branches and loops in ``shard_map``, of parts that vary over different axes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec as P

from gradchain.numerics.branches import cond, while_loop


def on_two(f):
    mesh = jax.make_mesh((2,), ("a",), axis_types=(AxisType.Auto,))
    return jax.shard_map(f, mesh=mesh, in_specs=P("a"), out_specs=P("a"))


def test_a_branch_may_be_a_constant_and_each_device_takes_its_own():
    f = lambda x: cond(x[0] > 0, lambda: x, lambda: jnp.zeros(1))
    np.testing.assert_array_equal(on_two(f)(jnp.array([-3.0, 3.0])), [0.0, 3.0])


def test_a_loop_may_start_from_constants_and_each_device_ends_when_it_is_done():
    def f(x):
        turn = lambda carry: (carry[0] + 1, carry[2] + x[0], carry[2] + 1.0)  # y grows later
        start = (0, jnp.zeros(()), jnp.zeros(()))
        return while_loop(lambda carry: carry[1] < 4.0, turn, start)[0][None]

    np.testing.assert_array_equal(on_two(f)(jnp.array([1.0, 3.0])), [4, 2])


def test_an_axis_may_be_left_to_the_compiler():
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    over_one = dict(mesh=mesh, in_specs=P("a"), out_specs=P("a"), axis_names={"a"})

    def f(x):
        x = cond(x[0] > 0, lambda: x, lambda: jnp.zeros(1))
        return while_loop(lambda y: y[0] < 4.0, lambda y: y + x + 1.0, jnp.zeros(1))

    found = jax.jit(jax.shard_map(f, **over_one))(jnp.array([-3.0, 3.0]))
    np.testing.assert_array_equal(found, [4.0, 4.0])


def test_without_shard_map_they_are_those_of_jax():
    f = lambda x: cond(x > 0, lambda: x, lambda: jnp.zeros(()))
    assert "pvary" not in str(jax.make_jaxpr(f)(1.0)) and f(-1.0) == 0
