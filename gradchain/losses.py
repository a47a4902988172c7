"""The losses that training code expects beside an optimizer."""
