"""Minimize functions in one compiled loop."""

from gradchain.minimization import scipy as scipy
from gradchain.minimization.fit import LeastSquaresResult as LeastSquaresResult
from gradchain.minimization.progress import ProgressBar as ProgressBar
from gradchain.minimization.result import Result as Result, Status as Status
from gradchain.minimization.tolerance import Tolerance as Tolerance
