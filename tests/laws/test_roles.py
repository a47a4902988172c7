"""A law for each role: the words that a factory says of itself are true, and no other would be.

A transformation is run on a few histories of gradients at once. Parameters do not move from step to
step, so that the effect of the gradients alone is seen.
"""

import ast
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.call import is_call
from gradchain.core.factory import FACTORIES
from gradchain.core.roles import ROLES
from gradchain.core.walk import is_optimizer, walk
from gradchain.inspection.mistakes.case import flips
from gradchain.telemetry.metrics import COUNTERS
from tests.laws.row import Row
from tests.laws.table import ROWS

STEPS = 6  # RAdam has warmed up by then
SHAPES = {"bias": (2,), "kernel": (2, 2)}
LAST = np.arange(STEPS) == STEPS - 1

rng = np.random.default_rng(0)
PARAMS = {k: rng.uniform(1.0, 2.0, shape) for k, shape in SHAPES.items()}
GRADS = {k: rng.uniform(0.5, 1.5, (STEPS, *shape)) for k, shape in SHAPES.items()}
SHIFT = {k: rng.uniform(0.1, 0.2, shape) for k, shape in SHAPES.items()}


def at_each_step(factors: Any) -> dict[str, np.ndarray]:
    """The gradients, each times the factor of its step."""
    shaped = lambda g: np.broadcast_to(factors, STEPS).reshape(-1, *[1] * (g.ndim - 1))
    return {k: g * shaped(g) for k, g in GRADS.items()}


def alone(name: str, grads: dict[str, np.ndarray], factors: Any) -> dict[str, np.ndarray]:
    return grads | {name: at_each_step(factors)[name]}


#: The gradients of all steps. Where it says moved, the parameters have moved since ``init``, by
#: ``SHIFT``; and where it says back, the gradients point back.
HISTORIES = {
    "usual": at_each_step(1.0),
    "negative": at_each_step(-1.0),
    "large": at_each_step(1e3),
    "1000 times as large": at_each_step(1e6),
    "ends": at_each_step(np.arange(STEPS) < STEPS - 2),
    "zero": at_each_step(0.0),
    "tiny at last": at_each_step(np.where(LAST, 1e-6, 1e-2)),
    "huge at last": at_each_step(np.where(LAST, 1e6, 1e-2)),
    "1000 times as huge": at_each_step(np.where(LAST, 1e9, 1e-2)),
    "one huge at last": alone(
        "kernel", at_each_step(np.where(LAST, 1e-6, 1e-2)), np.where(LAST, 1e6, 1e-2)
    ),
    "even and huge": {k: np.full(g.shape, 1e6) for k, g in GRADS.items()},
    "usual, moved": at_each_step(1.0),
    "zero, moved": at_each_step(0.0),
    "negative, moved": at_each_step(-1.0),
    "negative, moved and back": {k: g - SHIFT[k] for k, g in at_each_step(-1.0).items()},
}


def responses(tx: Any, extra: dict) -> tuple[dict, dict]:
    """The updates of each history, stacked, and its state at the end."""

    def run(p: Any, grads: Any) -> tuple[Any, Any]:
        state, updates = tx.init(PARAMS), []
        for t in range(STEPS):
            u, state = tx.update({k: g[t] for k, g in grads.items()}, state, p, **extra)
            updates.append(u)
        return {k: jnp.stack([u[k] for u in updates]) for k in updates[0]}, state

    shift = lambda name: {k: x + SHIFT[k] * ("moved" in name) for k, x in PARAMS.items()}
    stack = lambda trees: {k: jnp.stack([tree[k] for tree in trees]) for k in SHAPES}
    with jax.enable_x64(True), jax.disable_jit():
        updates, states = jax.vmap(run)(
            stack([*map(shift, HISTORIES)]), stack([*HISTORIES.values()])
        )
    at = lambda tree, i: jax.tree.map(lambda x: np.asarray(x[i]), tree)
    names = {name: i for i, name in enumerate(HISTORIES)}
    found = {k: at(updates, i) for k, i in names.items()}
    left = {k for k in SHAPES if all(is_exactly(u[k], HISTORIES[h][k]) for h, u in found.items())}
    if len(left) < len(SHAPES):  # leaves that it is not for say nothing of it
        found = {h: {k: x for k, x in u.items() if k not in left} for h, u in found.items()}
    return found, {k: at(states, i) for k, i in names.items()}


