"""The catalogue knows each optimizer and what it costs, and the API pages show each public name
once.
"""

import ast
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from docutils.utils.math.latex2mathml import tex2mathml

import gradchain as gc
from tests import test_layers

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))
import api_pages  # noqa: E402 - they lie beside the pages
import catalogue  # noqa: E402

SOURCES = sorted((DOCS.parent / "gradchain").rglob("*.py"))
CALLS = [call for family in catalogue.FAMILIES.values() for call in family]


def test_every_recipe_and_every_wrapper_is_in_the_catalogue():
    assert not catalogue.recipes() - {call.split("(")[0] for call in CALLS}
    around = catalogue.names("wrappers") | catalogue.names("precision")
    described = {call.split("(")[0] for call in catalogue.WRAPPERS}
    assert not around - {"groups", "freeze"} - described
    assert {"adamw", "sgd", "dpsgd", "lbfgs"} < catalogue.recipes()  # the test can fail
    assert {"sam", "graft"} < catalogue.names("wrappers")


def test_the_readme_counts_the_recipes():
    (said,) = re.findall(r"more than (\d+) recipes", (DOCS.parent / "README.md").read_text())
    assert 0 < len(catalogue.recipes()) - int(said) <= 50


def test_no_entry_stands_twice():
    assert len(CALLS) == len(set(CALLS))


def test_a_recipe_that_is_missing_stops_the_build_by_name(monkeypatch):
    monkeypatch.delitem(catalogue.FAMILIES["Signs"], "lion")
    with pytest.raises(ValueError, match="does not say when to use lion"):
        catalogue.optimizers()


def test_an_entry_that_is_no_recipe_stops_the_build_by_name(monkeypatch):
    monkeypatch.setitem(catalogue.WRAPPERS, "nothing", "never")
    with pytest.raises(ValueError, match="what gradchain lacks: nothing"):
        catalogue.wrappers()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("sgd", "0"),
        ("sgd(momentum=0.9)", "4"),
        ("adam", "8"),
        ("adamw", "8"),
        ("amsgrad", "12"),
        ("lion", "4"),
        ("noisy_sgd", "0"),  # a counter does not count
        ("adafactor", r"0.01\*"),  # (1024 + 1024 + 1024) * 4 bytes for a matrix and a vector
    ],
)
def test_bytes_of_the_state(call, expected):
    assert catalogue.memory(catalogue.make(call)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("average_weights", "4"), ("cautious", "0"), ("grokfast_window", "400")],
)
def test_a_wrapper_counts_beyond_what_is_inside(name, expected):
    inner = catalogue.members(name)
    assert catalogue.memory(catalogue.make(name, **inner), *inner.values()) == expected


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (gc.sgd(0.1), []),
        (gc.adamw(0.1), ["`params`"]),
        (gc.polyak_sgd(), ["`value=`"]),
        (gc.noisy_sgd(0.1), []),  # a key may be given, and need not
        (gc.dpsgd(0.1, 1.0, 1.0), ["a gradient per example"]),
        (gc.sam(gc.sgd(0.1)), ["`params`", "`value_fn=`"]),
    ],
    ids=lambda x: x.factory.name if isinstance(x, gc.GradientTransformation) else "",
)
def test_what_update_needs(tx, expected):
    assert catalogue.needs(tx) == expected


def test_every_recipe_names_its_paper_and_its_year():
    found = {name: catalogue.papers(name) for name in catalogue.names("optimizers")}
    assert not [name for name, links in found.items() if not links or "paper" in links.values()]


def test_links_end_where_they_should():
    assert catalogue.papers("adamw") == {
        "https://arxiv.org/abs/1412.6980": "2015",
        "https://arxiv.org/abs/1711.05101": "2019",
    }
    assert "https://doi.org/10.1016/0041-5553(64)90137-5" in catalogue.papers("sgd")
    everything = [
        link for name in catalogue.names("optimizers") for link in catalogue.papers(name)
    ]
    assert not [
        link for link in everything if link[-1] in ".,;" or link.count("(") != link.count(")")
    ]


def test_the_page_takes_the_tables_in(tmp_path):
    catalogue.write(tmp_path)
    page = (DOCS / "which_optimizer.md").read_text()
    for file in tmp_path.iterdir():
        assert f"{{include}} generated/{file.name}" in page
    assert (
        "`lion <gradchain.optimizers.lion.lion>` | 4 | `params` |"
        in (tmp_path / "optimizers.md").read_text()
    )


def formulas(source: str) -> list[str]:
    """The formulas of the docstrings of a module, within sentences and on lines of their own."""
    documented = ast.FunctionDef, ast.ClassDef, ast.Module
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, documented)]
    text = "\n".join(ast.get_docstring(node) or "" for node in nodes) + "\n"
    inline = re.findall(r":math:`([^`]*)`", text)
    return inline + re.findall(r"^ *\.\. math::\n\n?((?: +.*\n)+)", text, re.MULTILINE)


