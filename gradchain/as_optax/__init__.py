"""The dialect of optax: existing code runs with ``import gradchain.as_optax as optax``."""