def given(u: dict, name: str) -> dict[str, np.ndarray]:
    """The gradients of a history, of the leaves that updates are of."""
    return {k: HISTORIES[name][k] for k in u[name]}


def flat(tree: Any, step: int = -1) -> np.ndarray:
    """All numbers of one step as a vector."""
    return np.concatenate([x[step].ravel() for x in tree.values()])


def is_exactly(a: np.ndarray, b: np.ndarray) -> bool:
    return is_close(a, b, 1e-9)


def all_steps(tree: Any) -> np.ndarray:
    """All numbers of all steps, those of a step in a row."""
    return np.stack([flat(tree, step) for step in range(STEPS)])


def is_close(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-2) -> bool:
    return bool(np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b)))


# ------------------------------------------------------------ the laws: whether a role shows itself


def is_adaptive(u: dict, states: dict) -> bool:
    """1000 times the gradients give the update of the gradients."""
    large, larger = flat(u["large"]), flat(u["1000 times as large"])
    return bool(large.any()) and is_close(larger, large) and not clips(u, states)


def has_momentum(u: dict, states: dict) -> bool:
    """It moves on where the gradient is zero after it was not, the way that it went."""
    before, after = (flat(u["ends"], step) - flat(u["zero"], step) for step in (-3, -2))
    return float(before @ after) > 1e-6 * float(before @ before)


def makes_steps(u: dict, states: dict) -> bool:
    """Where gradients are positive updates are negative, and the other way round."""
    down, up = all_steps(u["usual"]), -all_steps(u["negative"])
    return all(x.min() < 0 and x.max() <= 0 for x in (down, up))


def clips(u: dict, states: dict) -> bool:
    """A tiny gradient passes; a huge one is as good as one that is 1000 times as huge."""
    huge = flat(u["huge at last"])
    return (
        is_close(flat(u["tiny at last"]), flat(given(u, "tiny at last")), 1e-9)
        and is_close(flat(u["1000 times as huge"]), huge, 1e-3)
        and np.max(np.abs(huge)) < 1e-3 * np.max(flat(given(u, "huge at last")))
    )


def clips_all(u: dict, states: dict) -> bool:
    """A clip by which one huge gradient makes all smaller."""
    seen = u["one huge at last"]
    if "bias" not in seen:
        return False
    most = np.max(HISTORIES["one huge at last"]["bias"][-1])
    return clips(u, states) and np.max(seen["bias"][-1]) < 1e-3 * most


def clips_rms(u: dict, states: dict) -> bool:
    """A clip that keeps directions, and to which it is one how many elements a leaf has."""
    huge, ones = u["huge at last"], flat(u["even and huge"])
    along = [x[-1] / HISTORIES["huge at last"][k][-1] for k, x in huge.items()]
    keeps = all(is_close(ratio, ratio.mean(keepdims=True), 1e-6) for ratio in along)
    is_one = clips(u, states) and not clips_all(u, states)
    return is_one and keeps and is_close(ones, ones[:1], 1e-6)


def decays(u: dict, states: dict) -> bool:
    """Gradients pass, and to them comes something along the parameters, or their way since."""
    pull = flat(u["zero, moved"])
    passes = is_close(flat(u["usual, moved"]) - pull, flat(given(u, "usual")), 1e-6)
    return passes and bool(pull.any()) and bool(np.all(pull >= 0) or np.all(pull <= 0))


def is_final(u: dict, states: dict) -> bool:
    """Where parameters are after the step depends on them, but only through where they would be."""
    whole = lambda tree: flat({k: tree[k][None] for k in u["usual"]})
    after = lambda name: all_steps(u[name]) + whole(PARAMS) + whole(SHIFT) * ("moved" in name)
    leaves = lambda name: jax.tree.leaves((u[name], states[name]))
    depends = not all(map(is_exactly, leaves("negative, moved"), leaves("negative")))
    only_so = map(
        is_exactly,
        *map(jax.tree.leaves, (states["negative, moved and back"], states["negative"])),
    )
    return (
        depends
        and is_exactly(after("negative, moved and back"), after("negative"))
        and all(only_so)
    )


