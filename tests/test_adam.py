"""What the laws do not say of Adam's family."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.optimizers.radam import averaged_length


def run(tx, grads, params=0.0):
    """The updates of a scalar parameter, one by one."""
    p, updates = jnp.asarray(params), []
    state = tx.init(p)
    for g in grads:
        u, state = tx.update(jnp.asarray(g), state, p)
        updates.append(float(u))
    return np.asarray(updates)


@pytest.mark.parametrize("b2", [0.5, 0.9, 0.999, 0.9999])
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 3e-7), (jnp.float64, 1e-15)])
def test_the_averaged_length_has_all_digits(b2, dtype, tolerance):
    with jax.enable_x64(dtype == jnp.float64):
        for t in (1, 2, 5, 6, 30, 1000, 4000):
            power = Fraction(b2) ** t
            exact = float(2 / (1 - Fraction(b2)) - 1 - 2 * t * power / (1 - power))
            np.testing.assert_allclose(
                averaged_length(b2, jnp.asarray(t, dtype)), exact, rtol=tolerance
            )


def test_radam_rectifies_from_the_sixth_step_on():
    grads = [2.0] * 7
    updates = run(gc.scale_by_radam(), grads)
    np.testing.assert_allclose(updates[:5], 2.0, rtol=1e-6)
    assert np.all(updates[5:] < 0.1)


def test_radam_without_memory_is_never_rectified():
    np.testing.assert_allclose(run(gc.scale_by_radam(b2=0.0), [2.0] * 20), 2.0, rtol=1e-6)


def test_the_momentum_product_of_nadam_is_one_number_per_parameter_and_there_only_if_asked_for():
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones(4)}
    state = gc.nadam(0.1, momentum_decay=0.004).init(params)["scale_by_nadam"]
    assert state["momentum_product"] == {"a": 1.0, "b": 1.0}
    assert "momentum_product" not in gc.nadam(0.1).init(params)["scale_by_nadam"]


def test_nadam_with_a_very_fast_warm_up_is_nadam_without():
    grads = [1.0, -0.5, 2.0, 0.1]
    np.testing.assert_allclose(
        run(gc.nadam(0.1, momentum_decay=1e6), grads), run(gc.nadam(0.1), grads), rtol=1e-6
    )


def test_amsgrad_never_speeds_up_again():
    grads = [100.0] + [1.0] * 20
    ams, plain = (
        run(gc.scale_by_amsgrad(b1=0.0, b2=0.5), grads),
        run(gc.scale_by_adam(b1=0.0, b2=0.5), grads),
    )
    np.testing.assert_allclose(ams[-1], 0.01, rtol=1e-5)
    np.testing.assert_allclose(plain[-1], 1.0, rtol=0.01)


def test_adabound_begins_as_adam_and_ends_as_sgd():
    tx = gc.scale_by_adabound(b1=0.0, b2=0.9, final_scale=0.5, gamma=10.0)
    np.testing.assert_allclose(run(tx, [3.0] * 2000)[-1], 1.5, rtol=1e-3)
    free = gc.scale_by_adabound(b1=0.0, b2=0.9, gamma=1e-9)
    np.testing.assert_allclose(
        run(free, [3.0, -4.0]), run(gc.scale_by_adam(b1=0.0, b2=0.9), [3.0, -4.0]), rtol=1e-5
    )


def test_padam_goes_from_sgd_to_adam():
    grads = [3.0, -4.0, 0.5]
    adam = run(gc.scale_by_adam(), grads)
    np.testing.assert_allclose(
        run(gc.scale_by_padam(partial=0.5, amsgrad=False), grads), adam, rtol=1e-5
    )
    sgd = gc.scale_by_padam(b2=0.0, partial=0.0)  # which leaves Adam's corrected first moment
    np.testing.assert_allclose(run(sgd, grads)[0], 3.0, rtol=1e-6)


def test_the_first_step_of_adopt_only_measures():
    updates = run(gc.adopt(0.1, b1=0.0), [5.0, 5.0, -50.0])
    np.testing.assert_allclose(updates, [0.0, -0.1, 0.1 * 2**0.25], rtol=1e-6)
    free = run(gc.adopt(0.1, b1=0.0, b2=0.0, clip_value=float("inf")), [5.0, 5.0, -50.0])
    np.testing.assert_allclose(free, [0.0, -0.1, 1.0], rtol=1e-6)


def test_a_schedule_bounds_the_steps_of_adopt():
    tx = gc.scale_by_adopt(b1=0.0, b2=0.0, clip_value=lambda step: 1.0 / step.astype(float))
    np.testing.assert_allclose(run(tx, [1.0, 9.0, 81.0]), [0.0, 1.0, 0.5])


def test_adan_sees_no_difference_at_the_first_step():
    np.testing.assert_allclose(run(gc.scale_by_adan(), [2.0, 2.0]), 1.0, rtol=1e-6)
    ahead = run(gc.scale_by_adan(b1=0.0, b2=0.5, b3=0.0), [2.0, 4.0])[1]
    np.testing.assert_allclose(
        ahead, (4.0 + 0.5 * (0.5 * 2.0 / 0.75)) / (4.0 + 0.5 * 2.0), rtol=1e-6
    )


def test_adamc_decays_by_the_square_of_the_rate():
    tx = gc.adamc(gc.linear_schedule(0.1, 0.0, 2), max_learning_rate=0.2, weight_decay=1.0)
    np.testing.assert_allclose(run(tx, [0.0, 0.0, 0.0], params=4.0), [-0.2, -0.05, 0.0], rtol=1e-6)


def test_madgrad_steps_from_where_it_started():
    tx = gc.madgrad(1.0, momentum=0.0, eps=0.0)
    p = jnp.asarray(5.0)
    state = tx.init(p)
    for g, expected in ((0.0, 5.0), (8.0, 5.0 - (2**0.5 * 8) / (2**0.5 * 64) ** (1 / 3))):
        p, state = tx.step(jnp.asarray(g), state, p)
        np.testing.assert_allclose(p, expected, rtol=1e-6)
    with pytest.raises(TypeError, match="needs params"):
        tx.update(p, state)
