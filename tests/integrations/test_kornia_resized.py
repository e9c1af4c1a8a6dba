"""`RICSResizedCrop` for kornia: the core's pixels, and what follows them through containers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from rics_transforms import Ladder, Score
from rics_transforms import RICSCrop as CoreCrop
from rics_transforms import RICSResizedCrop as Core

pytest.importorskip("kornia")

from kornia.geometry.boxes import Boxes

from rics_transforms.integrations.kornia import RICSCrop, RICSResizedCrop

from ..conftest import random_image
from .test_kornia import KEYS, K, N, both_shifts, cut, dtype, need, noise, origins_of, paste, sample

__all__ = ["dtype"]  # a fixture

SIZE = (20, 24)
MODES = {
    "nearest": InterpolationMode.NEAREST_EXACT,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}


def nearest(images: Tensor, size: tuple[int, int] = SIZE) -> Tensor:
    return F.resize(images, list(size), interpolation=InterpolationMode.NEAREST_EXACT)


def crop_size(**options: Any) -> tuple[int, int]:
    """Of the crops of all images of these tests."""
    return Core(SIZE, **options).field_of(N).k


def matrices(origins: Tensor, **options: Any) -> Tensor:
    """From input to output on the grid of outer edges: (x - left + 0.5) w / kw - 0.5."""
    k, matrix = crop_size(**options), torch.eye(3, dtype=torch.float64).repeat(len(origins), 1, 1)
    for row, axis in ((0, 1), (1, 0)):
        matrix[:, row, row] = SIZE[axis] / k[axis]
        matrix[:, row, 2] = (0.5 - origins[:, axis].double()) * SIZE[axis] / k[axis] - 0.5
    return matrix


# --- pixels --------------------------------------------------------------------------------------


@both_shifts
@pytest.mark.parametrize("subpixel", [False, True])
def test_the_pixels_are_those_of_the_core(
    every_score: Score, shifts: Any, subpixel: bool, dtype: torch.dtype
) -> None:
    options: Any = {"score": every_score, "shifts": shifts, "subpixel": subpixel, "ratio": 0.7}
    if subpixel and not every_score.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSResizedCrop(SIZE, **options)
        return
    images, core, crop = noise(2).to(dtype), Core(SIZE, **options), RICSResizedCrop(SIZE, **options)
    out = crop(images)
    assert torch.equal(out, core(images)) and out.dtype == dtype
    assert torch.equal(origins_of(crop._params), core.locate(images))
    extent = crop._params["src"][:, 2] - crop._params["src"][:, 0] + 1
    assert extent.tolist() == 2 * [list(reversed(core.field_of(N).k))]


@pytest.mark.parametrize("resample", MODES)
@pytest.mark.parametrize("antialias", [False, True])
def test_filters(resample: str, antialias: bool) -> None:
    images = noise(2)
    core = Core(SIZE, interpolation=MODES[resample], antialias=antialias)
    crop = RICSResizedCrop(SIZE, resample=resample, antialias=antialias)
    assert torch.equal(crop(images), core(images))


@pytest.mark.parametrize("options", [{"field": Ladder(2, most=0.8)}, {"field": 30}], ids=str)
def test_fields_reach_the_core(options: Any) -> None:
    images = noise(2)
    assert torch.equal(RICSResizedCrop(SIZE, **options)(images), Core(SIZE, **options)(images))


@both_shifts
def test_matrix_maps_input_to_output(shifts: Any) -> None:
    crop = RICSResizedCrop(SIZE, shifts=shifts, resample="nearest")
    images = torch.stack(torch.meshgrid(*map(torch.arange, N), indexing="ij"))[None].double() / 255
    out = (255 * crop(images)).round().long()
    matrix = crop.transform_matrix
    expected = matrices(origins_of(crop._params), shifts=shifts)
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-9)
    y, x = torch.meshgrid(*map(torch.arange, SIZE), indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)]).double().flatten(1)
    back = (matrix[0].inverse() @ pixels)[:2].flip(0).reshape(2, *SIZE)
    distance = (back - out[0]).remainder(torch.tensor(N)[:, None, None])
    distance = torch.minimum(distance, torch.tensor(N)[:, None, None] - distance)
    assert distance.max() <= 0.5 + 1e-6


@both_shifts
def test_same_on_batch_adds_the_scores(shifts: Any) -> None:
    images = noise(3)
    crop = RICSResizedCrop(SIZE, shifts=shifts, same_on_batch=True)
    assert torch.equal(crop(images), Core(SIZE, shifts=shifts)(tv_tensors.Video(images)))


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("lead", [(), (3,), (1, 3), (2, 3), (0, 3)], ids=str)
def test_shapes(lead: tuple[int, ...], keepdim: bool) -> None:
    image = torch.rand(*lead, *N)
    batched = (1,) * (2 - len(lead)) + lead
    out = RICSResizedCrop(SIZE, keepdim=keepdim)(image)
    assert out.shape == ((*lead, *SIZE) if keepdim else (*batched, *SIZE))


def test_gradients_flow_through_the_pixels() -> None:
    images = (noise(2, size=(12, 13)).double() * 0.9 + 0.01).requires_grad_()
    crop = RICSResizedCrop((4, 5))
    crop(images)
    params = crop._params
    assert torch.autograd.gradcheck(lambda i: crop(i, params=params), (images,), fast_mode=True)
    back = lambda i: crop.inverse(crop(i, params=params), params=params)  # noqa: E731
    assert torch.autograd.gradcheck(back, (images,), fast_mode=True)


# --- annotations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("subpixel", [False, True])
def test_every_data_key_follows(subpixel: bool) -> None:
    data, core = sample(), Core(SIZE, subpixel=subpixel)
    one = RICSResizedCrop(SIZE, subpixel=subpixel)
    crop = K.AugmentationSequential(one, data_keys=KEYS)
    out, params = crop(*data), crop._params
    origins, k = core.locate(data[0]), crop_size()
    matrix = matrices(origins).float()
    assert torch.equal(out[0], core(data[0]))
    whole = (origins + 0.5).floor().long()
    assert torch.equal(out[1], nearest(cut(data[1], whole, k))) and out[1].dtype == data[1].dtype
    torch.testing.assert_close(crop.transform_matrix, matrix)
    for index, mode in ((2, "vertices_plus"), (3, "xyxy_plus"), (4, "xywh")):  # as kornia has them
        boxes = Boxes.from_tensor(data[index], mode=mode).transform_boxes(matrix)
        torch.testing.assert_close(out[index], boxes.to_tensor(mode), rtol=0, atol=1e-4)
    zoom = torch.tensor([SIZE[1] / k[1], SIZE[0] / k[0]])
    points = (data[5] - origins.flip(-1)[:, None] + 0.5) * zoom - 0.5
    torch.testing.assert_close(out[5], points.float(), rtol=0, atol=1e-4)
    assert torch.equal(out[6], data[6])

    crop(*sample(seed=1))
    for key, value, expected in zip(KEYS, data, out, strict=True):
        assert torch.equal(crop(value, data_keys=[key], params=params), expected)
    back = crop.inverse(*out, params=params)
    assert torch.equal(back[1], paste(nearest(out[1], k), whole))
    for old, new in zip(data[2:6], back[2:6], strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-4)


@pytest.mark.parametrize("subpixel", [False, True])
def test_cyclic_annotations_are_those_of_the_crop_resized(subpixel: bool) -> None:
    """Its field is the whole image, as for `RICSCrop`."""
    options: Any = {"shifts": "cyclic", "subpixel": subpixel}
    k, data = crop_size(shifts="cyclic"), sample(8)
    resized = K.AugmentationSequential(RICSResizedCrop(SIZE, **options), data_keys=KEYS)
    plain = K.AugmentationSequential(RICSCrop(k, **options), data_keys=KEYS)
    out, cropped = resized(*data), plain(*data)
    assert torch.equal(out[1], nearest(cropped[1]))
    zoom = torch.tensor([SIZE[1] / k[1], SIZE[0] / k[0]])
    for index in (2, 5):
        expected = (cropped[index] + 0.5) * zoom - 0.5
        torch.testing.assert_close(out[index], expected, rtol=0, atol=1e-4)
    backs = resized.inverse(*out)[2:], plain.inverse(*cropped)[2:]
    for new, expected in zip(*backs, strict=True):
        torch.testing.assert_close(new, expected, rtol=0, atol=1e-4)


def test_annotations_alone_choose_no_crop() -> None:
    crop = RICSResizedCrop(SIZE)
    params = crop.forward_parameters((3, 3, *N))
    with pytest.raises(ValueError, match="Expected an image before its masks"):
        crop.transform_masks(noise(3), params, crop.flags)
    with pytest.raises(ValueError, match="no image has chosen a crop"):
        crop.inverse(noise(2, size=SIZE), params=params)


def test_replay_repeats_the_recorded_crop_on_its_size_alone() -> None:
    first, second = noise(2, seed=1), noise(2, seed=2)
    crop = RICSResizedCrop(SIZE)
    out = crop(first)
    params = crop._params
    crop(second)
    assert torch.equal(crop(first, params=params), out)
    origins, k = Core(SIZE).locate(first), crop_size()
    expected = F.resize(cut(second, origins, k), list(SIZE), antialias=True)
    assert torch.equal(crop(second, params=params), expected)
    with pytest.raises(ValueError, match=r"size \(40, 44\) .* but got \(44, 40\)"):
        crop(noise(2, size=(44, 40)), params=params)


# --- inverse -------------------------------------------------------------------------------------


@both_shifts
@pytest.mark.parametrize("resample", MODES)
def test_inverse_pastes_the_output_resized(resample: str, shifts: Any) -> None:
    crop = RICSResizedCrop(SIZE, shifts=shifts, resample=resample)
    out = crop(noise(3))
    k = list(crop_size(shifts=shifts))
    crops = F.resize(out, k, interpolation=MODES[resample], antialias=True)
    assert torch.equal(crop.inverse(out), paste(crops, origins_of(crop._params)))


def test_inverse_of_photographs(photos: Tensor) -> None:
    """What the documentation says: 279 pixels become 224, and 4.2 of 255 grey levels get lost."""
    images = photos / 255
    crop = RICSResizedCrop(224, field=279, ratio=1)
    out = crop(images)
    seen = crop.inverse(torch.ones_like(out)) > 0.5
    error = 255 * (crop.inverse(out) - images).abs()[seen]
    assert seen.sum() == len(images) * 3 * 279**2 and error.mean() < 4.25
    assert not crop.inverse(out)[~seen].any()


# --- containers, graphs, copies ------------------------------------------------------------------


def test_the_next_child_sees_the_output() -> None:
    crop = K.AugmentationSequential(RICSResizedCrop(30), K.RandomCrop((26, 28)), RICSCrop(20))
    assert crop(noise(2)).shape == (2, 3, 20, 20)
    shapes = [param.data["forward_input_shape"].tolist() for param in crop._params]
    assert shapes == [[2, 3, 40, 44], [2, 3, 30, 30], [2, 3, 26, 28]]


@both_shifts
@pytest.mark.parametrize("same_on_frame", [False, True])
def test_videos(same_on_frame: bool, shifts: Any) -> None:
    clips = noise(2, 3)
    core = Core(SIZE, shifts=shifts)
    expected = core(tv_tensors.Video(clips)) if same_on_frame else core(clips)
    crop = K.VideoSequential(
        RICSResizedCrop(SIZE, shifts=shifts), data_format="BTCHW", same_on_frame=same_on_frame
    )
    out = crop(clips)
    assert torch.equal(out, expected)
    assert torch.equal(crop(clips, params=crop._params), out)
    assert crop.inverse(out).shape == clips.shape


def test_probability_zero_leaves_everything() -> None:
    data = sample()
    crop = K.AugmentationSequential(RICSResizedCrop(SIZE, p=0.0), data_keys=KEYS)
    out = crop(*data)
    assert all(torch.equal(a, b) for a, b in zip(data, out, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(data, crop.inverse(*out), strict=True))


def test_empty_batches_in_containers() -> None:
    need("empty batches in containers")
    data = tuple(value[:0] for value in sample())
    crop = K.AugmentationSequential(RICSResizedCrop(SIZE), data_keys=KEYS)
    out = crop(*data)
    assert out[0].shape == (0, 3, *SIZE) and out[1].shape == (0, 1, *SIZE)
    assert [x.shape for x in crop.inverse(*out)] == [x.shape for x in data]


@pytest.fixture
def _dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("_dynamo")
@both_shifts
def test_compiled_graph_equals_eager(shifts: Any) -> None:
    need("compilation")
    crop = RICSResizedCrop(SIZE, shifts=shifts)
    compiled = torch.compile(crop, fullgraph=True, backend="eager")
    for seed in (1, 2):
        images = noise(3, seed=seed)
        assert torch.equal(compiled(images), crop(images))


@pytest.mark.slow
def test_exported_graph_equals_eager() -> None:
    need("export")
    crop = RICSResizedCrop(SIZE, score="hash")  # a graph of one branch
    exported = torch.export.export(crop, (noise(2, seed=1),)).module()
    images = noise(2, seed=2)
    assert torch.equal(exported(images), crop(images))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_crop_alike(duplicate: Callable[[Any], Any]) -> None:
    crop = K.AugmentationSequential(
        RICSResizedCrop(SIZE, ratio=0.5, resample="bicubic", score="saliency", subpixel=True),
        data_keys=["input", "mask"],
    )
    images = noise(2)
    for found, expected in zip(duplicate(crop)(images, images), crop(images, images), strict=True):
        assert torch.equal(found, expected)
    assert repr(duplicate(crop)) == repr(crop)


def test_module() -> None:
    crop = RICSResizedCrop(SIZE, field=30, score="hash")
    assert not crop.state_dict() and not list(crop.parameters())
    assert "size=(20, 24), field=30, ratio=0.875, score=Hash(), shifts=realistic" in repr(crop)
    crop(noise(2))
    assert CoreCrop(3)(crop(noise(2))).shape == (2, 3, 3, 3)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"size": 0}, ValueError),
        ({"size": 8, "field": 0.9}, TypeError),
        ({"size": 8, "ratio": 1.5}, ValueError),
        ({"size": 8, "score": "nothing"}, ValueError),
        ({"size": 8, "shifts": "elastic"}, ValueError),
        ({"size": 8, "shifts": "cyclic", "field": 9}, ValueError),
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="Expected"):
        RICSResizedCrop(**arguments)


def test_wrong_images() -> None:
    with pytest.raises(ValueError, match="Expected `field` to be at most 40 for images of"):
        RICSResizedCrop(8, field=41)(noise(2))
    with pytest.raises(TypeError, match="uint8"):
        RICSResizedCrop(8)(random_image(2, 3, 16, 16))
    with pytest.raises(ValueError, match="finite"):
        RICSResizedCrop(8)(torch.full((1, 3, 16, 16), torch.nan))
