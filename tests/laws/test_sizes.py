"""The law of sizes: what looks at a norm is right for gradients and parameters of every size.

A run in float32 is held against the same run in float64, where no square is out of range.
"""

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES

#: Of gradients and of parameters, which are times numbers from 0.5 to 2. A number below 1.2e-38 is
#: 0 to a processor that flushes it, so that the smallest is above.
SIZES = [
    *(
        (size, 1.0)
        for size in (1e-37, 1e-30, 1e-25, 1e-18, 1e-9, 1.0, 1e9, 1e18, 1e25, 1e30, 1e38)
    ),
    *((1.0, size) for size in (1e-37, 1e-30, 1e-20, 1e20, 1e30)),
    *((size, size) for size in (1e-30, 1e30)),
]
SHAPES = {"bias": (3,), "kernel": (4, 3)}
rng = np.random.default_rng(0)
draw = lambda shape: rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
PARAMS = {k: draw(shape) for k, shape in SHAPES.items()}
GRADS = {k: draw(shape) for k, shape in SHAPES.items()}
STACKED = {k: draw((2, *shape)) for k, shape in SHAPES.items()}

loss = lambda p: sum(jnp.sum(jnp.abs(x) ** 1.5) for x in p.values())
CASES: dict[str, tuple[Callable[[], gc.GradientTransformation], dict[str, Any]]] = {
    "clip_by_norm": (lambda: gc.clip_by_norm(1.0), {}),
    "clip_by_block_rms": (lambda: gc.clip_by_block_rms(1.0), {}),
    "clip_by_global_norm": (lambda: gc.clip_by_global_norm(1.0, eps=1e-6), {}),
    "clip_by_history": (lambda: gc.clip_by_history(0.5, window=3), {}),
    "clip_by_zscore": (lambda: gc.clip_by_zscore(), {}),
    "adaptive_grad_clip": (lambda: gc.adaptive_grad_clip(0.1), {}),
    "normalize": (lambda: gc.normalize(), {}),
    "normalize_by_update_norm": (lambda: gc.normalize_by_update_norm(), {}),
    "orthogonal_to_weights": (lambda: gc.orthogonal_to_weights(), {}),
    "scale_by_param_block_rms": (lambda: gc.scale_by_param_block_rms(), {}),
    "scale_by_param_block_norm": (lambda: gc.scale_by_param_block_norm(), {}),
    "scale_by_trust_ratio": (lambda: gc.scale_by_trust_ratio(), {}),
    "scale_by_trust_ratio-eps": (lambda: gc.scale_by_trust_ratio(1e-3, eps=1e-6), {}),
    "scale_by_factored_rms": (lambda: gc.scale_by_factored_rms(min_dim_size_to_factor=1), {}),
    "scale_by_factored_rms-torch": (
        lambda: gc.scale_by_factored_rms(min_dim_size_to_factor=1, add_epsilon=False),
        {},
    ),
    "scale_by_came": (lambda: gc.scale_by_came(), {}),
    "scale_by_polyak": (lambda: gc.scale_by_polyak(), {"value": 1.0}),
    "graft": (lambda: gc.graft(gc.sgd(0.1), gc.scale_by_sign()), {}),
    "graft-other": (lambda: gc.graft(gc.scale_by_sign(), gc.sgd(1.0)), {}),
    "graft-global": (lambda: gc.graft(gc.scale_by_sign(), gc.sgd(1.0), per_leaf=False), {}),
    "remove_radial": (lambda: gc.remove_radial(gc.scale_by_sign(), delta=10.0), {}),
    "sam": (lambda: gc.sam(gc.sgd(0.1)), {"value_fn": loss}),
    "asam": (lambda: gc.asam(gc.sgd(0.1)), {"value_fn": loss}),
    "looksam": (lambda: gc.looksam(gc.sgd(0.1)), {"value_fn": loss}),
    "mars": (lambda: gc.mars(gc.sgd(0.1), max_norm=1.0), {}),
    "mars-leaves": (lambda: gc.mars(gc.sgd(0.1), max_norm=1.0, per_leaf=True), {}),
    "dadapt": (lambda: gc.dadapt(gc.identity()), {}),
    "skip_spikes": (lambda: gc.skip_spikes(gc.sgd(0.1)), {}),
    "prox": (lambda: gc.prox(gc.penalties.group_lasso(0.5), 0.1), {}),
    "project": (lambda: gc.project(gc.constraints.l2_ball(1.0)), {}),
    "project-sphere": (lambda: gc.project(gc.constraints.l2_sphere(1.0)), {}),
    "pcgrad": (lambda: gc.pcgrad(), {}),
    "differentially_private_aggregate": (
        lambda: gc.differentially_private_aggregate(1.0, 0.0),
        {},
    ),
}
#: Their updates are differences of two points.
MOVED = {"prox", "project", "project-sphere"}
#: A norm that no float32 holds is no slot.
KEEP_THE_NORM = {"dadapt"}
NEED_STACKS = {"pcgrad", "differentially_private_aggregate"}