def test_every_formula_can_be_drawn():
    found = [formula for file in SOURCES for formula in formulas(file.read_text())]
    assert len(found) > 900
    for formula in found:
        tex2mathml(formula, as_block=True)  # or a MathError that names the command, and no site


# ---------------------------------------------------------------------------------------- the pages


def exported() -> dict[str, str]:
    """The public names, by where they come from."""
    found = {}
    rooms = [
        getattr(gc, name)
        for name in set(dir(gc)) - {"as_optax"}
        if isinstance(getattr(gc, name), ModuleType)
    ]
    folders = [room for room in (gc, *rooms) if room.__file__.endswith("__init__.py")]
    for folder in folders:
        for node in ast.parse(Path(folder.__file__).read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module.startswith("gradchain."):
                names = {f"{node.module}.{alias.name}": alias.name for alias in node.names}
                found |= {k: v for k, v in names.items() if k not in sys.modules}
    for room in rooms:
        if room not in folders:
            public = {
                n: x for n, x in vars(room).items() if n[0] != "_" and is_defined_in(room, x)
            }
            found |= {f"{room.__name__}.{n}": n for n in public}
    return found


def is_defined_in(module: ModuleType, x: object) -> bool:
    """Whether a class or function comes from a module; what decorators make has its function's
    name.
    """
    return getattr(x, "__module__", None) == module.__name__


def documented(kinds: str) -> list[str]:
    """What the API pages show: full names of modules, or of functions, classes and data."""
    by_hand = [page.read_text() for page in (DOCS / "api").glob("*.md")]
    text = "\n".join([*by_hand, *api_pages.pages().values()])
    return re.findall(rf"^\.\. auto(?:{kinds}):: ([\w.]+)$", text, re.MULTILINE)


SHOWN = documented("function|class|data")


def shown_as(name: str) -> str:
    """The public name under which a page shows what a module defines."""
    module, _, last = name.rpartition(".")
    return api_pages.directive(module, last)[0].split(":: ")[1]


def test_every_public_name_is_on_just_one_api_page():
    times = {name: SHOWN.count(shown_as(name)) for name in exported()}
    assert not {name: n for name, n in times.items() if n != 1}


def test_the_names_are_found():
    assert {
        "gradchain.core.transformation.chain",
        "gradchain.losses.regression.l2_loss",
        "gradchain.plot.curves.schedule",
    } < set(exported())
    assert len(exported()) > 200


def test_no_module_is_shown_in_vain():
    modules = {name.rpartition(".")[0] for name in exported()} | {
        "gradchain.as_optax",
        "gradchain.minimization.scipy",
    }
    others = set(SHOWN) - {shown_as(name) for name in exported()}
    assert {name for name in others if "minimization.scipy." not in name} <= modules
    assert set(documented("module")) <= modules


def test_every_generated_page_is_taken_in(tmp_path):
    api_pages.write(tmp_path)
    for file in tmp_path.iterdir():
        page = (DOCS / "api" / file.name).read_text()
        assert f"{{include}} ../generated/api/{file.name}" in page


def test_the_page_of_optimizers_is_sorted_by_the_families_of_the_catalogue():
    page = api_pages.pages()["optimizers"]
    assert re.findall("^## (.*)$", page, re.MULTILINE) == list(catalogue.FAMILIES)
    assert page.index("## Signs") < page.index("### lion") < page.index("## Little memory")


@pytest.mark.parametrize("folder", [DOCS, DOCS / "api"], ids=lambda path: path.name)
def test_every_page_has_a_line_in_its_index_and_a_place_in_the_tree(folder):
    index = (folder / "index.md").read_text()
    for page in folder.glob("*.md"):
        if page.stem != "index":
            assert f"]({page.name})" in index, f"{page.name} has no line"
            assert f"\n{page.stem}\n" in index, f"{page.name} is not in the toctree"


def test_the_map_of_the_house_has_every_room_in_its_order():
    page = (DOCS.parent / "CONTRIBUTING.md").read_text()
    rooms = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", page, re.MULTILINE)
    assert rooms == test_layers.ROOMS[::-1]


def test_every_directive_of_a_page_is_one_that_the_site_knows():
    known = {"code-block", "container", "eval-rst", "image", "include", "toctree"}
    for page in [*DOCS.glob("*.md"), *(DOCS / "api").glob("*.md")]:
        used = re.findall(r"^(?:`{3,}|:{3,})\{([\w:-]+)\}", page.read_text(), re.MULTILINE)
        assert set(used) <= known, page.name


def test_links_to_the_glossary_find_a_line_there():
    terms = re.findall("^## (.*)$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    anchors = {term.replace(" ", "-") for term in terms}
    assert terms == sorted(terms)
    for page in DOCS.glob("*.md"):
        assert set(re.findall(r"glossary\.md#([\w-]+)", page.read_text())) <= anchors, page.name
