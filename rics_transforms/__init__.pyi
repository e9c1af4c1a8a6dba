from rics_transforms import data as data
from rics_transforms import engine as engine
from rics_transforms import models as models
from rics_transforms import report as report
from rics_transforms import shifts as shifts
from rics_transforms import theory as theory
from rics_transforms._version import __version__ as __version__
from rics_transforms.annotations import uncrop as uncrop
from rics_transforms.certificates import Certificate as Certificate
from rics_transforms.certificates import certify as certify
from rics_transforms.certificates import stability as stability
from rics_transforms.engine.scores import Hash as Hash
from rics_transforms.engine.scores import Lattice as Lattice
from rics_transforms.engine.scores import MexicanHat as MexicanHat
from rics_transforms.engine.scores import Random as Random
from rics_transforms.engine.scores import Saliency as Saliency
from rics_transforms.engine.scores import Score as Score
from rics_transforms.engine.scores import get_score as get_score
from rics_transforms.engine.scores import list_scores as list_scores
from rics_transforms.engine.scores import register_score as register_score
from rics_transforms.engine.scores import unregister_score as unregister_score
from rics_transforms.fields import Ladder as Ladder
from rics_transforms.graph import export as export
from rics_transforms.models import load_model as load_model
from rics_transforms.prediction import predict as predict
from rics_transforms.resized import RICSResizedCrop as RICSResizedCrop
from rics_transforms.resized import rics_resized_crop as rics_resized_crop
from rics_transforms.shifts import get_shift as get_shift
from rics_transforms.shifts import list_shifts as list_shifts
from rics_transforms.theory import consistency_bound as consistency_bound
from rics_transforms.theory import crop_size_for as crop_size_for
from rics_transforms.theory import lattice_order as lattice_order
from rics_transforms.theory import robustness_bound as robustness_bound
from rics_transforms.theory import robustness_limit as robustness_limit
from rics_transforms.transform import RICSCrop as RICSCrop
from rics_transforms.transform import locate as locate
from rics_transforms.transform import rics_crop as rics_crop
from rics_transforms.transform import score_map as score_map
from rics_transforms.verification.results import ShiftReport as ShiftReport
from rics_transforms.verification.run import verify as verify

__all__ = [
    "Certificate",
    "Hash",
    "Ladder",
    "Lattice",
    "MexicanHat",
    "RICSCrop",
    "RICSResizedCrop",
    "Random",
    "Saliency",
    "Score",
    "ShiftReport",
    "certify",
    "consistency_bound",
    "crop_size_for",
    "export",
    "get_score",
    "get_shift",
    "lattice_order",
    "list_scores",
    "list_shifts",
    "load_model",
    "locate",
    "predict",
    "register_score",
    "rics_crop",
    "rics_resized_crop",
    "robustness_bound",
    "robustness_limit",
    "score_map",
    "stability",
    "uncrop",
    "unregister_score",
    "verify",
]
