"""The dialect of optax where leaves are matrices: Muon, GaLore, dimension numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken
from tests.support.dialect import assert_close

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")

SHAPES = {"a": {"kernel": (6, 4), "bias": (4,)}, "q": (4, 2, 3), "c": (3, 2, 4, 5), "s": (5, 5)}
is_shape = lambda x: isinstance(x, tuple)


def normal_trees(count, dtype):
    """Trees of these shapes; the first are parameters, the others gradients."""
    rng = np.random.default_rng(0)
    draw = lambda shape: jnp.asarray(rng.normal(size=shape), dtype)
    return [jax.tree.map(draw, SHAPES, is_leaf=is_shape) for _ in range(count)]


def after_50_steps(optax, call, dtype):
    """The parameters that a call comes to, of the one library or the other."""
    params, *gradients = normal_trees(51, dtype)
    names = {"optax": optax, "jnp": jnp, "numbers": numbers(optax), "by_shape": by_shape(optax)}
    tx = eval(call, names)
    state, update = tx.init(params), jax.jit(tx.update)
    for g in gradients:
        updates, state = update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params


def numbers(optax):
    """Trees of dimension numbers; one begins with whole branches."""
    one, other = optax.contrib.MuonDimensionNumbers, optax.contrib.GaLoreDimensionNumbers
    return {
        "muon": {
            "a": {"kernel": one(), "bias": None},
            "q": one(0, (1, 2)),
            "c": one((-2, 0), 3),
            "s": one(1, 0),
        },
        "prefix": {"a": None, "q": one(-3, -1), "c": one(2, (3, 0)), "s": None},
        "galore": {
            "a": {"kernel": other(), "bias": None},
            "q": other((2, 1), 0),
            "c": other((0, 1, 2), 3),
            "s": None,
        },
    }


def by_shape(optax):
    """A function of the tree that gives dimension numbers to the last two dimensions."""
    last = optax.contrib.MuonDimensionNumbers(-2, -1)
    return lambda tree: jax.tree.map(lambda x: last if x.ndim > 1 else None, tree)


MUON = [
    "optax.contrib.muon(0.1)",
    "optax.contrib.muon(0.1, 'dion', 5, 0.9, 1e-6, 0.1)",
    "optax.contrib.muon(optax.linear_schedule(0.1, 0.0, 50), [[2.0, -1.5, 0.5]] * 3)",
    "optax.contrib.muon(0.1, (2.0, -1.5, 0.5), ns_steps=9)",
    (
        "optax.contrib.muon(0.1, consistent_rms=0.3, nesterov=False, adam_b1=0.8, adam_b2=0.9, "
        "adam_eps_root=1e-6, adam_weight_decay=0.1, adam_learning_rate=0.01)"
    ),
    "optax.contrib.muon(0.1, preconditioning='spectral')",
    "optax.contrib.muon(0.1, preconditioning='aol', ns_coeffs='standard')",
    "optax.contrib.muon(0.1, preconditioning='schatten', ns_coeffs='dion')",
    "optax.contrib.muon(0.1, muon_weight_dimension_numbers=numbers['muon'])",
    "optax.contrib.muon(0.1, muon_weight_dimension_numbers=numbers['prefix'])",
    "optax.contrib.muon(0.1, muon_weight_dimension_numbers=by_shape, consistent_rms=0.2)",
    (
        "optax.contrib.muon(0.01, adaptive=True, weight_decay=0.1, "
        "muon_weight_dimension_numbers=numbers['muon'])"
    ),
    (
        "optax.chain(optax.masked(optax.contrib.scale_by_muon(beta=0.9, "
        "weight_dimension_numbers=by_shape), {'a': {'kernel': True, 'bias': False}, 'q': True, "
        "'c': True, 's': True}), optax.scale(-0.1))"
    ),
]
#: Bases of ten steps, and one that stays; in the last matrices are all narrower than the rank.
GALORE = [
    "optax.contrib.galore(0.1, rank=2, update_proj_gap=10)",
    (
        "optax.contrib.galore(0.1, 2, 100, 0.5, weight_decay=0.1, "
        "weight_dimension_numbers=numbers['galore'])"
    ),
    "optax.contrib.galore(0.1, 2, 100, base_optimizer=optax.trace(0.9))",
    "optax.contrib.galore(0.1, 9, 10)",
]


@pytest.mark.rotated(4)
@pytest.mark.parametrize("call", [*MUON, *GALORE])
def test_fifty_steps_are_those_of_optax(call):
    """In float64; both find the bases of GaLore in float32."""
    with jax.enable_x64(True):
        made, expected = (after_50_steps(m, call, jnp.float64) for m in (spoken, optax))
        assert_close(made, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.rotated(4)
@pytest.mark.parametrize("call", [*MUON, *GALORE])
def test_in_float32_they_differ_by_rounding(call):
    made, expected = (after_50_steps(m, call, jnp.float32) for m in (spoken, optax))
    assert_close(made, expected, rtol=1e-4, atol=1e-4)


def test_momentum_may_be_stored_in_bfloat16():
    tx = spoken.contrib.muon(0.1, mu_dtype=jnp.bfloat16)
    params, gradient = normal_trees(2, jnp.float32)
    _, state = tx.update(gradient, tx.init(params), params)
    dtypes = {x.dtype for x in jax.tree.leaves(state) if x.shape == (6, 4)}
    assert dtypes == {jnp.dtype("bfloat16")}


def test_matrices_are_those_that_the_numbers_say():
    """One orthogonal matrix for each that they count."""
    one = spoken.contrib.MuonDimensionNumbers(reduction_axis=2, output_axis=(0, 3))
    tx = spoken.contrib.scale_by_muon(
        (2.0, -1.5, 0.5), 25, 0.0, weight_dimension_numbers={"w": one}
    )
    gradient = {"w": jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 4, 5)), "float32")}
    updates, _ = tx.update(gradient, tx.init(gradient))
    rows = jnp.moveaxis(updates["w"], (1, 2), (0, 1)).reshape(3, 4, 10)
    identities = jnp.broadcast_to(jnp.eye(4), (3, 4, 4))
    np.testing.assert_allclose(rows @ jnp.swapaxes(rows, 1, 2), identities, atol=1e-5)


def test_inputs_and_outputs_are_those_of_the_numbers():
    """The factor of a shape is larger where outputs are more."""
    sizes = []
    for axes in ((0, 1), (1, 0)):
        one = {"w": spoken.contrib.MuonDimensionNumbers(*axes)}
        tx = spoken.contrib.muon(1.0, muon_weight_dimension_numbers=one)
        gradient = {"w": jnp.asarray(np.random.default_rng(1).normal(size=(2, 8)), "float32")}
        updates, _ = tx.update(gradient, tx.init(gradient), gradient)
        sizes.append(spoken.global_norm(updates))
    np.testing.assert_allclose(sizes[0], 2 * sizes[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        ("muon(0.1, 'turbo')", "Unknown ns_coeff preset"),
        ("muon(0.1, [[2.0, -1.5, 0.5]] * 3, 2)", "3 rows"),
        ("muon(0.1, [2.0, -1.5])", "shape"),
        ("muon(0.1, preconditioning='none')", "Unknown preconditioning"),
        ("scale_by_muon()", "dimension numbers must be provided"),
        ("muon(0.1, muon_weight_dimension_numbers=MuonDimensionNumbers())", "rank >= 2"),
        (
            "muon(0.1, muon_weight_dimension_numbers=for_q(MuonDimensionNumbers(0, (1, -3))))",
            "must be disjoint",
        ),
        ("galore(0.1, 0)", "rank must be positive, not 0"),
        (
            "galore(0.1, 2, weight_dimension_numbers=for_q(GaLoreDimensionNumbers()))",
            "All axes must be specified",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, match):
    params, _ = normal_trees(2, jnp.float32)
    for_q = lambda one: dict.fromkeys(SHAPES) | {"q": one}
    with pytest.raises(ValueError, match=match):
        eval(call, vars(spoken.contrib) | {"for_q": for_q}).init(params)


def test_traced_coefficients_are_refused():
    make = lambda rows: spoken.contrib.muon(0.1, rows).init(jnp.ones((2, 2)))
    with pytest.raises(TypeError, match="not traced"):
        jax.jit(make)(jnp.array([2.0, -1.5, 0.5]))
