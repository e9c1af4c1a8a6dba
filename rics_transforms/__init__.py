"""Shift-robust cropping: RICS (Robust Inference by Crop Selection) for any image pipeline.

    image -> integer image -> score map -> origin    -> crop
             exact            scores       selection    crop

`RICSCrop` is the whole way as a torchvision v2 transform; `verify` measures how often a shifted
window finds the same crop, against the bounds in `theory`.
"""

from rics_transforms.certify import Certificate, certify, stability
from rics_transforms.measurement import Measurement
from rics_transforms.models import load_model
from rics_transforms.records import Record
from rics_transforms.scores import (
    Hash,
    Lattice,
    Level,
    MexicanHat,
    Random,
    Saliency,
    Score,
    get_score,
    list_scores,
    register_score,
    unregister_score,
)
from rics_transforms.summary import ShiftReport
from rics_transforms.theory import (
    consistency_bound,
    crop_size_for,
    lattice_order,
    robustness_bound,
    robustness_limit,
)
from rics_transforms.transform import RICSCrop, locate, rics_crop, score_map
from rics_transforms.verify import verify

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "Hash",
    "Lattice",
    "Level",
    "Measurement",
    "MexicanHat",
    "RICSCrop",
    "Random",
    "Record",
    "Saliency",
    "Score",
    "ShiftReport",
    "certify",
    "consistency_bound",
    "crop_size_for",
    "get_score",
    "lattice_order",
    "list_scores",
    "load_model",
    "locate",
    "register_score",
    "rics_crop",
    "robustness_bound",
    "robustness_limit",
    "score_map",
    "stability",
    "unregister_score",
    "verify",
]
