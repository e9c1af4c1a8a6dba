"""`verify` on networks and transforms of which theory knows the result.

What is invariant must score exactly 1 by class. The scores themselves agree up to rounding errors
only: of float64 under whole shifts, of the float32 views under fractional ones.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from rics_transforms import RICSCrop, ShiftReport, verify
from rics_transforms.data.photos import scenes
from rics_transforms.models.model import as_model
from rics_transforms.shifts import get_shift

from .. import comparators

SIDE = 32
ALL = "cyclic"  # at up to 32 px
INTEGER, HALF, FRACTIONAL = (f"{kind}:samples=40" for kind in ("integer", "half", "fractional"))

INVARIANT = [
    ("stride_free", ALL, 12),
    ("stride_free", INTEGER, SIDE),
    ("polyphase", ALL, 12),
    ("polyphase", INTEGER, SIDE),
    ("alias_free", ALL, 12),
    ("alias_free", INTEGER, SIDE),
    ("alias_free", HALF, SIDE),
    ("alias_free", FRACTIONAL, SIDE),
]
NOT_INVARIANT = [
    ("strided", ALL, 12),
    ("strided", INTEGER, SIDE),
    ("strided", HALF, SIDE),
    ("strided", FRACTIONAL, SIDE),
    ("polyphase", FRACTIONAL, SIDE),
]

Labelled = list[tuple[str, Tensor, int]]


@lru_cache
def photographs(side: int) -> dict[str, Tensor]:
    """12 scenes, uint8 ``[3, side, side]``."""
    return dict(list(scenes(side, minimum=60))[:60:5])


@lru_cache
def network(name: str, side: int) -> nn.Module:
    net = getattr(comparators, name)()
    comparators.balance(net, net.classes, torch.stack([*photographs(side).values()]))
    return net


def labelled(net: nn.Module, side: int) -> Labelled:
    """The scenes with the class that the network sees and with another one, in turn."""
    seen = as_model(net)(torch.stack([*photographs(side).values()])).logits.argmax(1).tolist()
    assert len(set(seen)) >= 4  # a network that always says the same is invariant, too
    return [
        (name, scene, (seen[i] + i % 2) % comparators.CLASSES)
        for i, (name, scene) in enumerate(photographs(side).items())
    ]


@lru_cache
def measured(name: str, shifts: str, side: int) -> ShiftReport:
    net = network(name, side)
    model = as_model(net, layer="features")
    return verify(labelled(net, side), v2.Identity(), model=model, shifts=shifts)


def values(report: ShiftReport, *metrics: str, of: str = "class") -> list[float]:
    return [report.row(metric, of).value for metric in metrics]


# --- invariant or not ----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shifts", "side"), INVARIANT)
def test_an_invariant_network_scores_one(name: str, shifts: str, side: int) -> None:
    report = measured(name, shifts, side)
    assert values(report, "adversarial_robustness", "consistency") == [1, 1]
    assert values(report, "accuracy", "certified_accuracy") == [0.5, 0.5]
    assert values(report, "class_change") == [0]
    assert values(report, "absolute_change")[0] < 1e-7
    assert values(report, "adversarial_robustness", of="crop") == [0]  # the inputs did change


@pytest.mark.parametrize(("name", "shifts", "side"), INVARIANT)
def test_the_scores_of_an_invariant_network_agree(name: str, shifts: str, side: int) -> None:
    allowed = 1e-12 if shifts in (ALL, INTEGER) else 1e-6
    assert spread(name, shifts, side) < allowed


@pytest.mark.parametrize(("name", "shifts", "side"), NOT_INVARIANT)
def test_any_other_network_does_not(name: str, shifts: str, side: int) -> None:
    report = measured(name, shifts, side)
    robust, consistent = values(report, "adversarial_robustness", "consistency")
    assert robust < consistent < 0.95
    assert robust < 0.9
    accurate, certified = values(report, "accuracy", "certified_accuracy")
    assert certified < accurate == 0.5
    assert values(report, "absolute_change")[0] > 1e-3
    assert spread(name, shifts, side) > 1e-2


def spread(name: str, shifts: str, side: int) -> float:
    """Largest change of a class score under any shift, over the largest score of its image."""
    with torch.no_grad():
        logits = [
            network(name, side)(views(x, shifts)) for x in list(photographs(side).values())[:3]
        ]
    return max(float((x - x[0]).abs().max() / x[0].abs().max()) for x in logits)


def views(scene: Tensor, shifts: str) -> Tensor:
    """All views of a scene, the unshifted one first."""
    shift, rng = get_shift(shifts), np.random.default_rng(0)
    return torch.stack(list(shift.views(scene, (scene.shape[-2], scene.shape[-1]), rng)))


def test_a_strided_network_changes_where_its_strides_say() -> None:
    """Shifts by multiples of 4 pixels, its strides together, keep the class; others do not."""
    report = measured("strided", ALL, 12)
    whole = [dy % 4 == dx % 4 == 0 for dy, dx in report.moves]
    kept = [[record.predictions[i] == record.predictions[0] for i in record.input]
            for record in report.records]  # fmt: skip
    assert sum(whole) == 9
    assert all(same for row in kept for same, on_grid in zip(row, whole, strict=True) if on_grid)
    assert not all(same for row in kept for same in row)


# --- layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shifts", [INTEGER, HALF, FRACTIONAL])
def test_features_of_an_alias_free_network_move_along(shifts: str) -> None:
    difference, nonshiftable = features("alias_free", shifts)
    assert difference < 1e-5
    assert nonshiftable == 0


def test_features_of_a_stride_free_network_move_along_with_whole_shifts_alone() -> None:
    assert features("stride_free", INTEGER) == pytest.approx([0, 0], abs=1e-9)
    assert features("stride_free", HALF)[0] > 0.01  # ReLU leaves the bandwidth


@pytest.mark.parametrize("shifts", [INTEGER, HALF, FRACTIONAL])
def test_features_of_a_strided_network_do_not_move_along(shifts: str) -> None:
    difference, nonshiftable = features("strided", shifts)
    assert difference > 0.1
    assert nonshiftable > 0.01


def features(name: str, shifts: str) -> list[float]:
    report = measured(name, shifts, SIDE)
    return values(report, "feature_difference", "nonshiftability", of="layer")


# --- BlurPool ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blurpool_lies_between_strides_and_invariance(seed: int) -> None:
    pytest.importorskip("timm", reason="needs timm, for a network with BlurPool")
    strided, blurred = (resnet_report(seed, blur) for blur in (False, True))
    for metric, of in (("absolute_change", "class"), ("feature_difference", "layer")):
        (worse,), (better,) = (values(report, metric, of=of) for report in (strided, blurred))
        assert 1e-3 < better < 0.7 * worse, metric
    (worse,), (better,) = (values(report, "consistency") for report in (strided, blurred))
    assert worse < better


def resnet_report(seed: int, blur: bool) -> ShiftReport:
    images = photographs(64)
    net: Any = comparators.resnet(seed, blur)
    comparators.balance(net, net.net.fc, torch.stack([*images.values()]))
    model = as_model(net, layer="net.layer4")
    return verify(images.items(), v2.Identity(), model=model, shifts="integer:samples=16")


# --- Theorem 2 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("shifts", "side", "k"), [(ALL, 12, 8), (INTEGER, SIDE, 24)])
def test_a_cyclic_crop_makes_a_strided_network_invariant(shifts: str, side: int, k: int) -> None:
    """Table 2 of Shifman & Weiss 2024, beside a centre crop."""
    images, model = labelled(network("strided", side), side), as_model(network("strided", side))
    rics, centre = (
        verify(images, transform, model=model, shifts=shifts)
        for transform in (RICSCrop(k, shifts="cyclic"), v2.CenterCrop(k))
    )
    for of in ("crop", "class"):
        assert values(rics, "adversarial_robustness", "consistency", of=of) == [1, 1]
        assert rics.row("adversarial_robustness", of).verdict == "holds"
    assert values(rics, "accuracy") == values(rics, "certified_accuracy")
    assert rics.forwards.used == len(images)  # one input, however it is shifted
    assert values(centre, "adversarial_robustness", of="crop") == [0]
    assert values(centre, "adversarial_robustness")[0] < 0.9


@pytest.mark.parametrize(("shifts", "side", "k"), [(ALL, 12, 8), (INTEGER, SIDE, 24)])
def test_cyclic_crops_are_equal_tensors(shifts: str, side: int, k: int) -> None:
    transform = RICSCrop(k, shifts="cyclic")
    for scene in photographs(side).values():
        first = transform(scene)
        assert all(torch.equal(transform(view), first) for view in views(scene, shifts))
