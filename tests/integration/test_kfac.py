"""K-FAC of kfac-jax as a member of a chain, as the page "Matrix methods" writes it."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "matrix_methods.md"

pytest.importorskip("kfac_jax")
pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")


def test_the_code_of_the_page_trains():
    (block,) = re.findall(r"^```\{code-block\} python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    names = {}
    exec(compile(block, PAGE.name, "exec"), names)
    first, last = names["losses"][0], names["losses"][-1]
    assert last < 0.1 * first
