"""Look at a transformation: its parts, its hyperparameters, its mistakes."""

from gradchain.inspection.describe import Description as Description
from gradchain.inspection.estimate import Estimate as Estimate, estimate as estimate
from gradchain.inspection.mistakes.case import Finding as Finding
from gradchain.inspection.transformer import transformer_shapes as transformer_shapes
