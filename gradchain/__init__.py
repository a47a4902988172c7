"""gradchain: optimizers for JAX as values, composed of small transformations."""
# ruff: isort: skip_file
# As many names in a line as fit: this is a list, not code.

from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING

from gradchain import checkpoints as checkpoints, curvature as curvature
from gradchain import distributed as distributed, inspection as inspection
from gradchain import losses as losses, minimization as minimization, numerics as numerics
from gradchain import plot as plot, precision as precision, projections as projections
from gradchain import schedules as schedules
from gradchain import searches as searches, telemetry as telemetry, training as training
from gradchain import tree as tree
from gradchain.checkpoints.adopt import adopt_state as adopt_state
from gradchain.config import from_config as from_config, to_config as to_config
from gradchain.core import missing_names as _names, ranges as ranges, refresh as refresh
from gradchain.core import slots as slots
from gradchain.core.apply import apply_updates as apply_updates
from gradchain.core.around import around as around, run_if as run_if
from gradchain.core.lift import elementwise as elementwise, leafwise as leafwise
from gradchain.core.matrices import matrixwise as matrixwise
from gradchain.core.partition import masked as masked, partition as partition
from gradchain.core.ranges import Hyper as Hyper
from gradchain.core.schedule import Schedule as Schedule, schedule as schedule
from gradchain.core.selection import Selection as Selection, all_but as all_but
from gradchain.core.selection import chosen_by_both as chosen_by_both
from gradchain.core.selection import chosen_by_either as chosen_by_either
from gradchain.core.selection import ndim_at_least as ndim_at_least
from gradchain.core.selection import path_matches as path_matches, selection as selection
from gradchain.core.selection import weight_matrices as weight_matrices
from gradchain.core.transformation import GradientTransformation as GradientTransformation
from gradchain.core.transformation import chain as chain, recipe as recipe, transform as transform
from gradchain.core.trees import treewise as treewise
from gradchain.core.types import Params as Params, State as State, Updates as Updates
from gradchain.inspection.check import check as check
from gradchain.inspection.describe import describe as describe
from gradchain.inspection.hyperparams import hyperparams as hyperparams
from gradchain.inspection.listing import optimizers_named as optimizers_named
from gradchain.minimization.least_squares import least_squares as least_squares
from gradchain.minimization.minimize import minimize as minimize
from gradchain.optimizers.acprop import acprop as acprop, scale_by_acprop as scale_by_acprop
from gradchain.optimizers.adabelief import adabelief as adabelief
from gradchain.optimizers.adabelief import scale_by_belief as scale_by_belief
from gradchain.optimizers.adabound import adabound as adabound
from gradchain.optimizers.adabound import scale_by_adabound as scale_by_adabound
from gradchain.optimizers.adadelta import adadelta as adadelta
from gradchain.optimizers.adadelta import scale_by_adadelta as scale_by_adadelta
from gradchain.optimizers.adafactor import adafactor as adafactor
from gradchain.optimizers.adafactor import scale_by_factored_rms as scale_by_factored_rms
from gradchain.optimizers.adagrad import adagrad as adagrad, scale_by_rss as scale_by_rss
from gradchain.optimizers.adam import adam as adam, adamc as adamc, adamw as adamw
from gradchain.optimizers.adam import scale_by_adam as scale_by_adam
from gradchain.optimizers.adam_mini import adam_mini as adam_mini
from gradchain.optimizers.adam_mini import scale_by_adam_mini as scale_by_adam_mini
from gradchain.optimizers.adamax import adamax as adamax, adamaxw as adamaxw
from gradchain.optimizers.adamax import scale_by_adamax as scale_by_adamax
from gradchain.optimizers.adamp import adamp as adamp, sgdp as sgdp
from gradchain.optimizers.adan import adan as adan, scale_by_adan as scale_by_adan
from gradchain.optimizers.ademamix import ademamix as ademamix
from gradchain.optimizers.ademamix import scale_by_ademamix as scale_by_ademamix
from gradchain.optimizers.ademamix import (
    scale_by_simplified_ademamix as scale_by_simplified_ademamix,
)
from gradchain.optimizers.ademamix import simplified_ademamix as simplified_ademamix
from gradchain.optimizers.adopt import adopt as adopt, scale_by_adopt as scale_by_adopt
from gradchain.optimizers.aggmo import aggmo as aggmo, scale_by_aggmo as scale_by_aggmo
from gradchain.optimizers.amos import amos as amos, scale_by_amos as scale_by_amos
from gradchain.optimizers.amsgrad import amsgrad as amsgrad, scale_by_amsgrad as scale_by_amsgrad
from gradchain.optimizers.apollo import apollo as apollo, scale_by_apollo as scale_by_apollo
from gradchain.optimizers.asgd import asgd as asgd, scale_by_asgd as scale_by_asgd
from gradchain.optimizers.came import came as came, scale_by_came as scale_by_came
from gradchain.optimizers.cocob import cocob as cocob, scale_by_cocob as scale_by_cocob
from gradchain.optimizers.dadapt import dadapt_adamw as dadapt_adamw, dadapt_sgd as dadapt_sgd
from gradchain.optimizers.dadapt import scale_by_dadapt_adam as scale_by_dadapt_adam
from gradchain.optimizers.diffgrad import diffgrad as diffgrad
from gradchain.optimizers.diffgrad import scale_by_diffgrad as scale_by_diffgrad
from gradchain.optimizers.dog import dog as dog, dowg as dowg
from gradchain.optimizers.dog import (
    scale_by_distance_over_gradients as scale_by_distance_over_gradients,
)
from gradchain.optimizers.dog import scale_by_dowg as scale_by_dowg
from gradchain.optimizers.dpsgd import dpsgd as dpsgd
from gradchain.optimizers.fromage import correct_growth as correct_growth, fromage as fromage
from gradchain.optimizers.ftrl import ftrl as ftrl, scale_by_ftrl as scale_by_ftrl
from gradchain.optimizers.lamb import lamb as lamb
from gradchain.optimizers.laprop import laprop as laprop, scale_by_laprop as scale_by_laprop
from gradchain.optimizers.lars import lars as lars
from gradchain.optimizers.lazy_adam import lazy_adagrad as lazy_adagrad, lazy_adam as lazy_adam
from gradchain.optimizers.lion import lion as lion, scale_by_lion as scale_by_lion, tiger as tiger
from gradchain.optimizers.madgrad import madgrad as madgrad, scale_by_madgrad as scale_by_madgrad
from gradchain.optimizers.matrix.adago import adago as adago, scale_by_adago as scale_by_adago
from gradchain.optimizers.matrix.adamuon import adamuon as adamuon
from gradchain.optimizers.matrix.adamuon import scale_by_adamuon as scale_by_adamuon
from gradchain.optimizers.matrix.alice import alice as alice, scale_by_alice as scale_by_alice
from gradchain.optimizers.matrix.conda import conda as conda, scale_by_conda as scale_by_conda
from gradchain.optimizers.matrix.dion import dion as dion, scale_by_dion as scale_by_dion
from gradchain.optimizers.matrix.dion2 import dion2 as dion2, scale_by_dion2 as scale_by_dion2
from gradchain.optimizers.matrix.fira import fira as fira, scale_by_fira as scale_by_fira
from gradchain.optimizers.matrix.kl_shampoo import kl_shampoo as kl_shampoo, kl_soap as kl_soap
from gradchain.optimizers.matrix.kl_shampoo import scale_by_kl_shampoo as scale_by_kl_shampoo
from gradchain.optimizers.matrix.muon import muon as muon, scale_by_muon as scale_by_muon
from gradchain.optimizers.matrix.muown import muown as muown, scale_by_muown as scale_by_muown
from gradchain.optimizers.matrix.namo import namo as namo, namo_d as namo_d
from gradchain.optimizers.matrix.namo import scale_by_namo as scale_by_namo
from gradchain.optimizers.matrix.namo import scale_by_namo_d as scale_by_namo_d
from gradchain.optimizers.matrix.normuon import normalize_neurons as normalize_neurons
from gradchain.optimizers.matrix.normuon import normuon as normuon
from gradchain.optimizers.matrix.normuon import scale_by_normuon as scale_by_normuon
from gradchain.optimizers.matrix.prism import prism as prism, scale_by_prism as scale_by_prism
from gradchain.optimizers.matrix.psgd_kron import psgd_kron as psgd_kron
from gradchain.optimizers.matrix.psgd_kron import scale_by_psgd_kron as scale_by_psgd_kron
from gradchain.optimizers.matrix.racs import racs as racs, scale_by_racs as scale_by_racs
from gradchain.optimizers.matrix.rmnp import normalize_columns as normalize_columns, rmnp as rmnp
from gradchain.optimizers.matrix.rmnp import scale_by_rmnp as scale_by_rmnp
from gradchain.optimizers.matrix.scale_sgd import scale_by_scale_sgd as scale_by_scale_sgd
from gradchain.optimizers.matrix.scale_sgd import scale_sgd as scale_sgd
from gradchain.optimizers.matrix.scion import normalize_last as normalize_last
from gradchain.optimizers.matrix.scion import scale_by_scion as scale_by_scion, scion as scion
from gradchain.optimizers.matrix.shampoo import scale_by_shampoo as scale_by_shampoo
from gradchain.optimizers.matrix.shampoo import shampoo as shampoo
from gradchain.optimizers.matrix.sink_gd import scale_by_sink_gd as scale_by_sink_gd
from gradchain.optimizers.matrix.sink_gd import sink_gd as sink_gd
from gradchain.optimizers.matrix.sketchy import scale_by_sketchy as scale_by_sketchy
from gradchain.optimizers.matrix.sketchy import sketchy as sketchy
from gradchain.optimizers.matrix.soap import scale_by_soap as scale_by_soap, soap as soap
from gradchain.optimizers.matrix.spectral_descent import polargrad as polargrad
from gradchain.optimizers.matrix.spectral_descent import scale_by_polargrad as scale_by_polargrad
from gradchain.optimizers.matrix.spectral_descent import spectral_descent as spectral_descent
from gradchain.optimizers.matrix.spectral_sphere import (
    scale_by_spectral_sphere as scale_by_spectral_sphere,
    spectral_sphere as spectral_sphere,
)
from gradchain.optimizers.matrix.splus import scale_by_mean_side as scale_by_mean_side
from gradchain.optimizers.matrix.splus import scale_by_splus as scale_by_splus, splus as splus
from gradchain.optimizers.momo import momo as momo, momo_adam as momo_adam
from gradchain.optimizers.momo import scale_by_momo as scale_by_momo
from gradchain.optimizers.momo import scale_by_momo_adam as scale_by_momo_adam
from gradchain.optimizers.nadam import nadam as nadam, nadamw as nadamw
from gradchain.optimizers.nadam import scale_by_nadam as scale_by_nadam
from gradchain.optimizers.novograd import novograd as novograd
from gradchain.optimizers.novograd import scale_by_novograd as scale_by_novograd
from gradchain.optimizers.optimistic import optimistic_adam as optimistic_adam
from gradchain.optimizers.optimistic import (
    optimistic_gradient_descent as optimistic_gradient_descent,
)
from gradchain.optimizers.optimistic import (
    scale_by_optimistic_gradient as scale_by_optimistic_gradient,
)
from gradchain.optimizers.padam import padam as padam, scale_by_padam as scale_by_padam
from gradchain.optimizers.polyak_sgd import polyak_sgd as polyak_sgd
from gradchain.optimizers.polyak_sgd import scale_by_polyak as scale_by_polyak
from gradchain.optimizers.prodigy import prodigy as prodigy, scale_by_prodigy as scale_by_prodigy
from gradchain.optimizers.psgd_lra import psgd_lra as psgd_lra
from gradchain.optimizers.psgd_lra import scale_by_psgd_lra as scale_by_psgd_lra
from gradchain.optimizers.qhadam import qhadam as qhadam, scale_by_qhadam as scale_by_qhadam
from gradchain.optimizers.qhm import qhm as qhm, scale_by_qhm as scale_by_qhm
from gradchain.optimizers.radam import radam as radam, scale_by_radam as scale_by_radam
from gradchain.optimizers.rmsprop import rmsprop as rmsprop, scale_by_rms as scale_by_rms
from gradchain.optimizers.rmsprop import scale_by_stddev as scale_by_stddev
from gradchain.optimizers.rprop import rprop as rprop, scale_by_rprop as scale_by_rprop
from gradchain.optimizers.schedule_free import schedule_free_adamw as schedule_free_adamw
from gradchain.optimizers.schedule_free import schedule_free_sgd as schedule_free_sgd
from gradchain.optimizers.second_order.adahessian import adahessian as adahessian
from gradchain.optimizers.second_order.adahessian import (
    scale_by_adahessian as scale_by_adahessian,
)
from gradchain.optimizers.second_order.bfgs import bfgs as bfgs, dfp as dfp
from gradchain.optimizers.second_order.bfgs import scale_by_bfgs as scale_by_bfgs
from gradchain.optimizers.second_order.bfgs import scale_by_dfp as scale_by_dfp
from gradchain.optimizers.second_order.gauss_newton import gauss_newton as gauss_newton
from gradchain.optimizers.second_order.gauss_newton import natural_gradient as natural_gradient
from gradchain.optimizers.second_order.gauss_newton import (
    scale_by_gauss_newton as scale_by_gauss_newton,
)
from gradchain.optimizers.second_order.gauss_newton import (
    scale_by_natural_gradient as scale_by_natural_gradient,
)
from gradchain.optimizers.second_order.hessian_free import hessian_free as hessian_free
from gradchain.optimizers.second_order.hessian_free import (
    scale_by_hessian_free as scale_by_hessian_free,
)
from gradchain.optimizers.second_order.lbfgs import lbfgs as lbfgs
from gradchain.optimizers.second_order.lbfgs import scale_by_lbfgs as scale_by_lbfgs
from gradchain.optimizers.second_order.lbfgsb import lbfgsb as lbfgsb
from gradchain.optimizers.second_order.lbfgsb import scale_by_lbfgsb as scale_by_lbfgsb
from gradchain.optimizers.second_order.newton import newton as newton, newton_cg as newton_cg
from gradchain.optimizers.second_order.newton import scale_by_newton as scale_by_newton
from gradchain.optimizers.second_order.newton import scale_by_newton_cg as scale_by_newton_cg
from gradchain.optimizers.second_order.nonlinear_cg import nonlinear_cg as nonlinear_cg
from gradchain.optimizers.second_order.nonlinear_cg import (
    scale_by_nonlinear_cg as scale_by_nonlinear_cg,
)
from gradchain.optimizers.second_order.sophia import scale_by_sophia as scale_by_sophia
from gradchain.optimizers.second_order.sophia import sophia as sophia
from gradchain.optimizers.sgd import noisy_sgd as noisy_sgd, sgd as sgd
from gradchain.optimizers.sign_sgd import sign_sgd as sign_sgd, signum as signum
from gradchain.optimizers.sm3 import scale_by_sm3 as scale_by_sm3, sm3 as sm3
from gradchain.optimizers.spam import scale_by_spam as scale_by_spam
from gradchain.optimizers.spam import scale_by_stable_spam as scale_by_stable_spam, spam as spam
from gradchain.optimizers.spam import stable_spam as stable_spam
from gradchain.optimizers.stable_adamw import scale_by_stable_adam as scale_by_stable_adam
from gradchain.optimizers.stable_adamw import stable_adamw as stable_adamw
from gradchain.optimizers.yogi import scale_by_yogi as scale_by_yogi, yogi as yogi
from gradchain.schedules.algebra import join_schedules as join_schedules
from gradchain.schedules.basic import constant_schedule as constant_schedule
from gradchain.schedules.basic import cosine_decay_schedule as cosine_decay_schedule
from gradchain.schedules.basic import exponential_decay as exponential_decay
from gradchain.schedules.basic import linear_schedule as linear_schedule
from gradchain.schedules.basic import polynomial_schedule as polynomial_schedule
from gradchain.schedules.cycles import sgdr_schedule as sgdr_schedule
from gradchain.schedules.piecewise import cosine_onecycle_schedule as cosine_onecycle_schedule
from gradchain.schedules.piecewise import linear_onecycle_schedule as linear_onecycle_schedule
from gradchain.schedules.piecewise import (
    piecewise_constant_schedule as piecewise_constant_schedule,
)
from gradchain.schedules.piecewise import (
    piecewise_interpolate_schedule as piecewise_interpolate_schedule,
)
from gradchain.schedules.warmup import warmup_constant_schedule as warmup_constant_schedule
from gradchain.schedules.warmup import (
    warmup_cosine_decay_schedule as warmup_cosine_decay_schedule,
)
from gradchain.schedules.warmup import (
    warmup_exponential_decay_schedule as warmup_exponential_decay_schedule,
)
from gradchain.precision.storage import storage as storage
from gradchain.precision.weights import kahan as kahan, master_weights as master_weights
from gradchain.precision.weights import split_weights as split_weights
from gradchain.precision.weights import stochastic_rounding as stochastic_rounding
from gradchain.searches.backtracking import backtracking as backtracking
from gradchain.searches.hager_zhang import hager_zhang as hager_zhang
from gradchain.searches.levenberg_marquardt import levenberg_marquardt as levenberg_marquardt
from gradchain.searches.reuse import value_and_grad_from_state as value_and_grad_from_state
from gradchain.searches.reverse_communication import (
    reverse_communication as reverse_communication,
)
from gradchain.searches.strong_wolfe import strong_wolfe as strong_wolfe
from gradchain.searches.trust_region import trust_region as trust_region
from gradchain.telemetry.metrics import metrics as metrics
from gradchain.telemetry.watch import watch as watch
from gradchain.transforms import constraints as constraints, penalties as penalties
from gradchain.transforms.adaptive_clipping import clip_by_history as clip_by_history
from gradchain.transforms.adaptive_clipping import clip_by_zscore as clip_by_zscore
from gradchain.transforms.clipping import adaptive_grad_clip as adaptive_grad_clip, clip as clip
from gradchain.transforms.clipping import clip_by_block_rms as clip_by_block_rms
from gradchain.transforms.clipping import clip_by_global_norm as clip_by_global_norm
from gradchain.transforms.clipping import clip_by_norm as clip_by_norm
from gradchain.transforms.constraints import project as project
from gradchain.transforms.isospectral import isospectral as isospectral
from gradchain.transforms.momentum import add_momentum as add_momentum
from gradchain.transforms.momentum import average_updates as average_updates
from gradchain.transforms.multipliers import layerwise_decay as layerwise_decay
from gradchain.transforms.multipliers import scale_by_path as scale_by_path
from gradchain.transforms.noise import add_noise as add_noise
from gradchain.transforms.normalizing import centralize as centralize, normalize as normalize
from gradchain.transforms.normalizing import normalize_by_update_norm as normalize_by_update_norm
from gradchain.transforms.normalizing import orthogonal_to_weights as orthogonal_to_weights
from gradchain.transforms.normalizing import scale_by_sign as scale_by_sign
from gradchain.transforms.normalizing import zero_nans as zero_nans
from gradchain.transforms.orthogonalize import equilibrate as equilibrate
from gradchain.transforms.orthogonalize import orthogonalize as orthogonalize
from gradchain.transforms.orthogonalize import spectral_map as spectral_map
from gradchain.transforms.pcgrad import pcgrad as pcgrad
from gradchain.transforms.penalties import prox as prox
from gradchain.transforms.per_example import (
    differentially_private_aggregate as differentially_private_aggregate,
)
from gradchain.transforms.per_example import (
    per_example_global_norm_clip as per_example_global_norm_clip,
)
from gradchain.transforms.per_example import (
    per_example_layer_norm_clip as per_example_layer_norm_clip,
)
from gradchain.transforms.plateau import reduce_on_plateau as reduce_on_plateau
from gradchain.transforms.qk_clip import qk_clip as qk_clip
from gradchain.transforms.radial_brake import radial_brake as radial_brake
from gradchain.transforms.scaling import identity as identity, scale as scale
from gradchain.transforms.scaling import scale_by_learning_rate as scale_by_learning_rate
from gradchain.transforms.scaling import scale_by_schedule as scale_by_schedule
from gradchain.transforms.scaling import stateless as stateless
from gradchain.transforms.trust_ratio import (
    scale_by_param_block_norm as scale_by_param_block_norm,
)
from gradchain.transforms.trust_ratio import scale_by_param_block_rms as scale_by_param_block_rms
from gradchain.transforms.trust_ratio import scale_by_trust_ratio as scale_by_trust_ratio
from gradchain.transforms.trust_ratio import update_floor as update_floor
from gradchain.transforms.weight_decay import (
    add_cautious_weight_decay as add_cautious_weight_decay,
)
from gradchain.transforms.weight_decay import (
    add_corrected_weight_decay as add_corrected_weight_decay,
)
from gradchain.transforms.weight_decay import add_decayed_weights as add_decayed_weights
from gradchain.transforms.weight_decay import (
    add_independent_weight_decay as add_independent_weight_decay,
)
from gradchain.transforms.weight_decay import add_l1 as add_l1
from gradchain.transforms.weight_decay import decay_towards_initial as decay_towards_initial
from gradchain.tree.norms import global_norm as global_norm
from gradchain.tree.selecting import select as select
from gradchain.wrappers.accumulate import accumulate as accumulate
from gradchain.wrappers.averaging import average_weights as average_weights
from gradchain.wrappers.averaging import ema_nesterov as ema_nesterov, eval_params as eval_params
from gradchain.wrappers.block_training import block_training as block_training
from gradchain.wrappers.cautious import cautious as cautious, grams as grams
from gradchain.wrappers.control import apply_when as apply_when, parallel as parallel
from gradchain.wrappers.control import switch as switch
from gradchain.wrappers.dadapt import dadapt as dadapt
from gradchain.wrappers.gradient_filters import grokfast as grokfast
from gradchain.wrappers.gradient_filters import grokfast_window as grokfast_window, mars as mars
from gradchain.wrappers.graft import graft as graft
from gradchain.wrappers.groups import freeze as freeze, groups as groups
from gradchain.wrappers.guards import bad_leaf as bad_leaf, skip_nonfinite as skip_nonfinite
from gradchain.wrappers.hyperball import hyperball as hyperball, on_sphere as on_sphere
from gradchain.wrappers.in_eigenbasis import in_eigenbasis as in_eigenbasis
from gradchain.wrappers.lazy import lazy_rows as lazy_rows
from gradchain.wrappers.lookahead import lookahead as lookahead
from gradchain.wrappers.loss_scale import dynamic_loss_scale as dynamic_loss_scale
from gradchain.wrappers.loss_scale import loss_scale as loss_scale
from gradchain.wrappers.low_rank import low_rank as low_rank
from gradchain.wrappers.magma import magma as magma
from gradchain.wrappers.mechanic import mechanize as mechanize
from gradchain.wrappers.micro_batch import micro_batch as micro_batch
from gradchain.wrappers.radial import remove_radial as remove_radial
from gradchain.wrappers.schedule_free import schedule_free as schedule_free
from gradchain.wrappers.set_hyperparams import set_hyperparams as set_hyperparams
from gradchain.wrappers.sharpness import asam as asam, looksam as looksam, sam as sam
from gradchain.wrappers.spikes import skip_spikes as skip_spikes
from gradchain.wrappers.tunable import tunable as tunable

__version__ = "0.1.0"

_ROOMS = """
as_optax checkpoints constraints curvature distributed inspection losses minimization numerics
penalties plot precision projections refresh schedules searches slots telemetry training tree
"""
_PUBLIC_ROOMS = frozenset(_ROOMS.split())


def __dir__() -> list[str]:
    """The public names: those of internal rooms are left out."""
    is_public = lambda name, value: not isinstance(value, _ModuleType) or name in _PUBLIC_ROOMS
    return [
        name for name, value in globals().items() if name[0] != "_" and is_public(name, value)
    ]


if not _TYPE_CHECKING:  # a checker would take it for leave to ask for anything
    __getattr__ = _names.asked_of("", _PUBLIC_ROOMS)

    for _name in _PUBLIC_ROOMS & globals().keys():
        globals()[_name].__getattr__ = _names.asked_of(_name, _PUBLIC_ROOMS)