def rounds(tx: Any, extra: dict) -> bool:
    """Parameters of bfloat16 plus its updates, which are wider, are numbers of bfloat16."""
    narrow = lambda tree: {k: jnp.asarray(x, jnp.bfloat16) for k, x in tree.items()}
    p, g = narrow(PARAMS), narrow({k: 0.01 * g[0] for k, g in GRADS.items()})
    u, _ = tx.update(g, tx.init(p), p, **extra)
    ends = {k: x.astype(jnp.float32) + u[k].astype(jnp.float32) for k, x in p.items()}
    are = all(np.array_equal(x, x.astype(jnp.bfloat16).astype(x.dtype)) for x in ends.values())
    return are and all(x.dtype == jnp.float32 for x in u.values())


def is_harmless(u: dict, states: dict) -> bool:
    """Each leaf's update is its gradient, or zero."""
    is_its = lambda name, k: (
        not u[name][k].any() or np.array_equal(u[name][k], HISTORIES[name][k])
    )
    return all(is_its(name, k) for name in HISTORIES for k in u[name])


LAWS = {
    "adaptive": is_adaptive,
    "momentum": has_momentum,
    "step": makes_steps,
    "clip": clips,
    "global_clip": clips_all,
    "rms_clip": clips_rms,
    "decay": decays,
    "final": is_final,
    "harmless": is_harmless,
}

#: Where law and role differ for an honest reason.
WHY = {
    ("orthogonalize-svd", "adaptive"): "its factor, the nuclear norm, grows with the gradient",
    ("scale_by_adabound", "adaptive"): "its bounds are on the learning rate of each element",
    ("scale_by_padam", "adaptive"): "a power of less than 1/2 undoes a part of the scale alone",
    (
        "scale_by_adahessian",
        "adaptive",
    ): "the scale that it undoes is that of the loss it is given",
    ("scale_by_adahessian-power", "adaptive"): "as scale_by_adahessian",
    ("scale_by_momo", "adaptive"): "so it is only where gradients are large beside the loss",
    ("scale_by_trust_ratio", "adaptive"): "it takes decayed weights for a part of the direction",
    ("soap", "step"): "elements of a matrix need not have the signs of the gradient's",
    ("kl_shampoo", "step"): "as soap",
    ("kl_soap", "step"): "as soap",
    ("normuon", "step"): "as soap",
    ("scale_by_spectral_sphere", "step"): "the way back to the sphere may outweigh the gradient",
    ("spectral_sphere", "step"): "as scale_by_spectral_sphere",
    ("project", "adaptive"): "what is far outside goes to the same point of the boundary",
    ("project-box", "adaptive"): "as project",
    ("project-rows", "adaptive"): "as project",
    ("isospectral", "adaptive"): "as project: singular values are those of the start",
    ("normalize_rows", "adaptive"): "of matrices alone; vectors keep their scale",
    ("scale_by_stable_spam", "momentum"): "this row forgets it every three steps",
    ("scale_by_ftrl", "momentum"): "it moves to a point, again while parameters are held",
    ("scale", "step"): "the sign of the factor is the user's",
    (
        "scale_by_distance_over_gradients-init_distance",
        "step",
    ): "the factor of the row is negative",
    ("scale_by_polyak-below", "step"): "the loss is below the least that it is said to have",
    ("prox", "decay"): "far from zero the proximal map of l1 is that of a constant decay",
    ("add_independent_weight_decay", "final"): "it is for the end of a chain, but any may follow",
    ("zero_nans", "harmless"): "it changes gradients that are not numbers",
    ("layerwise_decay", "harmless"): "these leaves are in its last layer, whose factor is 1",
    ("scale_by_polyak-sps_plus", "harmless"): "with this loss the factor of the row is 1",
    ("momo_adam", "step"): "the decay of this row outweighs the gradients",
    ("levenberg_marquardt", "adaptive"): "it goes by residuals, and not by the gradient",
    ("levenberg_marquardt-none", "adaptive"): "as levenberg_marquardt",
    ("levenberg_marquardt-radius", "adaptive"): "as levenberg_marquardt",
    ("reverse_communication", "step"): "the search of this row turns a direction into a step",
    ("scale_by_lbfgs-one", "harmless"): "it knows no curvature where parameters do not move",
    ("GradientTransformation", "momentum"): "a pair of functions cannot say what it is",
    ("accumulate-three", "step"): "it makes one every third time",
    ("sam", "step"): "it asks a loss for a gradient, and not the one that it is given",
    ("parallel-mean", "step"): "one of its members makes steps",
    ("groups-complete", "step"): "one of its groups makes steps",
    ("exchange", "harmless"): "of one replica the mean is itself",
    ("exchange-vote", "adaptive"): "of one voter the majority is its sign",
    ("delayed", "step"): "the first steps are of gradients that are not there yet",
    ("groups-complete", "alternatives"): "one of its groups has no leaf here",
    (
        "diloco",
        "alternatives",
    ): "its outer member steps when replicas meet, the inner one between",
    ("diloco-fragments", "alternatives"): "as diloco",
    ("schedule_free", "final"): "it needs to know that the parameters are its y",
    ("schedule_free-weights", "final"): "as schedule_free",
    ("radial_brake", "final"): "it compares the norm with that before the step",
    ("scale_by_dion2", "momentum"): "the next step is of another column",
    ("hyperball", "step"): "what pulls a parameter back to its norm may turn the sign",
    ("hyperball", "final"): "its step has a length of its own, from where the parameter is",
    ("on_sphere", "step"): "as hyperball",
    ("on_sphere", "final"): "it takes the gradient along the sphere, from where the parameter is",
    ("ema_nesterov", "final"): "it knows by itself how far parameters are ahead",
    ("master_weights", "final"): "parameters of 64 bits are none of its business",
    ("split_weights", "final"): "as master_weights",
    ("split_weights-8", "final"): "as master_weights",
    ("kahan", "final"): "as master_weights",
    ("stochastic_rounding", "final"): "as master_weights",
    ("mechanize", "final"): "it needs to know how far parameters have come",
}
#: Rows that no members but their own fit: changes of a default, slots that are carried over.
NEED_THEIR_MEMBERS = {"groups", "switch-carry", "switch-clock"}
OF_EXAMPLES = "takes_trees_of_every_kind"  # with a leading dimension that gradients here lack

