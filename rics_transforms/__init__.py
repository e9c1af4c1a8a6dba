"""Shift-robust cropping: RICS (Robust Inference by Crop Selection) for any image pipeline.

    image -> integer image -> score map -> origin    -> crop
             exact            scores       selection    crop

`RICSCrop` does all of this as a torchvision v2 transform; `verify` measures how often a shifted
window finds the same crop, and compares the result with the bounds in `theory`.

Names and submodules are imported when they are first used, so that `rics --help` need not wait for
torch.
"""

from importlib import import_module
from typing import Any

from rics_transforms._version import __version__ as __version__

_HOMES = {
    "annotations": ["uncrop"],
    "certificates": ["Certificate", "certify", "stability"],
    "engine.scores": [
        "Hash",
        "Lattice",
        "MexicanHat",
        "Random",
        "Saliency",
        "Score",
        "get_score",
        "list_scores",
        "register_score",
        "unregister_score",
    ],
    "fields": ["Ladder"],
    "graph": ["export"],
    "models": ["load_model"],
    "prediction": ["predict"],
    "resized": ["RICSResizedCrop", "rics_resized_crop"],
    "shifts": ["get_shift", "list_shifts"],
    "theory": [
        "consistency_bound",
        "crop_size_for",
        "lattice_order",
        "robustness_bound",
        "robustness_limit",
    ],
    "transform": ["RICSCrop", "locate", "rics_crop", "score_map"],
    "verification.results": ["ShiftReport"],
    "verification.run": ["verify"],
}
"""The module of every public name. `__init__.pyi` says the same to type checkers."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

_SUBMODULES = ("data", "engine", "models", "report", "shifts", "theory")

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
