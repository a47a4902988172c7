"""The page of concepts: each one links to what is there and runs."""

import re
from pathlib import Path

from tests.examples.running import EXAMPLES

DOCS = EXAMPLES.parent / "docs"
ROW = re.compile(r"^\| (.+?) \| (.*\]\(.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)\)")
ROWS = dict(ROW.findall((DOCS / "concepts.md").read_text()))


def source(link: str) -> Path:
    """The file that a link means: an example for its page of the gallery, or a page."""
    if link.startswith("gallery/"):
        return EXAMPLES / Path(link.removeprefix("gallery/")).with_suffix(".py")
    return DOCS / link


def test_each_concept_links_to_what_is_there():
    assert len(ROWS) >= 73
    links = {link for cell in ROWS.values() for link in LINK.findall(cell)}
    assert all(LINK.findall(cell) for cell in ROWS.values())
    assert not [link for link in sorted(links) if not source(link).is_file()]


def test_each_example_is_found_by_a_concept():
    seen = {source(link) for cell in ROWS.values() for link in LINK.findall(cell)}
    assert set(EXAMPLES.glob("*/*.py")) <= seen, set(EXAMPLES.glob("*/*.py")) - seen