SINGLE = [row for row in ROWS if not (row.make().factory.composite or row.make().inner)]
SINGLE = [row for row in SINGLE if OF_EXAMPLES not in row.reasons]
COMPOSITE = [row for row in ROWS if row.make().factory.composite or row.make().inner]
COMPOSITE = [row for row in COMPOSITE if OF_EXAMPLES not in row.reasons]


def each(rows: list[Row]) -> Any:
    """A test for each row; directions of second order that take long are slow tests."""
    is_slow = lambda row: row.is_second_order and "adaptive" not in row.make().roles
    mark = lambda row: [pytest.mark.slow] * is_slow(row)
    return pytest.mark.parametrize(
        "row", [pytest.param(row, id=row.name, marks=mark(row)) for row in rows]
    )


def roles_found(tx: Any, extra: dict | None = None) -> set[str]:
    """The roles whose law holds."""
    found = responses(tx, extra or {})
    return {role for role, law in LAWS.items() if law(*found)}


#: Before they know a curvature their steps have a length of their own.
for name in ("bfgs", "dfp", "lbfgs", "lbfgs-compact", "lbfgsb"):
    why = "a gradient without a curvature has the length of the parameters"
    WHY |= {(f"scale_by_{name}", "adaptive"): why}


@pytest.mark.rotated(6)
@each(SINGLE)
def test_a_member_is_what_it_says_and_nothing_else(row):
    tx = row.make()
    differ = roles_found(tx, row.extra) ^ tx.roles
    assert differ == {role for name, role in WHY if name == row.name}


def first_updates(tx: Any, sign: float, extra: dict | None = None, steps: int = 2) -> np.ndarray:
    """All numbers of the first updates, for gradients of one sign.

    Of a transformation of matrices, whose elements may have any sign, the products of updates and
    gradients.
    """
    with jax.enable_x64(True), jax.disable_jit():
        p, state, found = {k: jnp.asarray(x) for k, x in PARAMS.items()}, tx.init(PARAMS), []
        for t in range(steps):
            grads = {k: sign * g[t] for k, g in GRADS.items()}
            u, state = tx.update(grads, state, p, **(extra or {}))
            if tx.locality == "matrix":
                u = {k: np.vdot(x, sign * grads[k]) for k, x in u.items()}
            found += jax.tree.leaves(u)
    return np.concatenate([np.ravel(x) for x in found])


