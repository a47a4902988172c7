"""Pictures, drawn with matplotlib; ``pip install "gradchain[plot]"`` brings it.

Each function draws on given axes, or on new ones, and returns them; ``plot_history`` makes a figure
of several.
"""

from gradchain.plot.curves import (
    learning_rate_range as learning_rate_range,
    schedule as schedule,
    spectral_density as spectral_density,
)
from gradchain.plot.minimizers import (
    minimization as minimization,
    trajectories as trajectories,
)
from gradchain.plot.plans import plans as plans
from gradchain.plot.training import plot_history as plot_history
