"""Trees of arrays: paths, maps, choices, sums, random numbers."""

from gradchain.tree.mapping import map_leaves as map_leaves, scale_tree as scale_tree
from gradchain.tree.norms import all_finite as all_finite, dot as dot
from gradchain.tree.random import normal_like as normal_like
from gradchain.tree.selecting import OfTree as OfTree