#: Factories that stand in a file with a norm, and are not held here.
SQUARE = "its state is a square of gradients, whose range ends with that of squares"
NO_NORM = "it has no norm itself"
OF_NUMBERS = "the law of numbers holds it from 1e-18 to 1e18"
NOT_HERE = {
    **dict.fromkeys(["scale_by_spam", "scale_by_stable_spam", "scale_by_apollo"], SQUARE),
    **dict.fromkeys(["scale_by_distance_over_gradients", "scale_by_dowg"], SQUARE),
    "mechanize": "its state has the square of a product of gradients and parameters",
    **dict.fromkeys(["clip", "zero_nans", "scale_by_sign", "centralize"], NO_NORM),
    **dict.fromkeys(["grokfast", "grokfast_window"], NO_NORM),
    **dict.fromkeys(["l1", "squared_l2", "elastic_net", "nuclear_norm"], NO_NORM),
    "group_lasso": "held in prox",
    **dict.fromkeys(["scale_by_adago", "scale_by_namo", "scale_by_namo_d"], SQUARE),
    **dict.fromkeys(["scale_by_adamuon", "normalize_neurons", "scale_by_muown"], SQUARE),
    **dict.fromkeys(["normalize_columns", "normalize_last", "scale_by_dion"], OF_NUMBERS),
    "scale_by_spectral_sphere": OF_NUMBERS,
    **dict.fromkeys(["magma", "low_rank", "update_floor"], OF_NUMBERS),
}
NORMS = {"length", "length_along", "rms", "norm", "norm_along", "length_of", "root_of_squares"}
NORMS |= {"in_range", "run_one", "tree_length", "global_norm", "factored_moment"}


def run(make: Callable, extra: dict, stacked: bool, dtype: Any, sizes: jax.Array) -> Any:
    """The update and the state of one step, for gradients and parameters of a size."""
    of_grads, of_params = sizes.astype(dtype)
    times = lambda tree, size: {k: jnp.asarray(x, dtype) * size for k, x in tree.items()}
    p, tx = times(PARAMS, of_params), make()
    return tx.update(times(STACKED if stacked else GRADS, of_grads), tx.init(p), p, **extra)


@pytest.mark.rotated(4)
@pytest.mark.parametrize("name", CASES)
def test_an_update_is_right_at_every_size(name):
    make, extra = CASES[name]
    with jax.enable_x64(True):
        # One program for all sizes, whose branches stay branches.
        step = lambda dtype: partial(run, make, extra, name in NEED_STACKS, dtype)
        all_sizes = jax.jit(
            lambda dtype: jax.lax.map(step(dtype), jnp.asarray(SIZES)), static_argnums=0
        )
        (narrow, state), (wide, _) = all_sizes(jnp.float32), all_sizes(jnp.float64)
    for x in jax.tree.leaves(state):
        assert not np.any(np.isnan(np.asarray(x, np.float64))), "the state is NaN"
    of_all = np.sqrt(sum(np.sum(x**2) for x in GRADS.values()))
    for i, sizes in enumerate(SIZES):
        if name in KEEP_THE_NORM and sizes[0] * of_all > 3e38:
            continue
        for k, x in narrow.items():
            found, exact = np.asarray(x[i], np.float64), np.asarray(wide[k][i])
            top = np.max(np.abs(exact))
            if top < 3e38:  # else no float32 is right
                moved = 3e-7 * sizes[1] * (name in MOVED)  # the rounding of p + u
                assert np.max(np.abs(found - exact)) <= 3e-6 * top + moved + 2e-38, (
                    f"{sizes}, {k}: {found} for {exact}"
                )


@pytest.mark.parametrize("size", [1e-45, 1e-41, 1e-39])
def test_what_a_processor_may_flush_gives_no_nan(size):
    """Below the smallest normal number a gradient may count as 0; the update is finite."""
    g, p = ({k: jnp.asarray(x, jnp.float32) for k, x in tree.items()} for tree in (GRADS, PARAMS))
    g = {k: jnp.asarray(np.asarray(x) * np.float32(size)) for k, x in g.items()}
    for name in ("clip_by_norm", "normalize", "scale_by_trust_ratio", "scale_by_factored_rms"):
        tx = CASES[name][0]()
        for x in jax.tree.leaves(tx.update(g, tx.init(p), p)):
            assert np.all(np.isfinite(x)), name


def test_every_factory_with_a_norm_is_held():
    folder, ours = Path(gc.__file__).parent, []
    for path in folder.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        taken = {a.name for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
        module = "gradchain." + path.relative_to(folder).with_suffix("").as_posix().replace(
            "/", "."
        )
        if taken & NORMS and ".as_optax" not in module and ".searches" not in module:
            ours += [n for n, f in FACTORIES.items() if f.function.__module__ == module]
    ours = {n for n in ours if not FACTORIES[n].composite and hasattr(gc, n)}
    held = {name.split("-")[0] for name in CASES}
    assert ours - held - set(NOT_HERE) == set()
    assert not held & set(NOT_HERE)
