"""``check`` finds each mistake where it is made, and none in the recipes of the library."""

import contextlib
import doctest
import inspect
import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES
from gradchain.core.walk import is_ours
from gradchain.inspection import check as inspection_check
from gradchain.inspection.check import MISTAKES
from tests.inspection.mistakes import EVERYTHING, FIRES, PARAMS, SILENT
from tests.integration.test_docs import BLOCK, PAGES
from tests.laws.table import ROWS


def found(tx, params=None, steps=None, passes=("params",)):
    return {(f.severity, f.name, f.member) for f in gc.check(tx, params, steps, passes)}


@pytest.mark.parametrize(
    ("severity", "name", "member", "tx", "options"),
    FIRES,
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_mistake_is_found(severity, name, member, tx, options):
    options = {"passes": EVERYTHING} | options if name != "missing_arguments" else options
    assert (severity, name, member) in found(tx, **options)
    assert not {f for f in found(tx, **options) if f[0] == "mistake" and f[1] != name}, (
        "and no other mistake"
    )


@pytest.mark.parametrize(("tx", "options"), SILENT, ids=[str(i) for i in range(len(SILENT))])
def test_what_is_right_is_left_alone(tx, options):
    assert {f for f in found(tx, **options) if f[0] != "note"} == set()


def test_each_mistake_is_seen_to_be_found():
    assert {name for _, name, *_ in FIRES} == {search.__name__ for search in MISTAKES} | {
        "does_not_fit"
    }


def passes_for(tx):
    """All that training code can pass, and a function of the model where it is asked for."""
    return (*EVERYTHING, *(tx.extras & {"model_fn", "max_logits"}))


def _recipe(factory):
    """A recipe of the library with its defaults, and something plausible where there is none."""
    given = {
        "learning_rate": 0.1,
        "max_learning_rate": 0.1,
        "l2_norm_clip": 1.0,
        "noise_multiplier": 1.0,
        "likelihood": "categorical",
    }
    required = [p.name for p in factory.signature.parameters.values() if p.default is p.empty]
    return factory.bind((), {name: given[name] for name in required})


RECIPES = [
    f
    for f in FACTORIES.values()
    if f.composite
    and f.function.__module__.startswith("gradchain.o")
    and not f.name.startswith("scale_by_")  # a direction, and no whole optimizer
]


@pytest.mark.parametrize("factory", RECIPES, ids=lambda factory: factory.name)
def test_recipes_of_the_library_are_clean(factory):
    tx = _recipe(factory)
    assert is_ours(tx)
    found = gc.check(gc.chain(gc.centralize(), tx), PARAMS, steps=1000, passes=passes_for(tx))
    assert not [f for f in found if f.severity != "note"]


def test_there_are_recipes():
    assert len(RECIPES) > 50


OPTIMIZERS = [row for row in ROWS if row.make().factory in RECIPES]


@pytest.mark.parametrize("row", OPTIMIZERS, ids=lambda row: row.name)
def test_recipes_with_options_have_no_mistake(row):
    tx = row.make()
    assert not [f for f in gc.check(tx, passes=passes_for(tx)) if f.severity == "mistake"]


def _parts(tx):
    return [part for member in tx.inner for part in (member, *_parts(member))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_the_pages_show_is_clean(page, jax_as_users_have_it):
    """Transformations that a page makes, but those that are parts of another."""
    names, made = {"__name__": page.stem}, []
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        for block in BLOCK.findall(page.read_text()):
            sources = (
                [e.source for e in doctest.DocTestParser().get_examples(block)]
                if ">>>" in block
                else [block]
            )
            for source in sources:
                with (
                    contextlib.suppress(ValueError, TypeError, ArithmeticError),
                    contextlib.redirect_stdout(io.StringIO()),
                ):
                    exec(source, names)  # an error may be what the page shows
                made += [
                    x
                    for x in names.values()
                    if isinstance(x, gc.GradientTransformation) and x not in made
                ]
    parts = [part for tx in made for part in _parts(tx)]
    gradients = [
        tx for tx in made if any(isinstance(x, jax.Array) for x in jax.tree.leaves(tx))
    ]  # of numbers in it
    for tx in (tx for tx in made if tx not in gradients):
        findings = gc.check(
            tx, passes=(*EVERYTHING, *(tx.extras & {"model_fn", "max_logits"}))
        )  # which no other takes
        assert (
            tx in parts
            or page.stem in ("inspection", "troubleshooting")  # they show mistakes
            or not [f for f in findings if f.severity == "mistake"]
        ), tx


def test_findings_print_one_a_line_the_worst_first():
    findings = gc.check(gc.chain(gc.adamw(0.1), gc.clip(1.0)), PARAMS)
    assert [f.severity for f in findings] == ["mistake", "note"]
    first, second = str(findings).splitlines()
    assert first.startswith(
        "mistake: clip_after_scaling at clip: it stands after scale_by_learning_rate and "
        "clips the step"
    )
    assert second.startswith("note: decays_vectors at add_decayed_weights: ")
    assert repr(gc.check(gc.sgd(0.1))) == "nothing found"


def test_a_missing_argument_is_said_with_the_call_to_make():
    (finding,) = gc.check(gc.momo())
    assert "needs 'value': call update(grads, state, params, value=...)" in finding.message
    assert "passes=('params', 'value')" in finding.message


def test_it_takes_foreign_pairs_and_shapes():
    assert gc.check(optax.adam(0.1), PARAMS) == []
    shapes = jax.eval_shape(lambda: PARAMS)
    assert gc.check(gc.adamw(0.1), shapes) == gc.check(gc.adamw(0.1), PARAMS)
    with pytest.raises(TypeError, match="check: tx must be a transformation"):
        gc.check("adam")


def test_it_works_with_traced_numbers():
    found = []
    jax.jit(lambda rate: found.append(gc.check(gc.chain(gc.clip(1.0), gc.adam(rate)))))(0.1)
    scheduled = lambda rate: gc.adam(gc.cosine_decay_schedule(rate, 100))
    jax.jit(lambda rate: found.append(gc.check(scheduled(rate), PARAMS, steps=50)))(0.1)
    jax.jit(
        lambda rate: found.append(
            gc.check(gc.sgd(lambda step: rate * step.astype(float)), steps=50)
        )
    )(0.1)
    assert found == [[], [], []]


def test_options_that_make_no_sense():
    with pytest.raises(
        TypeError, match=r"passes is a collection of names, such as \('params', 'value'\)"
    ):
        gc.check(gc.momo(), passes="value")
    with pytest.raises(ValueError, match="check: steps must be 1 or more"):
        gc.check(gc.sgd(0.1), steps=0)


def test_a_run_of_any_length():
    assert gc.check(gc.sgd(lambda step: 0.1), steps=2**33) == []


def test_the_searches_have_a_docstring_of_one_sentence():
    assert all((inspect.getdoc(search) or "").endswith(".") for search in MISTAKES)


def test_what_one_recipe_puts_together_is_meant():
    decayed = gc.adadelta(1.0, weight_decay=0.1)
    by_hand = gc.chain(
        gc.add_decayed_weights(0.1), gc.scale_by_adadelta(), gc.scale_by_learning_rate(1.0)
    )
    assert {f.name for f in gc.check(decayed)} == set()
    assert {f.name for f in gc.check(by_hand)} == {"decay_before_adaptive"}


def test_a_decay_a_little_longer_than_the_run_is_finished():
    found = lambda steps: gc.check(gc.sgd(gc.cosine_decay_schedule(0.1, 1000)), steps=steps)
    assert [f.name for f in found(960)] == [] and [f.name for f in found(940)] == [
        "decay_unfinished"
    ]


def test_a_rate_that_is_infinite_only_at_the_end_of_the_run_is_found():
    rate = lambda step: jnp.where(step == 500, jnp.inf, 0.1)
    names = lambda steps: [f.name for f in gc.check(gc.sgd(rate), steps=steps)]
    assert "infinite_learning_rate" in names(500) and "infinite_learning_rate" not in names(400)


NO_SCHEDULES = {
    "shape": lambda step: jnp.ones(3),
    "nothing": lambda step: None,
    "text": lambda step: "0.1",
    "complex": lambda step: 0.1 + 1j,
    "python": lambda step: 0.1 if step < 10 else 0.01,
    "math": lambda step: math.cos(step),
    "numpy": lambda step: np.cos(step),
    "index": lambda step: [0.1, 0.01][step],
    "key": lambda step: {0: 0.1}[step],
    "attribute": lambda step: step.rate,
    "arithmetic": lambda step: 1 / 0,
    "no argument": lambda: 0.1,
    "two arguments": lambda step, epoch: 0.1,
    "later": lambda step: [0.1, 0.01, 0.001][int(step)],
}


@pytest.mark.parametrize("steps", [None, 1, 1000])
@pytest.mark.parametrize("params", [None, PARAMS], ids=["alone", "params"])
@pytest.mark.parametrize("function", NO_SCHEDULES.values(), ids=NO_SCHEDULES)
def test_a_function_that_is_no_schedule_is_a_finding(function, params, steps):
    """Whatever stands in the place of a schedule, it is named, and nothing is raised."""
    clip = gc.clip_by_global_norm(function)
    for tx in (gc.adam(function), gc.chain(clip, gc.accumulate(gc.adamw(0.1, b1=function), 2))):
        findings = [f for f in gc.check(tx, params, steps) if f.severity == "mistake"]
        assert any("the schedule <lambda> (test_check.py, line" in f.message for f in findings)


def test_a_search_that_fails_is_a_finding(monkeypatch):
    def fails(case):
        yield from case.no_such_thing

    monkeypatch.setattr(inspection_check, "MISTAKES", (fails, *MISTAKES, fails))
    findings = gc.check(gc.chain(gc.adam(0.1), gc.scale(-1.0)))
    assert [f.name for f in findings] == ["sign_twice", "does_not_fit"]
    assert "fails cannot be looked for" in findings[1].message


@pytest.mark.parametrize(
    "schedule",
    [
        gc.linear_schedule(1.0, -0.5, 70),
        gc.constant_schedule(1.0).until(123) | -1.0,
        gc.constant_schedule(1.0).until(123) | gc.constant_schedule(1.0).until(45) | -1.0,
        gc.piecewise_interpolate_schedule("linear", 1.0, {77: 0.5}) - 0.75,
        gc.join_schedules([gc.constant_schedule(1.0), gc.linear_schedule(1.0, -0.1, 9)], [900]),
        gc.schedules.warmup_stable_decay_schedule(0.0, 1.0, 13, 480, 61, end_value=-0.25),
        gc.schedules.repeated_schedule(gc.linear_schedule(1.0, 0.0, 10).shift(31) - 0.05, 43),
    ],
    ids=str,
)
def test_a_schedule_is_looked_at_around_its_boundaries(schedule):
    for steps in (None, 1000):
        found = gc.check(gc.chain(gc.clip_by_global_norm(schedule), gc.sgd(0.1)), steps=steps)
        assert [f.name for f in found if f.severity != "note"] == ["out_of_range"]
    if float(jnp.min(schedule(jnp.arange(10)))) >= 0:  # it has not left its range by then
        assert gc.check(gc.chain(gc.clip_by_global_norm(schedule), gc.sgd(0.1)), steps=10) == []
