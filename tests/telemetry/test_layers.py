"""Layers under watch: what is measured of each, and which are found to vanish or to explode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.support.watched import GRADS, PARAMS, after, measured

pytestmark = pytest.mark.rotated(1)  # they take long


def test_by_path_each_leaf_is_a_layer():
    found = measured(gc.watch(gc.sgd(0.5), by="path"))
    lengths = {"a/bias": 0.5**0.5, "a/kernel": 3.0, "b": 4.0}
    weights = {"a/bias": 8**0.5, "a/kernel": 5.0, "b": 6.0}
    for layer, length in lengths.items():
        np.testing.assert_allclose(found[f"gradient_norm/{layer}"], length, rtol=1e-6)
        np.testing.assert_allclose(found[f"update_norm/{layer}"], length / 2, rtol=1e-6)
        np.testing.assert_allclose(found[f"parameter_norm/{layer}"], weights[layer], rtol=1e-6)
        np.testing.assert_allclose(
            found[f"update_ratio/{layer}"], length / 2 / weights[layer], rtol=1e-6
        )
        assert found[f"health/{layer}"] == 0.0


@pytest.mark.parametrize(
    "by",
    [lambda path, leaf: "ab"[path == "b"], {"a": "a", "b": "b"}, "group"],
    ids=["function", "tree", "groups"],
)
def test_layers_of_several_leaves(by):
    tx = gc.chain(
        gc.clip(10.0), gc.partition({"a": gc.sgd(0.5), "b": gc.sgd(1.0)}, {"a": "a", "b": "b"})
    )
    found = measured(gc.watch(tx, by=by))
    assert {k for k in found if k.startswith("health")} == {"health/a", "health/b"}
    np.testing.assert_allclose(found["gradient_norm/a"], 9.5**0.5, rtol=1e-6)
    np.testing.assert_allclose(found["update_norm/a"], 9.5**0.5 / 2, rtol=1e-6)
    np.testing.assert_allclose(found["update_ratio/b"], 4 / 6, rtol=1e-6)


def test_a_frozen_leaf_takes_part_in_nothing():
    tx = gc.groups(
        [("a*", gc.freeze())], default=gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(1.0))
    )
    grads = GRADS | {"a": jax.tree.map(lambda x: 100 * x, GRADS["a"])}
    found = measured(gc.watch(tx, by="path"), grads=grads)
    assert (found["gradient_norm"], found["update_norm"], found["parameter_norm"]) == (
        4.0,
        1.0,
        6.0,
    )
    assert {k.split("/", 1)[1] for k in found if k.startswith(("gradient_norm/", "health/"))} == {
        "b"
    }
    by_group = measured(gc.watch(tx, by="group"), grads=grads)
    assert {k for k in by_group if k.startswith("health/")} == {"health/chain"}


def test_a_leaf_without_a_gradient_is_neither_dead_nor_counted():
    tx = gc.watch(gc.sgd(1.0), by="path")
    state = tx.update(GRADS | {"b": None}, tx.init(PARAMS), PARAMS)[1]
    found = gc.metrics(state)
    assert (found["gradient_norm/b"], found["health/b"], found["vanishing"]) == (0.0, 0.0, 0.0)
    np.testing.assert_allclose(found["gradient_norm"], 9.5**0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((1.0, 1.0, 1.0, 1.0), {}),
        ((1.0, 1e-9, 1.0, 0.5), {1: "vanishing"}),
        ((1.0, 0.0, 1.0, 0.5), {1: "vanishing"}),
        ((1.0, 1e4, 1.0, 0.5), {1: "exploding"}),
        ((1.0, np.inf, 1.0, np.nan), {1: "exploding", 3: "exploding"}),
        ((1e-6, 1e-4, 1e-2, 1.0), {0: "vanishing"}),  # it fades on its way down
        ((0.0, 0.0, 0.0, 1.0), {0: "vanishing", 1: "vanishing", 2: "vanishing"}),
        ((0.0, 0.0, 0.0, 0.0), dict.fromkeys(range(4), "vanishing")),
        ((np.nan,) * 4, dict.fromkeys(range(4), "exploding")),
    ],
)
def test_layers_that_vanish_or_explode_are_found(sizes, expected):
    params = {
        f"layer_{i}": jnp.ones((i + 1, 2)) for i in range(4)
    }  # it goes by the size of an element
    grads = {f"layer_{i}": jnp.full((i + 1, 2), size) for i, size in enumerate(sizes)}
    found = gc.metrics(after(gc.watch(gc.sgd(1.0), by="path"), grads=grads, params=params))
    assert gc.telemetry.unhealthy_layers(found) == {
        f"layer_{i}": what for i, what in expected.items()
    }
    assert found["vanishing"] == list(expected.values()).count("vanishing")
    assert found["exploding"] == list(expected.values()).count("exploding")


@pytest.mark.rotated(2)
@pytest.mark.parametrize("other", [0.0, np.inf, np.nan, None], ids=str)
@pytest.mark.parametrize("ratio", [1e-9, 1e-2, 1.0, 1e9])
def test_of_two_layers_that_differ_none_is_blamed(ratio, other):
    """Whatever others there are whose gradient is none to compare with."""
    sizes = {"a": 1.0, "b": ratio} | ({} if other is None else {"other": other})
    grads = {layer: jnp.full(3, size) for layer, size in sizes.items()}
    find = lambda **options: gc.telemetry.unhealthy_layers(
        gc.metrics(after(gc.watch(gc.sgd(1.0), by="path", **options), grads=grads, params=grads))
    )
    sick = {"a", "b"} & find().keys()
    assert not sick and ("other" in find()) == ("other" in sizes)
    known = {1e-9: {"b": "vanishing"}, 1e9: {"b": "exploding"}}.get(ratio, {})
    found = find(relative=False)
    assert {layer: what for layer, what in found.items() if layer != "other"} == known


def test_bounds_of_ones_own_and_in_units_of_the_gradient():
    grads = {"x": jnp.array([0.1]), "y": jnp.array([1.0]), "z": jnp.array([1.0])}
    find = lambda **options: gc.telemetry.unhealthy_layers(
        gc.metrics(after(gc.watch(gc.sgd(1.0), by="path", **options), grads=grads, params=grads))
    )
    assert find() == {}
    assert find(healthy=(0.2, 10.0)) == {"x": "vanishing"}
    assert find(healthy=(0.01, 0.5), relative=False) == {"y": "exploding", "z": "exploding"}


def test_a_norm_that_is_not_finite_is_shown_as_it_is():
    found = measured(
        gc.watch(gc.chain(gc.clip(1.0), gc.sgd(1.0)), by="path"),
        grads=GRADS | {"b": jnp.array([jnp.inf])},
    )
    assert found["gradient_norm"] == found["gradient_norm/b"] == np.inf
    assert np.isfinite(found["gradient_norm/a/bias"])
    found = measured(gc.watch(gc.sgd(1.0)), grads=GRADS | {"b": jnp.array([jnp.nan])})
    assert np.isnan(found["gradient_norm"])
    assert found["exploding"] == 1.0


@pytest.mark.parametrize("size", [3e-30, 1e-10, 1.0, 1e10, 3e30])
@pytest.mark.parametrize("other", [0.0, 1e-30, 1e25, np.inf, np.nan])
def test_the_norm_of_a_layer_is_its_own_whatever_the_others_are(size, other):
    grads = {"x": jnp.full(4, size), "y": jnp.array([other]), "z": jnp.full((2, 2), size)}
    found = measured(gc.watch(gc.sgd(1.0), by="path"), grads=grads, params=grads)
    norms = [found[f"gradient_norm{of}"] for of in ("/x", "/y", "/z", "")]
    with np.errstate(over="ignore"):
        whole = np.float32(np.hypot(8.0**0.5 * size, other))
    np.testing.assert_allclose(norms, [2 * size, other, 2 * size, whole], rtol=1e-6)


def test_a_layer_may_be_called_health():
    params = {"health": {"kernel": jnp.ones(2)}, "other": jnp.ones(2), "third": jnp.ones(2)}
    tx = gc.watch(gc.sgd(0.1), by="path")
    assert (
        gc.telemetry.unhealthy_layers(gc.metrics(tx.update(params, tx.init(params), params)[1]))
        == {}
    )
    grads = params | {"health": {"kernel": jnp.full(2, 1e-9)}}
    found = gc.telemetry.unhealthy_layers(
        gc.metrics(tx.update(grads, tx.init(params), params)[1])
    )
    assert found == {"health/kernel": "vanishing"}


def test_a_leaf_without_a_name_of_its_layer_is_refused():
    with pytest.raises(TypeError, match="for 'b' it gave None"):
        gc.watch(gc.sgd(0.1), by=lambda path, _: "a" if path == "a" else None).init(
            {"a": jnp.ones(1), "b": jnp.ones(1)}
        )


@pytest.mark.parametrize("every", [1, 2])
def test_a_member_without_a_state_has_none_after_it_was_measured(every):
    params = {"w": jnp.ones(2)}
    tx = gc.watch(gc.masked(gc.clip(1.0), "w"), every=every)
    state = tx.init(params)
    assert jax.tree.structure(tx.update(params, state, params)[1]) == jax.tree.structure(state)
