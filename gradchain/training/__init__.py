"""Parts for a training loop of your own.

Stop, save, go on, see. None of them runs the loop: it is yours.
"""

from gradchain.training.backward import layer_steps as layer_steps
from gradchain.training.checkpoints import Checkpoints as Checkpoints, Run as Run
from gradchain.training.early_stopping import Best as Best, EarlyStopping as EarlyStopping
from gradchain.training.nonfinite import NotFinite as NotFinite, StopOnNaN as StopOnNaN
from gradchain.training.progress_bar import Progress as Progress
