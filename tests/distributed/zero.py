"""Rows of the two forms of ZeRO-1: states in parts change no number."""

import jax
from jax.sharding import AxisType

import gradchain as gc
from gradchain.distributed import zero1, zero1_flat
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.laws.twins import Chain
from tests.optimizers.adam import AdamW
from tests.optimizers.muon import Muon
from tests.transforms.clipping import ClipNorm

MESH = jax.sharding.AbstractMesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
