"""Name the column in each cell of a wide table, for screens too narrow for its head.

``static/pages.css`` shows the names there, where each row is a block, and hides them elsewhere.
"""

from typing import TYPE_CHECKING

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def name_columns(app: "Sphinx", doctree: nodes.document, page: str) -> None:
    """Write the head of its column before each cell, from the second column on."""
    for group in doctree.findall(nodes.tgroup):
        heads = [
            entry.astext()
            for head in group.findall(nodes.thead)
            for entry in head.findall(nodes.entry)
        ]
        if len(heads) < 3:  # a pair explains itself
            continue
        for body in group.findall(nodes.tbody):
            for row in body.findall(nodes.row):
                cells = zip(heads, row.findall(nodes.entry), strict=True)
                for head, cell in list(cells)[1:]:
                    first = cell[0] if cell.astext() else None
                    if head and isinstance(first, nodes.paragraph):
                        name = nodes.inline("", f"{head}: ", classes=["column-name"])
                        first.insert(0, name)


def setup(app: "Sphinx") -> dict[str, bool]:
    app.connect("doctree-resolved", name_columns)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
