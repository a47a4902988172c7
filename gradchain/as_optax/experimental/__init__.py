"""``optax.experimental``."""

from gradchain.as_optax.experimental import aggregating as aggregating
