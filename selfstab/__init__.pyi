from selfstab import datasets as datasets
from selfstab import observables as observables
from selfstab import plotting as plotting
from selfstab import theory as theory
from selfstab.grid import sweep as sweep
from selfstab.losses.diagonal import DiagonalNetwork as DiagonalNetwork
from selfstab.losses.mlp import MLP as MLP
from selfstab.losses.protocol import flip_start as flip_start
from selfstab.losses.symbolic import SymbolicLoss as SymbolicLoss
from selfstab.losses.toys import Chain as Chain
from selfstab.losses.toys import Coupled as Coupled
from selfstab.losses.toys import CubicTaylor as CubicTaylor
from selfstab.losses.toys import DoubleWell as DoubleWell
from selfstab.losses.toys import Minimalist as Minimalist
from selfstab.losses.toys import Product as Product
from selfstab.losses.toys import Quadratic as Quadratic
from selfstab.observables import catapults as catapults
from selfstab.optimizers import HeavyBall as HeavyBall
from selfstab.orbit_diagrams import orbits as orbits
from selfstab.refinement import rasterize as rasterize
from selfstab.refinement import refine as refine
from selfstab.schedules import Constant as Constant
from selfstab.schedules import LinearWarmup as LinearWarmup
from selfstab.trajectory import simulate as simulate
from selfstab.verification import verify as verify

__version__: str
