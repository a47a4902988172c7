"""Configs: plain data, registered names only, nothing lost."""

import collections
import functools
import json
import types

import jax
import pytest
import yaml

import gradchain as gc
from gradchain.core.nests import MAX_WRAPPERS
from gradchain.tree.limits import MAX_DEPTH

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


CLIP = {"@transform": "clip", "max_delta": 1.0}


@pytest.mark.parametrize(
    ("config", "right"),
    [
        ("adamw", r"\{'@transform': 'adamw'\}"),
        ("optax.AdamW", r"\{'@transform': 'adamw'\}"),
        ("linear_schedule", r"\{'@schedule': 'linear_schedule'\}"),
        ({"name": "clip", "max_delta": 1.0}, r"\{'@transform': 'clip', 'max_delta': 1.0\}"),
        ({"type": "AdamW", "lr": 0.1}, r"\{'@transform': 'adamw', 'learning_rate': 0.1\}"),
        ({"_target_": "gradchain.sgd"}, r"\{'@transform': 'sgd'\}"),
        ({"optimizer": "sgd"}, r"\{'@transform': 'sgd'\}"),
        ({"sgd": None}, r"\{'@transform': 'sgd'\}"),
        (
            {"optimizer": {"name": "clip", "max_delta": 1}},
            r"\{'@transform': 'clip', 'max_delta': 1\}",
        ),
        ({"runs": [{"a": {"type": "optax.SGD"}}], "b": CLIP}, r"\{'@transform': 'sgd'\}"),
        (
            {"@transform": "sgd", "learning_rate": {"name": "cosine", "init_value": 1}},
            r"\{'@schedule': 'cosine_decay_schedule', 'init_value': 1\}",
        ),
        (
            {"@transform": "sgd", "learning_rate": {"type": "torch.CosineAnnealingLR"}},
            r"\{'@schedule': 'cosine_annealing_schedule'\}",
        ),
        (
            {"@transform": "sgd", "learning_rate": {"name": "?"}},
            r"\{'@schedule': 'constant_schedule'",
        ),
        ({"sgd": {"learning_rate": 0.1}}, r"\{'@transform': 'sgd', 'learning_rate': 0.1\}"),
        ([CLIP, {"name": "clip"}], r"\{'@transform': 'clip'\}"),
        ({"@transform": "chain", "members": ["adam"]}, r"\{'@transform': 'adam'\}"),
        ({"@transform": "chain", "members": [{"name": "adam"}]}, r"\{'@transform': 'adam'\}"),
        ({"@transform": "accumulate", "inner": "adam", "every": 2}, r"\{'@transform': 'adam'\}"),
    ],
)
def test_what_names_a_factory_in_another_way_is_no_config(config, right):
    with pytest.raises(ValueError, match=rf"is no config. .*{right}"):
        gc.from_config(config)


@pytest.mark.parametrize(
    "config",
    [
        0.1,
        None,
        [],
        {},
        {"learning_rate": 0.1, "sizes": [1, 2]},
        {"w": "left", "b": ["right"]},
        {"model": {"name": "resnet"}, "sgd": None},
    ],
)
def test_plain_data_beside_configs_comes_back(config):
    assert gc.from_config(config) == config
    assert gc.from_config({"name": CLIP, "rest": [config]}) == {
        "name": gc.clip(1.0),
        "rest": [config],
    }


@pytest.mark.parametrize("kind", [types.MappingProxyType, collections.UserDict])
def test_any_mapping_is_a_dict_and_a_tuple_stays_one(kind):
    inner = kind({"@schedule": "constant_schedule", "value": 0.5})
    config = kind({"@transform": "sgd", "learning_rate": inner})
    sgd = gc.sgd(gc.constant_schedule(0.5))
    assert gc.from_config(config) == sgd
    assert gc.from_config(kind({"a": (config, [config])})) == {"a": (sgd, [sgd])}
    assert gc.from_config({"@transform": "chain", "members": (config,)}) == gc.chain(sgd)
    with pytest.raises(ValueError, match="nested too deep"):
        gc.from_config(functools.reduce(lambda x, _: kind({"a": x}), range(3_000), config))


