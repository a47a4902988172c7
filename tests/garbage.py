"""Python's garbage collector looks at every object anew: spare it the tests and old programs.

A process of the tests holds two million objects. To look at them all takes a second, and JAX
asks for that at each trace whose leaks it checks.
"""

import gc


def set_aside() -> None:
    """Let the collector look at objects only that are made from now on."""
    gc.collect()
    gc.freeze()


def look_again() -> None:
    """Free what has become garbage among the objects that were set aside."""
    gc.unfreeze()
    set_aside()
