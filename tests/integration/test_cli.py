"""The command line: what it prints, and one clear line for what it cannot use."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gradchain as gc
from gradchain.cli import main
from gradchain.core.factory import FACTORIES

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"
ADAMW = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(gc.cosine_decay_schedule(1e-3, 100)))
SHAPES = {
    "dense": {"bias": [4], "kernel": {"shape": [3, 4], "dtype": "bfloat16"}},
    "step": {"shape": []},
    "hole": None,
}
PNG = b"\x89PNG"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a config of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adamw.json").write_text(json.dumps(gc.to_config(ADAMW)))
    (tmp_path / "rate.json").write_text(
        json.dumps(gc.to_config(gc.cosine_decay_schedule(1e-3, 100)))
    )
    (tmp_path / "shapes.json").write_text(json.dumps(SHAPES))
    return tmp_path


def run(*argv):
    """A command in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "gradchain", *argv], capture_output=True, text=True, timeout=300
    )
    return found.returncode, found.stdout, found.stderr


def refused(capsys, *argv):
    """The line on stderr of a command that is refused."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (
        out == ""
        and err.startswith("gradchain: ")
        and err.endswith("\n")
        and err.count("\n") == 1
    )
    return err.removeprefix("gradchain: ").strip()


# --------------------------------------------------------------------------- once as a process each


def test_list_as_a_process(folder):
    code, out, err = run("list", "wrappers")
    assert (code, err) == (0, "")
    line = r"^  lookahead +Every few steps, move slow weights towards the fast ones\.$"
    assert re.search(line, out, re.M)
    assert out.isascii() or "\x1b" not in out


def test_show_as_a_process(folder):
    code, out, err = run("show", "adamw.json")
    assert (code, err) == (0, "")
    expression, config = out.split("\n\n", 1)
    assert eval(expression, vars(gc)) == ADAMW
    assert gc.from_config(json.loads(config)) == ADAMW


def test_describe_as_a_process(folder):
    code, out, err = run("describe", "adamw.json", "--params", "shapes.json")
    assert (code, err) == (0, "")
    assert out.startswith(
        "3 leaves, 17 parameters: 44 B\nstate: 144 B, 3.27 times the parameters\n"
    )
    assert "note: decays_vectors at add_decayed_weights" in out


def test_plot_as_a_process(folder):
    assert run("plot", "rate.json", "--steps", "100", "--out", "rate.png") == (
        0,
        "rate.png\n",
        "",
    )
    assert (folder / "rate.png").read_bytes().startswith(PNG)


def test_bad_input_as_a_process(folder):
    code, out, err = run("show", "nothing.json")
    text = "No such file or directory. A config is read from a file, or from stdin as -"
    line = f"gradchain: nothing.json: {text}; gradchain list shows the names\n"
    assert (code, out, err) == (2, "", line)


def test_a_reader_that_stops_is_no_error(folder):
    writer = subprocess.Popen(
        [sys.executable, "-m", "gradchain", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    writer.stdout.readline()
    writer.stdout.close()
    assert writer.stderr.read() == b""
    writer.stderr.close()
    assert writer.wait(timeout=300) == 0


# ----------------------------------------------------------------------------------------- estimate


def test_estimate_of_a_file_of_shapes(folder, capsys):
    assert main(["estimate", "adamw.json", "--params", "shapes.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    sizes = [found[f"{name}_bytes"] for name in ("parameter", "gradient", "state", "transient")]
    assert sizes[:3] == [44, 44, 144] and found["peak_bytes"] == sum(sizes)


@pytest.mark.parametrize("count", ["124M", "0.124B", "124e6", "124000000"])
def test_estimate_of_a_number_of_parameters(count, folder, capsys):
    argv = ["estimate", "adamw.json", "--params", count, "--dtype", "bfloat16"]
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "125,716,864 parameters       size  bytes per parameter"
    assert lines[1].split() == ["parameters", "239.8", "MiB", "2.00"]
    assert lines[3].split() == ["state", "959.1", "MiB", "8.00"]


def test_estimate_refuses_too_few_parameters_and_a_lost_file(folder, capsys):
    found = refused(capsys, "estimate", "adamw.json", "--params", "7")
    assert found == (
        "--params 7: transformer_shapes: parameters must be 10,000,000 or more, not 7.0."
    )
    found = refused(
        capsys, "estimate", "adamw.json", "--params", "shapes.json", "--dtype", "float16"
    )
    assert found == (
        "--dtype float16 is that of a transformer of N parameters; shapes in a file have their own"
    )
    found = refused(capsys, "estimate", "adamw.json", "--params", "7X")
    assert found.startswith("7X: No such file or directory")


def test_estimate_says_what_the_step_needs(folder, capsys):
    (folder / "polyak.json").write_text(json.dumps(gc.to_config(gc.polyak_sgd())))
    found = refused(capsys, "estimate", "polyak.json", "--params", "shapes.json")
    assert "polyak.json does not fit shapes.json" in found and "'value'" in found


# --------------------------------------------------------------------------------------------- plan


def test_plan_of_a_file_of_shapes(folder, capsys):
    (folder / "wide.json").write_text('{"w": [64, 32]}')
    argv = ["plan", "adamw.json", "--params", "wide.json", "--mesh", "data=4,model=2"]
    assert main(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "2,048 parameters on 8 devices (data 4 x model 2), like_params, compiled for cpu"
    )
    assert lines[-1].split()[:3] == ["all-reduce", "1", "f32"]
    assert main([*argv, "--fsdp", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["parameter_bytes"] == 4 * 2048 // 4 and found["compiled_for"] == "cpu"


def test_plans_of_several_policies_are_compared(folder, capsys):
    argv = ["plan", "adamw.json", "--params", "124M", "--mesh", "data=4096"]
    assert main([*argv, "--policy", "like_params", "zero"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["state", "like_params", "zero"]
    assert all(line.endswith("by formula") for line in lines[1:])


@pytest.mark.parametrize("axes", ["data", "data=0", "data=2,data=4", "=3", "8"])
def test_plan_refuses_a_mesh_that_is_none(axes, folder, capsys):
    found = refused(capsys, "plan", "adamw.json", "--params", "shapes.json", "--mesh", axes)
    assert found == (
        f"argument --mesh: must be names with lengths, such as data=8,model=2, not {axes!r}; see"
        " gradchain plan --help"
    )


# --------------------------------------------------------------------------------------------- list


def test_every_public_factory_is_listed_once(capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [entry["name"] for entry in found]
    public = {
        n
        for n, f in FACTORIES.items()
        if getattr(gc, n, None) is not None and f.kind in (gc.GradientTransformation, gc.Schedule)
    }
    assert len(names) == len(set(names)) and public - {"GradientTransformation"} <= set(names)
    kinds = {entry["name"]: entry["kind"] for entry in found}
    assert [kinds[n] for n in ("clip", "groups", "chain", "adamw", "linear_schedule")] == [
        "transforms",
        "wrappers",
        "wrappers",
        "recipes",
        "schedules",
    ]
    clip = next(entry for entry in found if entry["name"] == "clip")
    assert clip["arguments"] == ["max_delta"]


def test_names_are_listed_by_pattern(capsys):
    assert main(["list", "adam*"]) == 0
    found = capsys.readouterr().out
    assert re.findall(r"^\w+", found, re.MULTILINE) == ["recipes"]
    names = re.findall(r"^  (\w+)", found, re.MULTILINE)
    assert names == gc.optimizers_named("adam*")
    main(["list", "*adam", "--json"])
    kinds = {x["kind"] for x in json.loads(capsys.readouterr().out)}
    assert kinds == {"transforms", "recipes"}


def test_summaries_are_one_plain_sentence(capsys):
    main(["list", "--json"])
    for entry in json.loads(capsys.readouterr().out):
        if getattr(gc, entry["name"], None) is not None:
            text = entry["summary"]
            assert text and "``" not in text and ":math:" not in text and "\n" not in text, entry


# ------------------------------------------------------------------------------ show, and its input


@pytest.mark.parametrize(
    "value",
    [ADAMW, gc.cosine_decay_schedule(1e-3, 100), gc.ndim_at_least(2)],
    ids=lambda x: x.tag,
)
def test_show_takes_any_value_with_a_config(value, tmp_path, capsys):
    path = tmp_path / "value"  # no suffix: JSON is known by its bracket
    path.write_text(json.dumps(gc.to_config(value)))
    assert main(["show", str(path)]) == 0
    assert gc.from_config(json.loads(capsys.readouterr().out.split("\n\n", 1)[1])) == value


@pytest.mark.parametrize("stdin", [False, True])
def test_yaml(stdin, tmp_path, monkeypatch, capsys):
    text = (
        '# an optimizer\n"@transform": adam\nlearning_rate: 1e-3\nb2: {"@schedule": '
        "constant_schedule, value: 5E-1}\n"
    )
    (tmp_path / "adam.yaml").write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["show", "-" if stdin else str(tmp_path / "adam.yaml")]) == 0
    assert capsys.readouterr().out.startswith(f"{gc.adam(1e-3, b2=gc.constant_schedule(0.5))}\n")


ZERO_PERIOD = gc.to_config(gc.lookahead(gc.sgd(0.1))) | {"sync_period": 0}
NO_DECAY = gc.to_config(gc.adam(0.1)) | {"b1": 1.0}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.json",
            '{"@transform": "adamv"}',
            "a.json: from_config: no .* named 'adamv' .* Did you mean 'adam'",
        ),
        (
            "a.json",
            '{"@schedule": "cosine_decay"}',
            "a.json: .* Did you mean 'cosine_decay_schedule'",
        ),
        (
            "a.json",
            '{"@transform": "adam",\n "b1": 0.9,}',
            r"a.json, line 2, column \d+: .*double quotes",
        ),
        (
            "a.json",
            '{"@transform": "adam", "rate": 0.1}',
            "a.json: adam: there is no argument 'rate'.* is 'learning_rate' here.* It is called",
        ),
        (
            "a.json",
            '{"@transform": "adam", "learning_rate": "x"}',
            "a.json: adam: argument .* must be a number",
        ),
        ("a.json", json.dumps(ZERO_PERIOD), "a.json: lookahead: sync_period must be 1 or more"),
        ("a.json", json.dumps(NO_DECAY), r"a.json: adam: b1 must be in \[0, 1\), not 1\.0"),
        (
            "a.json",
            '{"@transform": "adam", "b1": 1, "b1": 2}',
            "a.json: the key 'b1' is given twice",
        ),
        ("a.json", "[1, 2]", "a.json: this is no config, which is a mapping such as"),
        ("a.json", "", "a.json, line 1, column 1: Expecting value"),
        ("a.yaml", '"@transform": adam\nb1: [1, 2', "a.yaml, line 2: .*expected ',' or ']'"),
        ("a.yaml", "@transform: adam", "a.yaml, line 1: .*put quotes around what begins with @"),
        ("a.yml", "a: 1\na: 2", "a.yml: the key 'a' is given twice"),
        (
            "a.yaml",
            "a: !!python/object:os.system {}",
            "a.yaml, line 1: could not determine a constructor",
        ),
        ("a.yaml", '"@transform": adam\n1: 2', "a.yaml: .*1"),
        ("a.yaml", "", "a.yaml: this is no config"),
        (
            "a.yaml",
            "? [a, b]\n: 1",
            "a.yaml: the key of type list is not text; put quotes around it",
        ),
        ("a.yaml", "true: 1", "a.yaml: the key True is not text; put quotes around it"),
        ("a.yaml", "!!timestamp x", "a.yaml, line 1: could not determine a constructor"),
        ("a.yaml", "a: !!timestamp 2020-01-01", "line 1: could not determine a constructor"),
        ("a.yaml", "a: !!binary x", "a.yaml, line 1: could not determine a constructor"),
        ("a.yaml", "a: 1\nb: !!int ''", "a.yaml, line 2: '' is no int"),
        ("a.yaml", "a: !!bool yes", "a.yaml, line 1: 'yes' is no bool"),
        ("a.yaml", "a: !!float .", "a.yaml, line 1: '.' is no float"),
        ("a.yaml", "!!map x", "a.yaml, line 1: expected a mapping node, but found scalar"),
        ("a.yaml", "!!seq x", "a.yaml, line 1: expected a sequence node, but found scalar"),
        ("a.yaml", "[" * 20_000, "a.yaml: it is nested too deep: more than 100 levels"),
        ("a.yaml", "- " * 20_000, "a.yaml: it is nested too deep: more than 100 levels"),
        ("a.yaml", "{a: " * 20_000, "a.yaml: it is nested too deep: more than 100 levels"),
        ("a.yaml", "1: 2\n'1': 3", "a.yaml: the key '1' is given twice"),
        (
            "a.yaml",
            '"@transform": adam\nlearning_rate: no',
            "a.yaml: adam: argument .* must be a number .*, not 'no'",
        ),
        ("a.json", "[" * 100_000, "a.json: nested too deep"),
        (
            "a.json",
            '{"@transform": ["adam"]}',
            "a.json: from_config: no .* named .* Did you mean 'adam'",
        ),
        (
            "a.json",
            '{"@transform": "chain", "members": {"@transform": "clip", "max_delta": 1}}',
            "must be a list, not clip",
        ),
        (
            "a.json",
            '{"@transform": "chain", "members": null}',
            "argument 'members' of 'chain' must be a list, not None",
        ),
        (
            "a.json",
            '{"@transform": "freeze", "where": {"@regex": "ab"}}',
            "'@regex' must be like .*, not 'ab'",
        ),
        (
            "a.json",
            '{"@transform": "freeze", "where": {"@regex": ["[", 0]}}',
            "'@regex' .* unterminated character set",
        ),
    ],
)
def test_bad_configs(name, text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    assert re.search(message, refused(capsys, "show", name))


def test_yaml_has_the_scalars_of_json_and_merges(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text(
        '"@transform": chain\nmembers:\n  - &one {"@transform": adam, learning_rate: .5, b1: '
        "1e-1}\n"
        "  - {<<: *one, learning_rate: 0.25, eps: 1e-9}\n"
        '  - {"@transform": clip, max_delta: .inf}\n'
        '  - {"@transform": freeze, where: no}\n  - {"@transform": freeze, where: }\n'
        '  - {"@transform": scale_by_schedule, step_size_fn: {"@schedule": linear_schedule, '
        "init_value: 1,"
        " end_value: 0, transition_steps: 10_000}}\n"
    )
    assert main(["show", str(tmp_path / "a.yaml")]) == 0
    assert eval(capsys.readouterr().out.split("\n\n")[0], vars(gc)) == gc.chain(
        gc.adam(0.5, b1=0.1),
        gc.adam(0.25, b1=0.1, eps=1e-9),
        gc.clip(float("inf")),
        gc.freeze("no"),
        gc.freeze(),
        gc.scale_by_schedule(gc.linear_schedule(1.0, 0.0, 10_000)),
    )


def test_json_with_a_byte_order_mark(folder, capsys):
    (folder / "marked.json").write_bytes(b"\xef\xbb\xbf" + (folder / "adamw.json").read_bytes())
    assert main(["show", "marked.json"]) == 0


def test_a_closed_stdin(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert refused(capsys, "show", "-") == "stdin: it is closed"


def test_what_stdout_cannot_hold(folder):
    """A disk that is full is said; a letter that an encoding lacks is written as its number."""
    (folder / "frozen.json").write_text(
        json.dumps(gc.to_config(gc.chain(gc.freeze("\u043a"), gc.sgd(0.1))))
    )
    (folder / "shapes.json").write_text('{"\u043a": [1], "a": [1]}')
    command = [
        sys.executable,
        "-m",
        "gradchain",
        "describe",
        "frozen.json",
        "--params",
        "shapes.json",
    ]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert (found.returncode, found.stderr) == (0, "") and "\\u043a" in found.stdout
    full = Path("/dev/full")
    if full.exists():
        with full.open("w") as out:
            found = subprocess.run(
                command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=300
            )
        line = "gradchain: the output cannot be written: No space left on device\n"
        assert (found.returncode, found.stderr) == (2, line)


def test_files_that_are_none(tmp_path, capsys):
    assert "Is a directory" in refused(capsys, "show", str(tmp_path))
    assert refused(capsys, "show", "").startswith("''")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refused(capsys, "show", str(tmp_path / "a.json"))


def test_a_path_that_no_file_can_have(folder, capsys):
    nul = "a" + chr(0) + ".json"
    for argv in (["show", nul], ["describe", "adamw.json", "--params", nul]):
        assert "'a\\x00.json' is no name of a file" in refused(capsys, *argv)
    assert "null byte" in refused(
        capsys, "plot", "rate.json", "--steps", "9", "--out", chr(0) + ".png"
    )


@pytest.mark.parametrize("depth", [101, 400, 900, 100_000])
def test_what_is_nested_too_deep(depth, folder, capsys):
    """Shapes and configs, in JSON and in YAML."""
    (folder / "deep.json").write_text('{"a":' * depth + "[2]" + "}" * depth)
    (folder / "deep.yaml").write_text("[" * min(depth + 2, 5000) + "]" * min(depth + 2, 5000))
    for name in ("deep.json", "deep.yaml"):
        assert "nested too deep" in refused(capsys, "describe", "adamw.json", "--params", name)
        assert "nested too deep" in refused(capsys, "show", name)


def test_shapes_of_the_largest_depth_are_described(folder, capsys):
    (folder / "deep.json").write_text('{"a":' * 98 + "[2]" + "}" * 98)
    assert main(["describe", "adamw.json", "--params", "deep.json"]) == 0


def test_yaml_that_multiplies_is_refused(folder, capsys):
    """Aliases, keys that are merged, and keys that are no text."""
    names = "abcdefgh"
    of = lambda name: ", ".join([f"*{name}"] * 9)
    lists = "".join(f"{b}: &{b} [{of(a)}]\n" for a, b in itertools.pairwise(names))
    maps = "".join(f"{b}: &{b} {{<<: [{of(a)}]}}\n" for a, b in itertools.pairwise(names))
    (folder / "aliases.yaml").write_text("a: &a [x, x]\n" + lists)
    (folder / "merged.yaml").write_text("a: &a {k: 1, l: 2}\n" + maps)
    (folder / "key.yaml").write_text("a: &a [x, x]\n" + lists + "? *h\n: 1\n")
    expected = {"aliases": "parts", "merged": "takes over more", "key": "is not text"}
    for name, message in expected.items():
        for argv in (["show"], ["describe", "adamw.json", "--params"]):
            text = refused(capsys, *argv, f"{name}.yaml")
            assert message in text and len(text) < 300


def test_a_name_in_a_file_is_no_config(folder, capsys):
    for name, text in (("a.yaml", "adamw"), ("a.json", '{"name": "adamw"}')):
        (folder / name).write_text(text)
        assert "{'@transform': 'adamw'}" in refused(capsys, "show", name)


@pytest.mark.parametrize("name", ["adamw", "clip_by_global_norm", "chain", "constant_schedule"])
def test_the_name_of_a_factory_is_no_file_but_its_config_is_shown(name, monkeypatch, capsys):
    found = refused(capsys, "show", name)
    config = re.search(r"echo '(.*)' \| gradchain show -$", found)[1]
    monkeypatch.setattr("sys.stdin", io.StringIO(config.replace("...", "1")))
    assert main(["show", "-"]) == 0
    assert capsys.readouterr().out.startswith(f"{name}(")


def test_the_name_of_neither_a_file_nor_a_factory_leads_to_the_list(capsys):
    assert "gradchain list shows the names" in refused(capsys, "show", "adamx")


def test_without_pyyaml_the_way_to_it_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.yaml").write_text("a: 1")
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert 'pip install "gradchain[cli]"' in refused(capsys, "show", str(tmp_path / "a.yaml"))


def test_names_of_ones_own_are_imported(folder, capsys):
    (folder / "own_parts_of_a_test.py").write_text(
        "import gradchain as gc\n\n@gc.transform\ndef halved_in_a_test():\n    return "
        "gc.elementwise(lambda g: g / 2)\n"
    )
    (folder / "own.json").write_text('{"@transform": "halved_in_a_test"}')
    try:
        assert main(["show", "own.json", "--import", "own_parts_of_a_test"]) == 0
    finally:
        FACTORIES.pop("halved_in_a_test", None)
    assert capsys.readouterr().out.startswith("halved_in_a_test()\n")
    assert "--import no_such_module: No module named" in refused(
        capsys, "show", "own.json", "--import", "no_such_module"
    )
    (folder / "ends_in_a_test.py").write_text("raise SystemExit(3)")
    assert "--import ends_in_a_test: 3" in refused(capsys, "list", "--import", "ends_in_a_test")


# ----------------------------------------------------------------------------------------- describe


def test_describe_as_json(folder, capsys):
    assert (
        main(["describe", "adamw.json", "--params", "shapes.json", "--json", "--steps", "1000"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["leaves"], found["total_bytes"], found["needs"]) == (3, 144, ["params"])
    assert found["groups"] == {"dense/bias": "all", "dense/kernel": "all", "step": "all"}
    assert {f["name"] for f in found["findings"]} == {"ends_early", "decays_vectors"}


def test_describe_is_told_what_update_is_given(folder, capsys):
    (folder / "momo.json").write_text(json.dumps(gc.to_config(gc.momo())))
    main(["describe", "momo.json", "--params", "shapes.json"])
    assert "mistake: missing_arguments at scale_by_momo" in capsys.readouterr().out
    main(["describe", "momo.json", "--params", "shapes.json", "--passes", "params", "value"])
    assert capsys.readouterr().out.endswith("\n\nnothing found\n")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"a": {"b": 3}}, "'a/b' must be a shape, a list of sizes such as [2, 3], not 3"),
        ({"a": [2, -1]}, "'a' must be a shape"),
        ({"a": [2.0]}, "'a' must be a shape"),
        (
            {"a": {"shape": [2], "dtype": "bfloat"}},
            "'a' has no dtype 'bfloat'; did you mean 'bfloat16'?",
        ),
        ({"a": {"shape": [2], "dtype": None}}, "'a' has no dtype None"),
        ({"a": {"shape": [2], "dtype": "datetime64"}}, "'a' has no dtype 'datetime64'"),
        ({"a": None}, "bad.json: there is no shape in it"),
        ("text", "bad.json: the whole must be a shape"),
        (
            {"a": {"shape": [2], "dtype": "int32"}},
            "adamw.json does not fit bad.json: init: parameter 'a' has dtype int32",
        ),
    ],
)
def test_bad_shapes(shapes, message, folder, capsys):
    (folder / "bad.json").write_text(json.dumps(shapes))
    assert message in refused(capsys, "describe", "adamw.json", "--params", "bad.json")


def test_float64_is_measured_as_such(folder, capsys):
    (folder / "wide.json").write_text('{"a": {"shape": [2], "dtype": "float64"}}')
    assert main(["describe", "adamw.json", "--params", "wide.json", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["parameter_bytes"], found["bytes"]["scale_by_adam"]) == (16, 36)


def test_one_stdin_is_not_two_files(capsys):
    assert "cannot both come from stdin" in refused(capsys, "describe", "-", "--params", "-")


def test_wrong_kinds_of_config(folder, capsys):
    text = (
        "'cosine_decay_schedule' is a Schedule, but this command takes a GradientTransformation"
    )
    assert text in refused(capsys, "describe", "rate.json", "--params", "shapes.json")
    assert "'chain' is a GradientTransformation" in refused(
        capsys, "plot", "adamw.json", "--steps", "5", "--out", "a.png"
    )


# ------------------------------------------------------------------------------- plot, and the rest


def test_bad_plots(folder, capsys, monkeypatch):
    plot = ("plot", "rate.json", "--steps", "5", "--out")
    assert "a.nothing cannot be written: Format 'nothing' is not supported" in refused(
        capsys, *plot, "a.nothing"
    )
    assert "no/a.png cannot be written: No such file" in refused(capsys, *plot, "no/a.png")
    assert "must end in the name of a format" in refused(capsys, *plot, "folder")
    for steps in ("0", "-1", "many", "9" * 5000):
        assert "--steps: must be a whole number above 0" in refused(
            capsys, "plot", "rate.json", f"--steps={steps}", "--out", "a"
        )
    assert (
        main(["plot", "rate.json", "--steps", "2000000000", "--out", "long.png"]) == 0
    )  # not point by point
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert 'pip install "gradchain[plot]"' in refused(capsys, *plot, "a.png")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND; see gradchain --help"),
        (["lst"], "invalid choice: 'lst'"),
        (["list", "recipe"], "list: no name fits 'recipe'. Did you mean 'recipes'?"),
        (["list", "?"], "list: no name fits '?'"),
        (["describe", "a.json"], "required: --params; see gradchain describe --help"),
        (["show"], "required: CONFIG"),
        (["show", "a.json", "--quietly"], "unrecognized arguments: --quietly"),
    ],
)
def test_bad_commands(argv, message, capsys):
    assert message in refused(capsys, *argv)


def test_help_and_version(capsys):
    for argv, text in (
        (["--version"], f"gradchain {gc.__version__}"),
        (["plot", "--help"], "draw a schedule"),
    ):
        with pytest.raises(SystemExit) as end:
            main(argv)
        assert end.value.code == 0 and text in capsys.readouterr().out


def test_the_session_on_the_page_is_real(tmp_path, monkeypatch, capsys):
    """Files as the page shows them, then each command with what it prints."""
    monkeypatch.chdir(tmp_path)
    commands = 0
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
            name, *argv = command.split()
            if name == "cat":
                Path(*argv).write_text(output)
                continue
            main(argv)
            found = capsys.readouterr()
            assert _same(found.out + found.err, output), f"{command}\n{found.out}{found.err}"
            commands += 1
    assert commands >= 5


def _same(found, shown):
    """Whether an output is as shown, where a line of three dots stands for any lines; columns may
    be wider.
    """
    escape = lambda text: re.sub(r"(\\ )+", " +", re.escape(text))
    pattern = ".*".join(map(escape, re.split(r"^\.\.\.\n", shown, flags=re.M)))
    return re.fullmatch(pattern, found, re.S) is not None
