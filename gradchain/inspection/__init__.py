"""Look at a transformation: its parts, its hyperparameters, its mistakes."""

from gradchain.inspection.describe import Description as Description
from gradchain.inspection.mistakes.case import Finding as Finding