# Those of second order take the size, and with it the sign, from a loss that these gradients lack.
@pytest.mark.rotated(6)
@each([row for row in COMPOSITE if not row.is_second_order])
def test_an_optimizer_has_a_member_that_turns_the_sign(row):
    down, up = (sign * first_updates(row.make(), sign, row.extra) for sign in (1.0, -1.0))
    goes_down = all(x.min() < 0 and x.max() <= 0 for x in (down, up))
    has_one = any(map(flips, walk(row.make())))  # with the role, or a factor below zero
    assert (goes_down != has_one) == ((row.name, "step") in WHY)


def with_members(tx: Any, members: list[Any]) -> Any:
    """A wrapper around other transformations."""
    left = iter(members)
    swap = lambda x: next(left) if isinstance(x, gc.GradientTransformation) else x
    return tx.of(tx.factory, jax.tree.map(swap, tx.arguments, is_leaf=is_call))


WRAPPERS = [row for row in COMPOSITE if not row.make().factory.composite]
of_several = [row for row in WRAPPERS if len(row.make().inner) > 1]


@each([row for row in of_several if row.name not in NEED_THEIR_MEMBERS])
def test_alternatives_are_updates_of_their_own(row):
    """Where all members make steps all is a step; any of them alone can turn it uphill."""
    tx = row.make()
    number = len(tx.inner)
    around = lambda i: [gc.scale(10.0 if i == j else -1.0) for j in range(number)]
    climbs = lambda i: first_updates(with_members(tx, around(i)), 1.0, row.extra, 6).max() > 0
    found = not climbs(None) and all(map(climbs, range(number)))
    assert (found != ("alternatives" in tx.roles)) == ((row.name, "alternatives") in WHY)


@each([row for row in WRAPPERS if "final" in row.make().roles])
def test_wrappers_that_are_final_look_at_where_parameters_would_be(row):
    tx = row.make()
    found = is_final(*responses(with_members(tx, [gc.identity()] * len(tx.inner)), row.extra))
    assert found != ((row.name, "final") in WHY)


@pytest.mark.rotated(6)
@each([row for row in ROWS if OF_EXAMPLES not in row.reasons])
def test_observers_and_no_others_show_numbers(row):
    tx = row.make()
    shown = {name.rpartition("/")[2] for name in gc.metrics(tx.init(PARAMS))}
    has_observer = any("observer" in part.roles for part in walk(tx))
    assert bool(shown.difference(COUNTERS)) == has_observer


@pytest.mark.rotated(6)
@each([row for row in ROWS if OF_EXAMPLES not in row.reasons])
def test_some_and_no_others_say_how_parameters_are_rounded(row):
    assert rounds(row.make(), row.extra) == row.make().facts.rounds


def test_each_role_has_a_law():
    assert LAWS.keys() | {"alternatives", "observer", "rounds"} == ROLES.keys()
    assert {role for row in ROWS for role in row.make().roles} == ROLES.keys()


def test_reasons_are_for_rows_that_exist():
    assert {name for name, _ in WHY} <= {row.name for row in ROWS}


# --------------------------------------------------------------------------- a user's are like ours


@gc.transform(roles="adaptive momentum")
def signs_of_a_mean(b1: gc.Hyper = 0.9):
    def rule(g, s):
        mean = gc.numerics.ema(g, s["mean"], b1)
        return jnp.sign(mean), {"mean": mean}

    return gc.elementwise(rule, mean=gc.slots.like_param)


@gc.transform(roles="step")
def half_a_step():
    return gc.elementwise(lambda g: -0.5 * g)


@gc.transform(roles="clip")
def clipped_at_two():
    return gc.elementwise(lambda g: jnp.clip(g, -2.0, 2.0))


@gc.transform(roles="decay")
def a_tenth_decays():
    return gc.elementwise(lambda g, p: g + 0.1 * p)


@gc.transform(roles="adaptive")
def says_too_much():
    return gc.elementwise(lambda g: 2 * g)


@pytest.mark.parametrize("make", [signs_of_a_mean, half_a_step, clipped_at_two, a_tenth_decays])
def test_the_laws_hold_for_a_transformation_of_a_users_own(make):
    assert roles_found(make()) == make().roles


def test_the_laws_find_a_role_that_is_not_true():
    assert roles_found(says_too_much()) == set() != says_too_much().roles


def names(*members: Any) -> set[str]:
    return {finding.name for finding in gc.check(gc.chain(*members))}


