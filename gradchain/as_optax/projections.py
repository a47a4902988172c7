"""``optax.projections``."""

from gradchain.projections import projection_box as projection_box
from gradchain.projections import projection_halfspace as projection_halfspace
from gradchain.projections import projection_hypercube as projection_hypercube
from gradchain.projections import projection_hyperplane as projection_hyperplane
from gradchain.projections import projection_l1_ball as projection_l1_ball
from gradchain.projections import projection_l1_sphere as projection_l1_sphere
from gradchain.projections import projection_l2_ball as projection_l2_ball
from gradchain.projections import projection_l2_sphere as projection_l2_sphere
from gradchain.projections import projection_linf_ball as projection_linf_ball
from gradchain.projections import projection_non_negative as projection_non_negative
from gradchain.projections import projection_simplex as projection_simplex
from gradchain.projections import projection_vector as projection_vector