def test_what_stands_in_several_places_is_made_once():
    """One object of Python, or an alias of YAML."""
    made = []

    @gc.schedule
    def made_once(step, value: gc.Hyper = 1.0):
        made.append(value)
        return value + 0.0 * step

    text = "- &a0 {'@schedule': made_once}\n"
    for i in range(12):
        text += f"- &a{i + 1} {{'@schedule': sum_schedule, first: *a{i}, second: *a{i}}}\n"
    *_, before, last = gc.from_config(yaml.safe_load(text))
    assert last.arguments["first"] is last.arguments["second"] is before
    assert last(3) == 2.0**12
    assert len(made) == 2  # examined, and evaluated


@pytest.mark.parametrize(
    "parts", [["a{1000000000000}", 0], ["(" * 5_000, 0], ["(", 0], ["a"] * 3]
)
def test_a_pattern_that_is_none_is_refused(parts):
    with pytest.raises(
        ValueError, match=r"from_config: '@regex' must be like \[\"layer_\[0-3\]\", 0"
    ):
        gc.from_config({"@regex": parts})


def nested(depth: int) -> dict:
    """A config of so many transformations in each other."""
    return functools.reduce(
        lambda inner, _: {"@transform": "accumulate", "inner": inner, "every": 2.0},
        range(depth - 1),
        CLIP,
    )


def test_a_config_of_every_depth_is_read_or_refused():
    for depth in (2, 20, MAX_WRAPPERS + 1):
        assert gc.to_config(gc.from_config(nested(depth))) == nested(depth)
    for depth in (MAX_WRAPPERS + 2, MAX_DEPTH):
        with pytest.raises(ValueError, match="argument 'inner' is nested too deep: it holds 32"):
            gc.from_config(nested(depth))
    for depth in (MAX_DEPTH + 2, 150, 10_000):
        with pytest.raises(
            ValueError, match=r"from_config: the config is nested too deep: .* 100"
        ):
            gc.from_config(nested(depth))
    deep = functools.reduce(lambda inner, _: [inner], range(3_000), gc.clip(1.0))
    with pytest.raises(ValueError, match="to_config: the value is nested too deep"):
        gc.to_config(deep)
    endless: list = [CLIP]
    endless.append(endless)
    with pytest.raises(ValueError, match="nested too deep"):
        gc.from_config(endless)


@pytest.mark.parametrize("tag", [None, "@tuple", "@float", "@dict", "@regex"])
def test_aliases_that_multiply_are_refused(tag):
    """Twelve lines of YAML that stand for 9^11 strings; a few levels of them are fine."""

    def bomb(levels: int) -> object:
        part: object = ["x"] * 9
        for _ in range(levels):
            part = [part] * 9
        return part if tag is None else {tag: part}

    with pytest.raises(ValueError, match="more than 100,000 parts"):
        gc.from_config(bomb(10))
    if tag in (None, "@tuple"):
        assert len(gc.from_config(bomb(3))) == 9


def test_a_message_is_short_however_long_the_value():
    for config in ({"name": "adam", "sizes": [1] * 9_000}, {"@float": [1] * 9_000}):
        with pytest.raises(ValueError, match=r"\.\.\.") as caught:
            gc.from_config(config)
        assert len(str(caught.value)) < 500


# ------------------------------------------------------------------------------------------- files

FILES = {
    "adam.json": '{"@transform": "adam", "learning_rate": 1e-3}',
    "adam.yaml": '"@transform": adam\nlearning_rate: 1e-3\n',
    "adam.txt": '{"@transform": "adam", "learning_rate": 1e-3}',
}


@pytest.mark.parametrize("name", FILES)
def test_a_config_is_read_from_the_path_of_a_file(name, tmp_path):
    path = tmp_path / name
    path.write_text(FILES[name])
    assert gc.from_config(path) == gc.adam(1e-3)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"lost\.yaml: No such file"):
        gc.from_config(tmp_path / "lost.yaml")
    with pytest.raises(ValueError, match=r"from_config\(pathlib\.Path\('adam\.yaml'\)\)"):
        gc.from_config("adam.yaml")
    (tmp_path / "wrong.yaml").write_text('"@transform": [adam')
    with pytest.raises(ValueError, match=r"wrong\.yaml, line"):
        gc.from_config(tmp_path / "wrong.yaml")


def test_a_number_that_yaml_takes_for_text_says_so():
    config = yaml.safe_load('{"@transform": adam, learning_rate: 1e-3}')
    with pytest.raises(TypeError, match=r"'1e-3'.*without quotes: 0\.001.*YAML 1\.0e-3"):
        gc.from_config(config)
