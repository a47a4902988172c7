"""Give each example JAX as it is when Python starts.

All examples run in one process. One that turns on float64 would else turn it on for all that
follow, whose random numbers and pictures would not be those that a reader gets.
"""

from typing import Any

import jax

SETTINGS = dict(jax.config.values)


def restore(gallery_conf: dict[str, Any], example: str) -> None:
    """Undo what an example has set of JAX."""
    for name, value in SETTINGS.items():
        if jax.config.values[name] != value:
            jax.config.update(name, value)
