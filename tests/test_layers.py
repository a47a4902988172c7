"""Imports only point down: each module imports from lower rooms, or sideways in its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gradchain"
#: From the ground up. A module may import modules that stand before its own, and files of its own
#: room.
ROOMS = [
    "numerics",
    "tree",
    "core",
    "config",
    "projections",
    "losses",
    "schedules",
    "curvature",
    "transforms",
    "wrappers",
    "precision",
    "searches",
    "optimizers",
    "minimization",
    "checkpoints",
    "inspection",
    "distributed",
    "telemetry",
    "training",
    "plot",
    "as_optax",
    "__init__",
    "cli",
    "__main__",
]
#: The files of the core, from the ground up: none imports one that stands after it.
CORE = [
    "__init__",
    "types",
    "entries",
    "foreign_names",
    "messages",
    "right_calls",
    "intervals",
    "errors",
    "advice",
    "missing_names",
    "roles",
    "grams",
    "slots",
    "slot_specs",
    "stored",
    "meshes",
    "first_values",
    "abstract",
    "restored",
    "annotations",
    "at_step",
    "ranges",
    "nests",
    "plain",
    "factory",
    "call_leaves",
    "printing",
    "call",
    "columns",
    "apply",
    "schedule",
    "selection",
    "stage",
    "facts",
    "clocks",
    "holes",
    "idle",
    "ticks",
    "shards",
    "run",
    "folding",
    "slot_columns",
    "lift",
    "beside",
    "matrices",
    "trees",
    "compiled",
    "transformation",
    "renewal",
    "refresh",
    "around",
    "by_label",
    "walk",
    "partition",
]
MODULES = sorted(PACKAGE.rglob("*.py"))
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))


def room(path: Path) -> str:
    """The first part of a module's name below the package: a file or a folder."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> list[str]:
    """The dotted names that a module imports, those for type checkers too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
            is_room = (
                node.module == "gradchain"
                or (PACKAGE.parent / node.module.replace(".", "/")).is_dir()
            )
            found += modules if is_room else [node.module or ""]
    return found


def rooms_imported(path: Path) -> set[str]:
    """The other rooms of the package that a module imports from."""
    ours = [name for name in imports(path) if name.split(".")[0] == "gradchain"]
    return {name.split(".")[1] if "." in name else "__init__" for name in ours} - {room(path)}


@each_module
def test_imports_point_down(path):
    above = ROOMS[ROOMS.index(room(path)) :]
    assert not rooms_imported(path) & set(above), (
        f"{path.relative_to(PACKAGE)} imports what stands above it"
    )


@pytest.mark.parametrize("name", CORE)
def test_imports_inside_the_core_point_down(name):
    targets = [
        i.split(".")[2]
        for i in imports(PACKAGE / "core" / f"{name}.py")
        if i.startswith("gradchain.core.")
    ]
    assert set(targets) <= set(CORE[: CORE.index(name)])


def test_every_module_has_a_place_in_the_order():
    assert {room(path) for path in MODULES} == set(ROOMS)
    assert {path.stem for path in (PACKAGE / "core").iterdir() if path.suffix == ".py"} == set(
        CORE
    )


def test_the_house_has_few_rooms_and_few_arrows_between_them():
    assert len(ROOMS) <= 24  # the last that the design foresees are precision and distributed
    arrows = {(room(path), target) for path in MODULES for target in rooms_imported(path)}
    assert len(arrows) <= 107, sorted(arrows)


@each_module
def test_the_package_imports_no_peer(path):
    peers = {"optax", "torch", "keras", "flax", "jaxopt"}
    for_checkers = {"optax"} if path == PACKAGE / "core" / "types.py" else set()  # see there
    assert not {n.split(".")[0] for n in imports(path)} & (peers - for_checkers)


def test_optax_is_not_imported():
    code = "import sys, gradchain.as_optax; sys.exit('optax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@each_module
def test_a_file_has_one_subject(path):
    assert len(path.read_text().splitlines()) <= 400, "a file above 400 lines wants to be two"


def test_the_core_is_read_in_half_an_hour():
    files = ("call.py", "slots.py", "stage.py", "lift.py", "run.py", "transformation.py")
    assert sum(len((PACKAGE / "core" / f).read_text().splitlines()) for f in files) <= 1300
