"""The code of the README and of the docs runs: scripts as they stand, examples with the output that
they show.
"""

import doctest
import re
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(autouse=True)
def jax_as_users_have_it():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


@pytest.mark.rotated(4)
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_code_of_a_page_runs(page):
    names = {"__name__": page.stem}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for number, block in enumerate(BLOCK.findall(page.read_text())):
        where = f"{page.name}, block {number}"
        if ">>>" not in block:
            exec(compile(block, where, "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(block, names, where, str(page), 0)
        runner.run(test, clear_globs=False)
        names |= test.globs
    assert runner.summarize(verbose=False).failed == 0


def test_the_pages_hold_code():
    assert sum(len(BLOCK.findall(page.read_text())) for page in PAGES) > 20


def test_the_readme_writes_a_transformation_in_six_lines():
    (block,) = [
        b for b in BLOCK.findall((ROOT / "README.md").read_text()) if "@gc.transform" in b
    ]
    assert len([line for line in block.splitlines() if line.strip()]) <= 6
