"""Patterns that fit no path: the warning names those that do."""

import re
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES
from gradchain.core.idle import IdlePatternWarning

pytestmark = pytest.mark.usefixtures("without_jit")

PARAMS = {"dense": {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}}
GRADS = jax.tree.map(jnp.ones_like, PARAMS)

IDLE = {
    "adamw": lambda where: gc.adamw(1e-3, where=where),
    "add_decayed_weights": lambda where: gc.add_decayed_weights(0.1, where),
    "masked": lambda where: gc.masked(gc.clip(1.0), where),
    "freeze": lambda where: gc.chain(gc.freeze(where), gc.sgd(0.1)),
    "groups": lambda where: gc.groups([(where, gc.freeze())], default=gc.sgd(0.1)),
    "prodigy": lambda where: gc.prodigy(weight_decay=0.1, where=where),
    "project": lambda where: gc.project(gc.constraints.non_negative(), where),
    "layers": lambda where: gc.chain(gc.sgd(0.1), gc.scale_by_trust_ratio(where=where)),
    "inside": lambda where: gc.accumulate(gc.adamw(1e-3, where=where), every=2),
}
PATTERNS = ["*/kernal", re.compile("kernal$"), gc.path_matches("kernal")]


@pytest.mark.parametrize("make", IDLE.values(), ids=IDLE)
@pytest.mark.parametrize("where", PATTERNS, ids=["glob", "expression", "selection"])
def test_a_pattern_that_fits_no_path_is_a_warning_where_it_is_first_used(make, where):
    tx = make(where)
    with pytest.warns(IdlePatternWarning, match="'dense/bias', 'dense/kernel'") as caught:
        state = tx.init(PARAMS)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    tx.update(GRADS, state, PARAMS)  # and no more: warnings are errors here
    assert gc.check(tx, PARAMS) is not None


def test_a_pattern_is_not_idle_where_a_hole_fits_it():
    everywhere = gc.adamw(1e-3, where="*kernel")
    gc.groups([("*bias", {"b1": 0.8})], default=everywhere).init(PARAMS)
    gc.masked(everywhere, "*bias", gc.freeze()).init(PARAMS)
    gc.chain(gc.freeze("*kernel"), everywhere).init(PARAMS)
    everywhere.init({})
    gc.watch(gc.sgd(0.1), by="path").init(PARAMS)


def test_a_program_that_meets_an_idle_pattern_again_is_told_once():
    code = (
        "import gradchain as gc, jax.numpy as jnp\n"
        "for _ in range(3): gc.add_decayed_weights(0.1, 'x*').init({'w': jnp.ones(1)})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.count("IdlePatternWarning") == 1


# ------------------------------------------------------------------------------ names of one's own

DECAYS = {"weight_decay", "weight_decay_rate"}  # without one nothing is chosen
NEEDED = {
    "masked": {"inner": gc.clip(1.0)},
    "in_eigenbasis": {"inner": gc.clip(1.0)},
    "owners": {"inner": gc.clip(1.0)},
    "groups": {"rules": [("kernel", gc.freeze())], "default": gc.sgd(0.1)},
    "project": {"constraint": gc.constraints.non_negative()},
    "prox": {"penalty": gc.penalties.l1(0.1)},
    "scale_by_path": {"factors": {"kernel": 0.5}},
    "layerwise_decay": {"decay": 0.5, "depth": {"kernel": 1}},
}
CHOOSING = [
    (name, argument)
    for name, factory in FACTORIES.items()
    if factory.kind is gc.GradientTransformation and "observer" not in factory.roles
    if factory.function.__module__.startswith("gradchain.")
    and ".as_optax" not in factory.function.__module__
    for argument in factory.kinds
    if argument in factory.choices or factory.mentions(argument, "dict[Glob")
]


@pytest.mark.parametrize(("name", "argument"), CHOOSING)
def test_the_name_of_a_leaf_alone_is_no_whole_path(name, argument):
    """Whatever argument chooses leaves: no name that only ends a path passes in silence."""
    factory = FACTORIES[name]
    numbers = dict.fromkeys({*required(factory), *DECAYS & factory.kinds.keys()}, 0.1)
    given = numbers | NEEDED.get(name, {})
    if isinstance(given.get(argument, 0.1), float):
        given[argument] = "kernel"
    tx = factory.bind((), given)
    with pytest.warns(IdlePatternWarning, match=r"'\*kernel' or '\*/kernel' fits 'dense/kernel'"):
        tx.init(PARAMS)


def required(factory):
    """The arguments that have no default."""
    parameters = factory.signature.parameters.values()
    return [p.name for p in parameters if p.default is p.empty]


def test_globs_of_factors_are_looked_at():
    tx = gc.chain(gc.sgd(0.1), gc.scale_by_path({"*bias": 0.5, "nope": 0.5}))
    with pytest.warns(IdlePatternWarning, match="scale_by_path.*'nope'"):
        tx.init(PARAMS)
    (finding,) = gc.check(tx, PARAMS)
    assert finding.name == "selects_nothing" and "'nope'" in finding.message


@pytest.mark.parametrize(
    ("glob", "way_out"),
    [
        ("dense", "'dense/*' fits 'dense/bias', 'dense/kernel'"),
        ("dense/kernel/*", "'dense/kernel' fits 'dense/kernel'"),
        ("kern", "'*kern*' fits 'dense/kernel'"),
        ("Kernel", "Is 'dense/kernel' meant?"),
        ("nothing at all", "'*bias' for each bias"),
    ],
)
def test_the_glob_that_was_meant_is_shown(glob, way_out):
    with pytest.warns(IdlePatternWarning, match=re.escape(way_out)):
        gc.chain(gc.freeze(glob), gc.sgd(0.1)).init(PARAMS)


def test_the_name_of_a_leaf_at_the_root_fits():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.adamw(1e-3, where="kernel").init({"kernel": jnp.ones((2, 2))})
