"""Configs: plain data, registered names only, nothing lost."""

import json

import jax
import pytest
import yaml

import gradchain as gc

VALUES = [
    gc.chain(),
    gc.chain(gc.clip(1.0).named("soft"), gc.adamw(1e-3, where=gc.ndim_at_least(2))),
    gc.sgd(
        gc.join_schedules([gc.linear_schedule(0.0, 1.0, 5), gc.constant_schedule(1.0)], (5,)),
        momentum=0.9,
    ),
    gc.scale(gc.piecewise_constant_schedule(1.0, {10: 0.5, 20: 0.1})),
    gc.clip(float("inf")),
    gc.masked(gc.adam(1e-3), {"a": [True, False], "b": (False,)}, others=gc.freeze()),
    gc.partition(
        {"clip": gc.clip(1.0), "rest": gc.chain(gc.sgd(0.1), gc.scale(2.0))},
        {"w": "clip", "b": "rest"},
    ),
    gc.add_decayed_weights(0.1, gc.path_matches("kernel$")),
    gc.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100),
    gc.ndim_at_least(3),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_from_json_and_yaml(value):
    config = gc.to_config(value)
    assert gc.from_config(json.loads(json.dumps(config, allow_nan=False))) == value
    assert gc.from_config(yaml.safe_load(yaml.safe_dump(config))) == value


def test_a_config_reads_like_the_call():
    config = gc.to_config(gc.chain(gc.clip(1.0).named("soft")))
    assert config == {
        "@transform": "chain",
        "members": {"@tuple": [{"@transform": "clip", "@named": "soft", "max_delta": 1.0}]},
    }


def test_what_is_left_out_takes_its_default():
    assert gc.from_config({"@transform": "adam", "learning_rate": 1}) == gc.adam(1.0)
    assert gc.from_config(
        {"@transform": "chain", "members": [{"@transform": "identity"}]}
    ) == gc.chain(gc.identity())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (gc.sgd(lambda step: 0.1), "'learning_rate' of sgd is <function.*@gc.schedule"),
        (gc.masked(gc.clip(1.0), lambda path, leaf: True), "'where' of masked.*@gc.selection"),
        (
            gc.GradientTransformation(lambda p: {}, lambda g, s: (g, s)),
            "pair of functions.*@transform",
        ),
        (gc.chain((lambda p: {}, lambda g, s: (g, s))), "pair of functions"),
    ],
)
def test_what_has_no_name_is_refused(value, message):
    with pytest.raises(TypeError, match=message):
        gc.to_config(value)


def test_a_traced_hyperparameter_is_refused():
    with pytest.raises(TypeError, match=r"'learning_rate' of sgd.*concrete"):
        jax.jit(lambda rate: gc.to_config(gc.sgd(rate)) and rate)(0.1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"@transform": "adan_w"}, "no GradientTransformation named 'adan_w'"),
        ({"@transform": "admw"}, "Did you mean 'adamw'"),
        ({"@transform": "linear_schedule"}, "no GradientTransformation named 'linear_schedule'"),
        ({"@schedule": "os.system"}, "no Schedule named 'os.system'"),
        ({"@import": "os"}, "unknown or mixed tags '@import'"),
        ({"@transform": "clip", "@schedule": "clip"}, "mixed tags"),
        ({"@transform": "GradientTransformation", "init": "a", "update": "b"}, "wraps functions"),
    ],
)
def test_only_registered_names_are_called(config, message):
    with pytest.raises(ValueError, match=message):
        gc.from_config(config)


def test_a_wrong_argument_in_a_config_is_named():
    with pytest.raises(TypeError, match=r"adam: .*'lr'"):
        gc.from_config({"@transform": "adam", "lr": 0.1})


def test_a_user_factory_registers_by_being_decorated():
    @gc.transform
    def doubled_in_config(factor: gc.Hyper = 2.0):
        return gc.elementwise(lambda g: factor * g)

    assert gc.from_config(gc.to_config(doubled_in_config(3))) == doubled_in_config(3.0)