def test_check_knows_a_transformation_of_a_users_own():
    assert names(a_tenth_decays(), signs_of_a_mean(), half_a_step()) == {"decay_before_adaptive"}
    assert names(signs_of_a_mean(), clipped_at_two(), half_a_step()) == {"clip_after_scaling"}
    assert names(gc.adam(0.1), half_a_step()) == {"two_learning_rates"}
    assert names(gc.clip(1.0), signs_of_a_mean()) == {"no_learning_rate"}
    assert names(gc.add_momentum(0.9), signs_of_a_mean(), half_a_step()) == {"momentum_twice"}
    assert names(gc.add_momentum(0.9), signs_of_a_mean(b1=0.0), half_a_step()) == set()
    assert is_optimizer(gc.lookahead(half_a_step()))


# ------------------------------------------------------------------------- those that ask for roles

directions = [row for row in SINGLE if "adaptive" in row.make().roles]
rate = gc.scale_by_learning_rate(0.1)


@pytest.mark.rotated(6)
@pytest.mark.parametrize("row", directions, ids=lambda row: row.name)
def test_mistakes_around_every_adaptive_direction_are_found(row):
    tx = row.make()
    assert "decay_before_adaptive" in names(gc.add_decayed_weights(0.1), tx, rate)
    assert "clip_after_scaling" in names(tx, gc.clip(1.0), rate)
    assert ("momentum_twice" in names(gc.add_momentum(0.9), tx, rate)) == ("momentum" in tx.roles)


def test_a_recipe_has_the_roles_of_its_members():
    assert gc.adamw(0.1).roles == {"adaptive", "momentum", "decay", "step"}
    assert gc.chain(gc.clip(1.0), gc.sgd(0.1)).named("all").roles == {"clip", "step"}
    assert gc.lookahead(gc.adam(0.1)).roles == {"final"}
    assert gc.chain().roles == set()


def test_the_decorator_stands_with_arguments_and_without():
    def tripled():
        """Three times the updates."""
        return gc.elementwise(lambda g: 3 * g)

    for make in (gc.transform(tripled), gc.transform()(tripled), gc.transform(roles="")(tripled)):
        assert (make().roles, make.__doc__) == (set(), "Three times the updates.")
    assert gc.transform(roles=" step  clip ")(tripled)().roles == {"step", "clip"}


RECIPES = [f for f in FACTORIES.values() if f.composite and f.kind is gc.GradientTransformation]
RECIPES = [f for f in RECIPES if f.function.__module__.startswith("gradchain.optimizers")]
RECIPES = [f for f in RECIPES if not f.name.startswith("scale_by_")]  # which are directions
NEEDED = {"likelihood": "normal"}  # and a number for all others


@pytest.mark.parametrize("factory", RECIPES, ids=lambda factory: factory.name)
def test_every_recipe_is_an_optimizer_wherever_it_stands(factory):
    needed = [p.name for p in factory.signature.parameters.values() if p.default is p.empty]
    tx = factory.bind((), {name: NEEDED.get(name, 0.1) for name in needed})
    assert is_optimizer(tx)
    assert is_optimizer(gc.chain(gc.clip(1.0), tx.named("own")))
    with pytest.raises(ValueError, match="others=freeze"):
        gc.masked(tx, "*kernel").init(PARAMS)


def test_an_unknown_role_is_an_error_that_names_the_known():
    with pytest.raises(ValueError, match="no role 'adaptve'; roles are 'clip', 'global_clip', "):
        gc.transform(roles="adaptve step")


PACKAGE = Path(gc.__file__).parent
ROOMS = ("core", "minimization", "inspection", "telemetry")  # which know no member by its name
ASKING = [path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")]
ASKING.remove(PACKAGE / "core" / "foreign_names.py")  # a table from names to names, for errors


@pytest.mark.parametrize("path", ASKING, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_nothing_is_known_by_its_name(path):
    transforms = {n: f for n, f in FACTORIES.items() if f.kind is gc.GradientTransformation}
    is_ours = lambda f: f.function.__module__.startswith("gradchain.")
    names = {n for n, f in transforms.items() if is_ours(f) and "_" in n}  # "clip" is a word too
    nodes = ast.walk(ast.parse(path.read_text()))
    assert not names & {n.value for n in nodes if isinstance(n, ast.Constant)}
