"""Carry states over to edited chains and from other libraries."""

from gradchain.checkpoints.foreign import torch_state as torch_state
