"""State that looks like that of a tunable and is none."""

import jax
import jax.numpy as jnp

import gradchain as gc


@gc.transform
def own_start(init_value: gc.Hyper):
    """A member whose argument is called like one of a schedule."""
    return gc.elementwise(lambda g: g * init_value)


def test_parameters_that_are_called_hyperparams_are_none():
    params = {"hyperparams": {"learning_rate": jnp.ones(2)}, "kernel": jnp.ones(2)}
    tree = {"params": params, "opt_state": gc.tunable(gc.sgd(1.0)).init(params)}
    new = gc.set_hyperparams(tree, learning_rate=0.5)
    assert jax.tree.structure(new) == jax.tree.structure(tree)
    assert new["params"]["hyperparams"]["learning_rate"].tolist() == [1.0, 1.0]
    assert new["opt_state"]["tunable"]["hyperparams"]["learning_rate"] == 0.5


def test_a_member_that_is_called_like_an_argument_keeps_a_name_of_its_own():
    rate = gc.linear_schedule(0.5, 0.75, 4)
    tx = gc.tunable(
        gc.chain(gc.lookahead(own_start(2.0).named("slow_step_size"), 5, rate), own_start(3.0))
    )
    values = tx.init(jnp.ones(2))["tunable"]["hyperparams"]
    assert sorted(map(float, values.values())) == [0.5, 0.75, 2.0, 3.0]
