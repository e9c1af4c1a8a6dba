"""`RICSResizedCrop`: the crop of its field, resized; trimmed copies, annotations, arguments."""

from __future__ import annotations

import copy
import pickle
from itertools import product
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from rics_transforms import Ladder, RICSCrop, RICSResizedCrop, Score, locate, rics_resized_crop
from rics_transforms.engine.images import as_colours, from_pil

from .conftest import SHIFTS, random_image
from .transform.inputs import ANNOTATIONS, PHOTOGRAPHS, PIL_MODES, pil

SIZE = (20, 24)
FIELDS: list[Any] = [Ladder(), Ladder(2, most=0.8), 50]


def chosen(
    image: Tensor, transform: RICSResizedCrop, **options: Any
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Origin, pixels and side of the crop of one image ``[C, H, W]``: the long way."""
    (top, left), (height, width), k = transform.field_of(tuple(image.shape[-2:]))
    field = image[:, top : top + height, left : left + width].contiguous()
    origin = locate(field, k, **options) + torch.tensor([top, left])
    y, x = origin.tolist()
    return origin, image.roll((-y, -x), (1, 2))[:, : k[0], : k[1]], k


@pytest.mark.parametrize("field", FIELDS, ids=repr)
def test_the_crop_of_the_field_is_resized(field: Any, every_score: Score) -> None:
    transform = RICSResizedCrop(SIZE, field=field, score=every_score)
    for image in PHOTOGRAPHS:
        origin, crop, _ = chosen(image, transform, score=every_score)
        assert torch.equal(transform.locate(image), origin)
        assert torch.equal(transform(image), F.resize(crop, list(SIZE), antialias=True))


def test_cyclic_crops_are_chosen_in_the_whole_image(every_score: Score) -> None:
    options: dict[str, Any] = {"score": every_score, "shifts": "cyclic"}
    transform = RICSResizedCrop(SIZE, ratio=0.5, **options)
    image = PHOTOGRAPHS[0]
    assert transform.field_of((72, 64)) == ((0, 0), (72, 64), (27, 32))
    origin, crop, _ = chosen(image, transform, **options)
    assert torch.equal(transform.locate(image), origin)
    expected = F.resize(crop, list(SIZE), antialias=True)
    for shift in ((0, 0), (1, 0), (-7, 30), (40, 63)):
        assert torch.equal(transform(image.roll(shift, (1, 2))), expected)


def test_copies_of_one_field_size_with_the_same_crop_are_equal_bit_for_bit() -> None:
    """All trims of up to 3 px per side of photographs: the crop of the scene decides, no more."""
    transform = RICSResizedCrop(SIZE, field=Ladder(2, most=0.9))
    kept = 0
    for image in PHOTOGRAPHS:
        outputs: dict[tuple[float, ...], Tensor] = {}
        for above, below, left, right in product((0, 1, 3), repeat=4):
            copy_ = image[:, above : 72 - below, left : 64 - right]
            size = transform.field_of(tuple(copy_.shape[-2:])).size
            place = (transform.locate(copy_) + torch.tensor([above, left])).tolist()
            output = transform(copy_)
            kept += (*size, *place) in outputs
            assert torch.equal(outputs.setdefault((*size, *place), output), output)
    assert kept > 150  # of 3 x 80 copies


@pytest.mark.parametrize("smooth", [True, False])
def test_batches_choose_one_by_one(smooth: bool) -> None:
    transform = RICSResizedCrop(SIZE, subpixel=smooth, return_origin=True)
    outputs, origins = transform(PHOTOGRAPHS)
    for image, output, origin in zip(PHOTOGRAPHS, outputs, origins, strict=True):
        alone, place = transform(image)
        assert torch.equal(alone, output) and torch.equal(place, origin)
    assert origins.dtype == (torch.float64 if smooth else torch.int64)
    empty, none = transform(PHOTOGRAPHS[:0])
    assert empty.shape == (0, 3, *SIZE) and none.shape == (0, 2)


def test_between_the_pixels_the_crop_of_ricscrop_is_resized() -> None:
    """Beyond the field lie pixels of the image, which the taps see; the place is the field's."""
    transform = RICSResizedCrop(SIZE, subpixel=True)
    for image in PHOTOGRAPHS:
        (top, left), (height, width), k = transform.field_of((72, 64))
        crop = RICSCrop(k, subpixel=True)
        field = image[:, top : top + height, left : left + width]
        origin = crop.locate(field) + torch.tensor([top, left])
        assert torch.equal(transform.locate(image), origin)
        cut = crop.transform(image, {"origins": origin})
        assert torch.equal(transform(image), F.resize(cut, list(SIZE), antialias=True))


@pytest.mark.parametrize("subpixel", [False, True])
@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_annotations_follow(kind: str, subpixel: bool) -> None:
    """As `RICSCrop` at the same origin, then `v2.Resize`."""
    n = (72, 64)
    image = tv_tensors.Image(PHOTOGRAPHS[0])
    transform = RICSResizedCrop(SIZE, subpixel=subpixel, return_origin=True)
    annotation = ANNOTATIONS[kind](n)
    sample, origin = transform({"image": image, "annotation": annotation})
    found = sample["annotation"]
    crop = RICSCrop(transform.field_of(n).k, subpixel=subpixel)
    cut = crop.transform(annotation, {"origins": origin, "guide": image})
    expected = v2.Resize(SIZE)(cut)
    assert type(found) is type(annotation)
    if isinstance(found, PIL.Image.Image):
        assert found.tobytes() == expected.tobytes()
    else:
        assert torch.equal(found, expected) and found.dtype == expected.dtype
        assert F.get_size(found) == list(SIZE)


@pytest.mark.parametrize("mode", [mode for mode in PIL_MODES if not mode.startswith("I")])
def test_every_mode_of_pillow(mode: str) -> None:
    image = pil(mode)
    found = RICSResizedCrop(SIZE)(image)
    origin, k = RICSResizedCrop(SIZE).locate(image), RICSResizedCrop(SIZE).field_of((40, 36)).k
    assert torch.equal(origin, RICSResizedCrop(SIZE).locate(from_pil(image)))
    top, left = origin.tolist()
    cut = as_colours(image.crop((left, top, left + k[1], top + k[0])))
    expected = cut.resize(SIZE[::-1], PIL.Image.Resampling.BILINEAR)
    assert found.mode == expected.mode and found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", ["I", "I;16"])
def test_levels_of_more_than_8_bits(mode: str) -> None:
    """Each output within a level of what tensors give, and never around the corner of 16 bits."""
    image = pil(mode)
    found = RICSResizedCrop(SIZE, interpolation="bicubic")(image)
    tensor = RICSResizedCrop(SIZE, interpolation="bicubic")(from_pil(image))
    assert found.mode == mode and found.size == SIZE[::-1]
    assert np.abs(np.asarray(found).astype(int) - tensor[0].clamp(0, 65535).numpy()).max() <= 1


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic"])
def test_names_and_numbers_of_interpolations(name: str) -> None:
    expected = RICSResizedCrop(SIZE, interpolation=InterpolationMode(name))
    for other in (
        name,
        PIL.Image.Resampling[name.upper()],
        PIL.Image.Resampling[name.upper()].value,
    ):
        assert torch.equal(
            RICSResizedCrop(SIZE, interpolation=other)(PHOTOGRAPHS), expected(PHOTOGRAPHS)
        )


def test_a_palette_is_kept_where_no_entries_are_mixed() -> None:
    image = pil("P")
    assert RICSResizedCrop(SIZE, interpolation="nearest")(image).mode == "P"


def test_masks_given_as_pil_images_keep_their_labels() -> None:
    image, labels = pil("RGB"), PIL.Image.fromarray(50 * random_image(40, 36).numpy() % 251)
    _, mask = RICSResizedCrop(SIZE)(image, labels)
    assert set(np.unique(mask)) <= set(np.unique(labels))


def test_arrays_give_arrays() -> None:
    array = PHOTOGRAPHS[0].permute(1, 2, 0).numpy()
    transform = RICSResizedCrop(SIZE)
    assert np.array_equal(transform(array), transform(PHOTOGRAPHS[0]).permute(1, 2, 0).numpy())
    assert np.array_equal(transform.locate(array), transform.locate(PHOTOGRAPHS[0]).numpy())
    assert np.array_equal(rics_resized_crop(array, SIZE), transform(array))


@pytest.mark.parametrize("shifts", SHIFTS)
def test_the_function_is_the_transform(shifts: Any) -> None:
    options: dict[str, Any] = {"ratio": 0.75, "score": "hash", "shifts": shifts}
    options |= {"interpolation": InterpolationMode.BICUBIC, "antialias": False}
    expected = RICSResizedCrop(SIZE, **options)(PHOTOGRAPHS)
    assert torch.equal(rics_resized_crop(PHOTOGRAPHS, SIZE, **options), expected)
    assert not torch.equal(rics_resized_crop(PHOTOGRAPHS, SIZE, ratio=0.75, score="hash"), expected)
    image = F.to_pil_image(PHOTOGRAPHS[0])
    assert torch.equal(rics_resized_crop(image, SIZE, **options), expected[0])


def test_floats_choose_the_crop_of_bytes_and_have_gradients() -> None:
    image = (PHOTOGRAPHS[1] / 255).requires_grad_()
    transform = RICSResizedCrop(SIZE)
    assert torch.equal(transform.locate(image), transform.locate(PHOTOGRAPHS[1]))
    output = transform(image)
    output.sum().backward()
    assert image.grad is not None
    (top, left), k = transform.locate(image).tolist(), transform.field_of((72, 64)).k
    assert image.grad.count_nonzero() == 3 * k[0] * k[1]
    assert image.grad[:, top : top + k[0], left : left + k[1]].all()


@pytest.mark.parametrize("transform", [RICSResizedCrop(SIZE), RICSCrop(48)], ids=repr)
def test_it_compiles_without_breaks(transform: Any) -> None:
    """PyTorch 2.8 could not tell levels of a score apart by identity."""
    compiled = torch.compile(transform, backend="eager", fullgraph=True)
    assert torch.equal(compiled(PHOTOGRAPHS), transform(PHOTOGRAPHS))


def test_it_survives_copying_and_pickling() -> None:
    transform = RICSResizedCrop(SIZE, field=60, ratio=0.5, score="hash", antialias=None)
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert torch.equal(other(PHOTOGRAPHS), transform(PHOTOGRAPHS))
        assert repr(other) == repr(transform)


def test_its_repr_makes_it_again() -> None:
    options: dict[str, Any] = {"field": Ladder(1.5), "antialias": None, "subpixel": True}
    for transform in (RICSResizedCrop(9), RICSResizedCrop(9, ratio=1 / 3, **options)):
        names = {name: getattr(transform, name) for name in ("size", "ratio", "score", "antialias")}
        assert repr(eval(repr(transform), _names())) == repr(transform)
        again = eval(repr(transform), _names())
        assert {name: getattr(again, name) for name in names} == names


def _names() -> dict[str, Any]:
    import rics_transforms

    return {name: getattr(rics_transforms, name) for name in rics_transforms.__all__}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 0}, ValueError, "Expected `size` to be a positive int"),
        ({"size": 2.5}, TypeError, "Expected `size` to be a positive int"),
        ({"field": 0}, ValueError, "Expected `field` to be a positive int, but got 0"),
        ({"field": 0.97}, TypeError, "Expected `field` to be a positive int"),
        ({"ratio": 0}, ValueError, "Expected `ratio` to be a positive number of at most 1"),
        ({"ratio": 1.5}, ValueError, "Expected `ratio` to be a positive number of at most 1"),
        ({"ratio": "7/8"}, TypeError, "Expected `ratio` to be a positive number"),
        ({"interpolation": "cubic"}, ValueError, "did you mean 'bicubic'"),
        ({"interpolation": 99}, TypeError, "Expected `interpolation` to be a name, but got 99"),
        ({"score": "lettuce"}, ValueError, "did you mean 'lattice'"),
        ({"shifts": "all"}, ValueError, "Expected `shifts` to be 'realistic' or 'cyclic'"),
        ({"shifts": "cyclic", "field": 9}, ValueError, "Expected no `field` with shifts='cyclic'"),
        ({"subpixel": True, "score": "hash"}, ValueError, "Expected a smooth score"),
    ],
)
def test_other_arguments_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RICSResizedCrop(**{"size": SIZE, **options})


def test_images_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected `field` to be at most 64 for images of"):
        RICSResizedCrop(32, field=65)(PHOTOGRAPHS)
    with pytest.raises(ValueError, match="Expected images with room for a field of 1 pixel"):
        RICSResizedCrop(32)(PHOTOGRAPHS[..., :1])
    with pytest.raises(ValueError, match="Expected all images, masks and annotations"):
        RICSResizedCrop(32)(tv_tensors.Image(PHOTOGRAPHS[0]), tv_tensors.Mask(torch.zeros(9, 9)))
    with pytest.raises(ValueError, match="cut one object into several pieces"):
        RICSResizedCrop(32, shifts="cyclic")(
            tv_tensors.Image(PHOTOGRAPHS[0]), ANNOTATIONS["boxes"]((72, 64))
        )
