"""Loss scaling: the scales are those of torch, and half precision trains."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.optimizers.sgd import Sgd
from tests.support.guards import counts, own, run
from tests.wrappers.loss_scale import LossScale

INF = float("inf")


def scales_of(tx, bad):
    """The scale after each step, of which some overflow."""
    params = jnp.zeros(1)
    grads = [jnp.full(1, INF) if x else jnp.ones(1) for x in bad]
    return [float(gc.loss_scale(state)) for _, state in run(tx, grads, params)]


OVERFLOWS = [bool(x) for x in np.random.default_rng(0).random(60) < 0.1]
OVERFLOWS[:6] = [True] * 6


def test_its_defaults_are_those_of_torch():
    torch = pytest.importorskip("torch")
    ours = gc.dynamic_loss_scale(gc.sgd(0.1)).arguments
    theirs = torch.amp.GradScaler("cpu")
    assert ours["initial_scale"] == theirs.get_scale()
    assert ours["growth_factor"] == theirs.get_growth_factor()
    assert ours["backoff_factor"] == theirs.get_backoff_factor()
    assert ours["growth_interval"] == theirs.get_growth_interval()


def test_its_scales_are_those_of_torch():
    torch = pytest.importorskip("torch")
    scaler = torch.amp.GradScaler("cpu", growth_interval=5)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer, theirs = torch.optim.SGD([weight], 0.1), []
    for is_bad in OVERFLOWS:
        scaler.scale(weight.sum())  # it makes the scale at its first call
        weight.grad = torch.full((1,), INF if is_bad else 1.0)
        scaler.step(optimizer)
        scaler.update()
        theirs.append(scaler.get_scale())
    tx = gc.dynamic_loss_scale(gc.sgd(0.1), growth_interval=5, max_scale=2.0**60)
    assert scales_of(tx, OVERFLOWS) == theirs
    assert min(theirs) < 2**12 < 2**14 < max(theirs)  # it went down and up


@pytest.mark.parametrize(
    "arguments", [{}, {"min_scale": 2.0**14, "max_scale": 2.0**17}, {"growth_factor": 3.0}]
)
def test_its_scales_are_those_of_its_twin(arguments):
    arguments = {"growth_interval": 4, **arguments}
    twin = LossScale(Sgd(0.1), **arguments)
    twin.init({"": np.zeros(1)})
    for is_bad in OVERFLOWS:
        twin.update({"": np.full(1, INF if is_bad else 1.0)}, {"": np.zeros(1)})
    assert scales_of(gc.dynamic_loss_scale(gc.sgd(0.1), **arguments), OVERFLOWS) == pytest.approx(
        twin.scales[1:]
    )
    assert len(set(twin.scales)) > 3


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 4))
    return jnp.asarray(x, jnp.float16), jnp.asarray(
        np.sin(x @ rng.standard_normal((4, 1))), jnp.float16
    )


def network(seed=0):
    rng = np.random.default_rng(seed)
    make = lambda *shape: jnp.asarray(rng.standard_normal(shape) / shape[0] ** 0.5, jnp.float32)
    return {"w1": make(4, 16), "w2": make(16, 1)}


def loss(params, scale, size=1.0):
    """A loss in float16, whose gradients half precision loses where its ``size`` is small."""
    x, y = data()
    half = jax.tree.map(lambda p: p.astype(jnp.float16), params)
    error = jnp.tanh(x @ half["w1"]) @ half["w2"] - y
    # The scale goes in before the error is squared and summed in half precision.
    return jnp.sum((error * (scale * size / error.size).astype(jnp.float16)) * error).astype(
        jnp.float32
    )


def train(tx, scale_of, size, steps=200):
    def step(carry, _):
        params, state = carry
        grads = jax.grad(lambda p: loss(p, scale_of(state), size))(params)
        params, state = tx.step(grads, state, params)
        return (params, state), scale_of(state)

    params = network()
    (params, state), scales = jax.jit(lambda c: jax.lax.scan(step, c, None, steps))(
        (params, tx.init(params))
    )
    return float(loss(params, jnp.float32(1.0))), state, np.asarray(scales)


def test_half_precision_trains_only_with_the_scale():
    optimizer = gc.sgd(1e6, 0.9)  # the rate undoes the size of the loss
    start = float(loss(network(), jnp.float32(1.0)))
    without, _, _ = train(optimizer, lambda _: jnp.float32(1.0), 1e-7)
    scaled, state, _ = train(
        gc.dynamic_loss_scale(optimizer, 2.0**13, growth_interval=50), gc.loss_scale, 1e-7
    )
    assert without == start
    assert scaled < 0.1 * start
    assert counts(state)[0] == 0


def test_an_overflow_at_the_start_backs_off_and_recovers():
    tx = gc.dynamic_loss_scale(gc.adam(0.01), 2.0**24, growth_interval=40)
    end, state, scales = train(tx, gc.loss_scale, 1.0)
    assert counts(state)[0] >= 2
    assert scales[0] == 2.0**23
    assert np.any(np.diff(scales) > 0)
    assert end < 0.1
    chex.assert_tree_all_finite(state)


def test_around_accumulation_each_micro_batch_counts():
    scaled = gc.dynamic_loss_scale(gc.accumulate(gc.sgd(1.0), every=2), 8.0, growth_interval=3)
    params, bad = jnp.zeros(1), [False, True, False, False, False]
    grads = [8.0, INF, 4.0, 4.0, 4.0]  # unscaled 1, -, 1, 1, 1
    made = run(scaled, [jnp.full(1, g) for g in grads], params)
    assert [float(gc.loss_scale(state)) for _, state in made] == [8.0, 4.0, 4.0, 4.0, 8.0]
    assert [float(p[0]) for p, _ in made] == [0.0, 0.0, -1.0, -1.0, -2.0]
    assert int(own(made[-1][1])["inner"]["accumulate"]["count"]) == 2
    assert scales_of(scaled, bad) == [8.0, 4.0, 4.0, 4.0, 8.0]


def test_the_scale_is_found_once_or_not_at_all():
    scaled, params = gc.dynamic_loss_scale(gc.adam(0.1), 4.0), {"loss_scale": jnp.ones(2)}
    for tx in (
        scaled,
        gc.chain(gc.clip(1.0), scaled),
        gc.accumulate(scaled, every=2),
        gc.skip_nonfinite(scaled),
    ):
        assert float(gc.loss_scale(tx.init(params))) == 4.0
        assert float(jax.jit(gc.loss_scale)(tx.init(params))) == 4.0
    with pytest.raises(ValueError, match=r"use dynamic_loss_scale\(tx\)"):
        gc.loss_scale(gc.adam(0.1).init(params))
    with pytest.raises(ValueError, match=r"2 parts .* once"):
        gc.loss_scale(gc.dynamic_loss_scale(scaled).init(params))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"growth_interval": 0}, "growth_interval must be 1 or more, not 0"),
        ({"growth_factor": 0.5}, "growth_factor must be 1 or more, not 0.5"),
        ({"backoff_factor": 1.5}, r"backoff_factor must be in \(0, 1\), not 1\.5"),
        ({"initial_scale": 0.0}, "initial_scale must be greater than 0, not 0.0"),
        ({"min_scale": -1.0}, "min_scale must be greater than 0, not -1.0"),
        ({"initial_scale": 0.5}, "initial_scale must be 1.0 or more, not 0.5"),
        ({"max_scale": 2.0}, "max_scale must be 65536.0 or more, not 2.0"),
    ],
)
def test_arguments_of_the_scale_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=f"dynamic_loss_scale: {message}"):
        gc.dynamic_loss_scale(gc.sgd(0.1), **arguments).init(jnp.ones(1))
