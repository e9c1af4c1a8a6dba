"""`RICSCrop` for kornia: everything that kornia does with its own crops, against plain slices."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors

from rics_transforms import RICSCrop as Core
from rics_transforms import Score, locate

pytest.importorskip("kornia")

import kornia.augmentation as K
from kornia.geometry.boxes import Boxes
from kornia.geometry.keypoints import Keypoints

from rics_transforms.integrations.kornia import RICSCrop

from ..conftest import SHIFTS, random_image

N, SIZE = (40, 44), (24, 28)
KEYS = ["input", "mask", "bbox", "bbox_xyxy", "bbox_xywh", "keypoints", "label"]

KORNIA_USES: dict[str, Callable[[K.CenterCrop], Any]] = {
    "bfloat16": lambda crop: crop(noise(1).bfloat16()),
    "compilation": lambda crop: torch.compile(crop, fullgraph=True, backend="eager")(noise(2)),
    "export": lambda crop: torch.export.export(crop, (noise(2),)),
    "export in a container": lambda crop: torch.export.export(
        K.AugmentationSequential(crop), (noise(2),)
    ),
    "empty batches in containers": lambda crop: K.AugmentationSequential(
        crop, data_keys=["input", "mask"]
    )(noise(0), noise(0)),
    "masks in lists": lambda crop: list_alike(K.RandomCrop(SIZE)),
    "masks before images": lambda crop: K.AugmentationSequential(crop, data_keys=None)(
        {"mask": noise(1), "image": noise(1)}
    ),
}
"""What kornia 0.9 can do with every crop, and an older one may not even with its own."""

both_shifts = pytest.mark.parametrize("shifts", SHIFTS)


def noise(*lead: int, seed: int = 0, size: tuple[int, int] = N) -> Tensor:
    return random_image(*lead, 3, *size, seed=seed) / 255


def list_alike(crop: K.RandomCrop) -> None:
    """Raise if masks in a list are not cropped as in a batch."""
    batch = K.AugmentationSequential(crop, data_keys=["input", "mask"])
    images = noise(3)
    _, masks = batch(images, images)
    _, several = batch(images, list(images.split(1)), params=batch._params)
    assert torch.equal(torch.cat(several), masks)


@cache
def kornia_can(use: str) -> bool:
    torch._dynamo.reset()
    try:
        KORNIA_USES[use](K.CenterCrop(SIZE))
    except Exception:  # of many types, from kornia and from PyTorch's compiler
        return False
    return True


def need(use: str) -> None:
    """Skip what kornia cannot do with its own crops."""
    if not kornia_can(use):
        pytest.skip(f"kornia {metadata.version('kornia')} itself has no {use}")


@pytest.fixture(params=["float16", "bfloat16", "float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    if request.param == "bfloat16":
        need("bfloat16")
    return getattr(torch, request.param)


def cut(images: Tensor, origins: Tensor, size: tuple[int, int] = SIZE) -> Tensor:
    """Crops ``[B, ..., h, w]``, by slices; those that wrap around, too."""
    rolled = [
        i.roll([-x for x in o], (-2, -1)) for i, o in zip(images, origins.tolist(), strict=True)
    ]
    return torch.stack(rolled)[..., : size[0], : size[1]]


def paste(crops: Tensor, origins: Tensor, size: tuple[int, int] = N) -> Tensor:
    """Crops ``[B, ..., h, w]`` back in their places, zeros around them."""
    canvas = crops.new_zeros(*crops.shape[:-2], *size)
    canvas[..., : crops.shape[-2], : crops.shape[-1]] = crops
    return torch.stack([c.roll(o, (-2, -1)) for c, o in zip(canvas, origins.tolist(), strict=True)])


def origins_of(params: dict[str, Tensor]) -> Tensor:
    """The recorded origins (top, left)."""
    return params["src"][:, 0].flip(-1)


def sample(count: int = 3, seed: int = 0) -> tuple[Tensor, ...]:
    """One batch with every kind of annotation, in the order of `KEYS`."""
    generator = torch.Generator().manual_seed(seed)
    extent = torch.randint(1, 10, (count, 4, 2), generator=generator)
    room = torch.tensor([N[1], N[0]]) - extent + 1
    low = (torch.rand(count, 4, 2, generator=generator) * room).long()
    xyxy = torch.cat([low, low + extent], -1).float()
    xywh = torch.cat([low, extent], -1).float()
    points = torch.randint(0, 40, (count, 5, 2), generator=generator).float()
    masks = torch.randint(0, 1000, (count, 1, *N), generator=generator)
    vertices = Boxes.from_tensor(xyxy).data
    return noise(count, seed=seed), masks, vertices, xyxy, xywh, points, torch.arange(count)


# --- the crop ------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", KORNIA_USES)
def test_nothing_is_skipped_with_kornia_0_9(use: str) -> None:
    modern = tuple(map(int, metadata.version("kornia").split(".")[:2])) >= (0, 9)
    assert kornia_can(use) or not modern


@both_shifts
def test_crops_where_locate_says(every_score: Score, shifts: Any, dtype: torch.dtype) -> None:
    images = noise(2).to(dtype)
    crop = RICSCrop(SIZE, score=every_score, shifts=shifts)
    out = crop(images)
    assert torch.equal(
        origins_of(crop._params), locate(images, SIZE, score=every_score, shifts=shifts)
    )
    assert torch.equal(out, cut(images, origins_of(crop._params))) and out.dtype == dtype


@both_shifts
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_floats_choose_as_bytes_do(photos: Tensor, shifts: Any, dtype: torch.dtype) -> None:
    crop = RICSCrop(80, shifts=shifts)
    crop((photos[..., :100, :104].double() / 255).to(dtype))
    assert torch.equal(origins_of(crop._params), locate(photos[..., :100, :104], 80, shifts=shifts))


@both_shifts
def test_corners_are_those_of_the_crop(shifts: Any) -> None:
    crop = RICSCrop(SIZE, shifts=shifts)
    crop(noise(3))
    corners = crop._params["src"]
    assert corners.dtype == torch.int64 and corners.shape == (3, 4, 2)
    expected = torch.tensor([[0, 0], [27, 0], [27, 23], [0, 23]])
    assert torch.equal(corners - corners[:, :1], expected.expand(3, 4, 2))


@both_shifts
def test_matrix_maps_input_to_output(shifts: Any) -> None:
    crop = RICSCrop(SIZE, shifts=shifts)
    crop(noise(3).double())
    expected = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    expected[:, :2, 2] = -origins_of(crop._params).flip(-1)
    assert torch.equal(crop.transform_matrix, expected)


@given(shift=st.tuples(st.integers(-50, 50), st.integers(-50, 50)))
def test_cyclic_shifts_change_nothing(shift: tuple[int, int]) -> None:
    crop = RICSCrop(SIZE, shifts="cyclic")
    images = noise(2)
    assert torch.equal(crop(images.roll(shift, (-2, -1))), crop(images))


@both_shifts
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("lead", [(), (3,), (1, 3), (2, 3)], ids=str)
def test_shapes(lead: tuple[int, ...], keepdim: bool, shifts: Any) -> None:
    image = torch.rand(*lead, *N)
    out = RICSCrop(SIZE, keepdim=keepdim, shifts=shifts)(image)
    batched = (1,) * (2 - len(lead)) + lead
    assert out.shape == ((*lead, *SIZE) if keepdim else (*batched, *SIZE))
    assert torch.equal(
        out.view(*batched, *SIZE), RICSCrop(SIZE, shifts=shifts)(image.view(*batched, *N))
    )


@both_shifts
def test_same_on_batch_adds_the_scores(shifts: Any) -> None:
    images = noise(3)
    crop = RICSCrop(SIZE, shifts=shifts, same_on_batch=True)
    out = crop(images)
    origin = locate(tv_tensors.Video(images), SIZE, shifts=shifts)
    assert torch.equal(out, cut(images, origin.expand(3, 2)))
    assert len(locate(images, SIZE, shifts=shifts).unique(dim=0)) > 1


def test_output_is_a_copy() -> None:
    images = noise(2)
    out = RICSCrop(N)(images)
    assert torch.equal(out, images)
    out.zero_()
    assert images.any()
    assert out.untyped_storage().nbytes() == out.numel() * 4


def test_autocast_chooses_the_same_crop() -> None:
    images = noise(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = RICSCrop(SIZE)(images)
    assert torch.equal(out, RICSCrop(SIZE)(images)) and out.dtype == images.dtype


@both_shifts
def test_gradients_flow_through_the_pixels(shifts: Any) -> None:
    images = (noise(2, size=(7, 8)).double() * 0.9 + 0.01).requires_grad_()
    crop = RICSCrop((4, 5), shifts=shifts)
    assert torch.autograd.gradcheck(crop, (images,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda i: crop.inverse(crop(i)), (images,), fast_mode=True)


# --- annotations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("same_on_batch", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_data_key_follows(dtype: torch.dtype, same_on_batch: bool) -> None:
    images, masks, vertices, xyxy, xywh, points, labels = sample()
    crop = K.AugmentationSequential(RICSCrop(SIZE, same_on_batch=same_on_batch), data_keys=KEYS)
    out = crop(images.to(dtype), masks, vertices, xyxy, xywh, points, labels)
    origins = origins_of(crop._params[0].data)
    offset = origins.flip(-1)[:, None]
    assert torch.equal(out[0], cut(images.to(dtype), origins))
    assert torch.equal(out[1], cut(masks, origins)) and out[1].dtype == torch.int64
    assert torch.equal(out[2], vertices - offset[:, None])
    assert torch.equal(out[3], xyxy - offset.repeat(1, 1, 2))
    assert torch.equal(out[4], xywh - torch.cat([offset, 0 * offset], -1))
    assert torch.equal(out[5], points - offset)
    assert torch.equal(out[6], labels)


def test_cyclic_pixels_of_masks_and_keypoints_follow() -> None:
    images, masks, *_, points, _ = sample()
    crop = K.AugmentationSequential(
        RICSCrop(SIZE, shifts="cyclic"), data_keys=["input", "mask", "keypoints"]
    )
    out = crop(images, masks, points)
    origins = origins_of(crop._params[0].data)
    assert (origins + torch.tensor(SIZE) > torch.tensor(N)).any()  # one wraps around
    assert torch.equal(out[1], cut(masks, origins))
    for b, (top, left) in enumerate(origins.tolist()):
        for (x, y), (new_x, new_y) in zip(points[b].tolist(), out[2][b].tolist(), strict=True):
            assert (new_x, new_y) == ((x - left) % N[1], (y - top) % N[0])


@given(x=st.floats(-0.5, 43.25, width=32), left=st.integers(0, 43))
def test_cyclic_keypoints_lie_between_the_outer_edges_of_pixels(x: float, left: int) -> None:
    crop = RICSCrop(SIZE, shifts="cyclic")
    crop(noise(1))
    corners = crop._params["src"] * 0 + torch.tensor([left, 0])
    points = Keypoints(torch.tensor([[[x, 0.0]]]))
    params = {**crop._params, "src": corners}
    moved = crop.transform_keypoints(points, params, crop.flags).data[0, 0, 0].item()
    assert -0.5 <= moved <= 43.5
    assert moved == pytest.approx((x - left + 0.5) % 44 - 0.5, abs=1e-5) or moved == 43.5


def visible(box: tuple[float, ...], dx: float, dy: float) -> float:
    """The area of a box (x, y, x, y), moved, inside the crop."""
    width = min(box[2] + dx, SIZE[1]) - max(box[0] + dx, 0)
    height = min(box[3] + dy, SIZE[0]) - max(box[1] + dy, 0)
    return max(width, 0) * max(height, 0)


@pytest.mark.parametrize("seed", range(5))
def test_cyclic_boxes_show_as_much_as_they_can(seed: int) -> None:
    images, *_, xyxy, _, _, _ = sample(8, seed)
    crop = K.AugmentationSequential(
        RICSCrop(SIZE, shifts="cyclic"), data_keys=["input", "bbox_xyxy"]
    )
    _, out = crop(images, xyxy)
    origins = origins_of(crop._params[0].data)
    periods = [(i * N[1], j * N[0]) for i, j in product(range(-2, 3), repeat=2)]
    for b, n in product(range(8), range(4)):
        old, new = xyxy[b, n], out[b, n]
        top, left = origins[b].tolist()
        moved = new - old + torch.tensor([left, top] * 2)
        assert not moved.remainder(torch.tensor([N[1], N[0]] * 2)).any()
        assert torch.equal(moved[:2], moved[2:])
        most = max(visible(tuple(old.tolist()), i - left, j - top) for i, j in periods)
        assert visible(tuple(new.tolist()), 0, 0) == most


def test_a_large_box_takes_the_longer_of_its_pieces() -> None:
    crop = RICSCrop(SIZE, shifts="cyclic")
    crop(noise(1))
    left = crop._params["src"][0, 0, 0].item()
    for start, expected in ((26, 26 - 44), (23, 23)):  # 25 pixels of 44, of which the crop has 28
        x = (start + left) % 44
        box = Boxes.from_tensor(torch.tensor([[[x, 0.0, x + 25, 5.0]]]))
        out = crop.transform_boxes(box, crop._params, crop.flags)
        assert out.to_tensor("xyxy")[0, 0, 0] == expected


def test_large_offsets_stay_exact_in_half_precision() -> None:
    need("bfloat16")
    for seed in range(100):
        images = noise(1, seed=seed, size=(8, 700)).bfloat16()
        _, left = locate(images, (8, 100))[0].tolist()
        if left > 256 and left % 2:  # an integer that bfloat16 does not have
            break
    crop = K.AugmentationSequential(
        RICSCrop((8, 100)), data_keys=["input", "keypoints", "bbox_xyxy"]
    )
    points, boxes = torch.tensor([[[left + 3.0, 2.0]]]), torch.tensor([[[left, 0, left + 9, 4]]])
    image, moved, box = crop(images, points, boxes.float())
    assert moved.tolist() == [[[3, 2]]] and box.tolist() == [[[0, 0, 9, 4]]]
    restored, point, box = crop.inverse(image, moved, box)
    assert torch.equal(restored[..., left : left + 100], image) and restored.count_nonzero() > 0
    assert torch.equal(point, points) and torch.equal(box, boxes.float())


def test_keypoints_of_half_precision_move_before_they_are_rounded() -> None:
    crop = RICSCrop((8, 100))
    crop(noise(1, size=(8, 700)))
    params = {**crop._params, "src": crop._params["src"] * 0 + torch.tensor([437, 0])}
    points = torch.tensor([[[436.0, 2.0]]], dtype=torch.bfloat16)
    moved = crop.transform_keypoints(Keypoints(points), params, crop.flags)
    assert moved.data.dtype == torch.bfloat16 and moved.data.tolist() == [[[-1, 2]]]


@pytest.mark.parametrize("make", [Tensor.bool, Tensor.float, lambda m: m[:, 0]])
def test_kinds_of_masks(make: Callable[[Tensor], Tensor]) -> None:
    images, masks, *_ = sample()
    mask = make(masks % 2)
    crop = K.AugmentationSequential(RICSCrop(SIZE), data_keys=["input", "mask"])
    _, out = crop(images, mask)
    assert out.dtype == mask.dtype
    assert torch.equal(out, cut(mask.view(3, 1, *N), origins_of(crop._params[0].data)))


def test_lists_of_masks() -> None:
    images, masks, *_ = sample()
    crop = K.AugmentationSequential(RICSCrop(SIZE), data_keys=["input", "mask"])
    several = [masks[:1].float(), masks[1:2].float().expand(1, 2, *N), masks[2:].float()]
    if not kornia_can("masks in lists"):  # they come without a word of which image they belong to
        with pytest.raises(ValueError, match="Expected as many images or masks as crops, 3, but"):
            crop(images, several)
        return
    image, out = crop(images, several)
    origins = origins_of(crop._params[0].data)
    for i, mask in enumerate(several):
        assert torch.equal(out[i], cut(mask, origins[i : i + 1]))
    _, back = crop.inverse(image, out)
    for i, mask in enumerate(out):
        assert torch.equal(back[i], paste(mask, origins[i : i + 1]))


def test_masks_before_the_image() -> None:
    images, masks, *_, points, _ = sample()
    crop = K.AugmentationSequential(RICSCrop(SIZE), data_keys=None)
    if not kornia_can("masks before images"):
        with pytest.raises(ValueError, match="Expected an image before its masks"):
            crop({"mask": masks, "keypoints": points, "image": images})
        return
    out = crop({"mask": masks, "keypoints": points, "image": images})
    origins = locate(images, SIZE)
    assert torch.equal(out["image"], cut(images, origins))
    assert torch.equal(out["mask"], cut(masks, origins))
    assert torch.equal(out["keypoints"], points - origins.flip(-1)[:, None])


@pytest.mark.parametrize("key", KEYS[1:-1])
def test_annotations_alone_choose_no_crop(key: str) -> None:
    values = dict(zip(KEYS, sample(), strict=True))
    crop = K.AugmentationSequential(RICSCrop(SIZE), data_keys=["input"])
    params = crop.forward_parameters(torch.Size([3, 3, *N]))
    with pytest.raises(ValueError, match="Expected an image before its masks"):
        crop(values[key], data_keys=[key], params=params)


def test_a_mask_alone_is_never_searched() -> None:
    crop = RICSCrop(SIZE)
    params = crop.forward_parameters((3, 3, *N))
    with pytest.raises(ValueError, match="Expected an image before its masks"):
        crop.transform_masks(noise(3), params, crop.flags)


# --- replay --------------------------------------------------------------------------------------


@both_shifts
def test_replay_repeats_the_recorded_crop(shifts: Any) -> None:
    first, second = sample(seed=1), sample(seed=2)
    crop = K.AugmentationSequential(RICSCrop(SIZE, shifts=shifts), data_keys=KEYS)
    out, params = crop(*first), crop._params
    crop(*second)
    again = crop(*first, params=params)
    assert all(torch.equal(a, b) for a, b in zip(out, again, strict=True))
    other = crop(*second, params=params)
    assert torch.equal(other[0], cut(second[0], locate(first[0], SIZE, shifts=shifts)))


@both_shifts
def test_replay_of_annotations_without_the_image(shifts: Any) -> None:
    first, second = sample(seed=1), sample(seed=2)
    crop = K.AugmentationSequential(RICSCrop(SIZE, shifts=shifts), data_keys=KEYS)
    out, params = crop(*first), crop._params
    crop(*second)
    for key, value, expected in zip(KEYS[1:], first[1:], out[1:], strict=True):
        assert torch.equal(crop(value, data_keys=[key], params=params), expected)


def test_replay_of_a_direct_call() -> None:
    first, second = noise(2, seed=1), noise(2, seed=2)
    crop = RICSCrop(SIZE)
    crop(first)
    params = crop._params
    corners = params["src"]
    assert torch.equal(crop(second, params=params), cut(second, locate(first, SIZE)))
    assert params["src"] is corners


def test_handlers_complete_parameters_that_saw_no_image() -> None:
    images = noise(2)
    crop = RICSCrop(SIZE)
    params = crop.forward_parameters(images.shape)
    matrix = crop.compute_transformation(images, params, crop.flags)
    assert torch.equal(crop.apply_transform(images, params, crop.flags, matrix), crop(images))
    assert torch.equal(matrix, crop.transform_matrix)


def test_replay_on_another_size_raises() -> None:
    crop = RICSCrop(SIZE)
    crop(noise(2))
    with pytest.raises(ValueError, match=r"size \(40, 44\) .* but got \(44, 40\)"):
        crop(noise(2, size=(44, 40)), params=crop._params)


@both_shifts
def test_replay_looks_at_no_values(shifts: Any) -> None:
    """A device without values stands for one where looking at them would wait."""
    crop = RICSCrop(SIZE, shifts=shifts)
    out = crop(noise(2))
    params = {**crop._params, "src": crop._params["src"].to("meta")}
    # Called as `forward`, since kornia 0.8 copies what a module returns to the CPU.
    assert crop.forward(noise(2).to("meta"), params=params).shape == out.shape
    assert crop.inverse(out.to("meta"), params=params).shape == (2, 3, *N)
    boxes = Boxes(torch.rand(2, 4, 4, 2, device="meta"))
    points = Keypoints(torch.rand(2, 5, 2, device="meta"))
    for shapes, move, back in (
        (boxes, crop.transform_boxes, crop.inverse_boxes),
        (points, crop.transform_keypoints, crop.inverse_keypoints),
    ):
        moved = move(shapes, params, crop.flags)
        assert back(moved, params, crop.flags).data.shape == shapes.data.shape


# --- inverse -------------------------------------------------------------------------------------


@both_shifts
def test_inverse_pastes_every_bit(shifts: Any, dtype: torch.dtype) -> None:
    images = noise(3).to(dtype)
    crop = RICSCrop(SIZE, shifts=shifts)
    out = crop(images)
    assert torch.equal(crop.inverse(out), paste(out, locate(images, SIZE, shifts=shifts)))


@both_shifts
def test_inverse_of_every_data_key(shifts: Any) -> None:
    first = sample(seed=1)
    crop = K.AugmentationSequential(RICSCrop(SIZE, shifts=shifts), data_keys=KEYS)
    out, params = crop(*first), crop._params
    crop(*sample(seed=2))
    back = crop.inverse(*out, params=params)
    origins = origins_of(params[0].data)
    assert torch.equal(back[0], paste(out[0], origins))
    assert torch.equal(back[1], paste(out[1], origins))
    assert torch.equal(back[6], first[6])
    for old, new in zip(first[2:6], back[2:6], strict=True):
        assert torch.equal(old, new)


def test_inverse_without_a_crop_raises() -> None:
    crop = RICSCrop(SIZE)
    with pytest.raises(ValueError, match="no image has chosen a crop"):
        crop.inverse(noise(2, size=SIZE), params=crop.forward_parameters((2, 3, *N)))


# --- containers ----------------------------------------------------------------------------------


def test_the_next_child_sees_the_crop() -> None:
    crop = K.AugmentationSequential(RICSCrop((30, 34)), K.RandomCrop((26, 30)), RICSCrop(20))
    out = crop(noise(2))
    shapes = [param.data["forward_input_shape"].tolist() for param in crop._params]
    assert shapes == [[2, 3, 40, 44], [2, 3, 30, 34], [2, 3, 26, 30]]
    origins = sum(
        origins_of(param.data) if "crops" in param.data else param.data["src"][:, 0].flip(-1)
        for param in crop._params
    )
    assert torch.equal(out, cut(noise(2), origins.long(), (20, 20)))
    assert torch.equal(crop.transform_matrix[:, :2, 2], -origins.flip(-1).float())


def test_image_sequential_alone_and_nested() -> None:
    images, masks, *_ = sample()
    plain = K.ImageSequential(RICSCrop(SIZE))
    nested = K.AugmentationSequential(
        K.ImageSequential(RICSCrop(SIZE)), data_keys=["input", "mask"]
    )
    origins = locate(images, SIZE)
    assert torch.equal(plain(images), cut(images, origins))
    assert torch.equal(plain.inverse(plain(images)), paste(cut(images, origins), origins))
    out = nested(images, masks)
    assert torch.equal(out[0], cut(images, origins)) and torch.equal(out[1], cut(masks, origins))


def video_origins(clips: Tensor, same_on_frame: bool, same_on_batch: bool, shifts: Any) -> Tensor:
    """What a video ``[B, T, C, H, W]`` should choose: ``[B, T, 2]``."""
    if same_on_batch:
        frames = tv_tensors.Video(clips.flatten(0, 1))
        return locate(frames, SIZE, shifts=shifts).expand(*clips.shape[:2], 2)
    if same_on_frame:
        origins = locate(tv_tensors.Video(clips), SIZE, shifts=shifts)
        return origins[:, None].expand(*clips.shape[:2], 2)
    return locate(clips, SIZE, shifts=shifts)


@both_shifts
@pytest.mark.parametrize("same_on_batch", [False, True])
@pytest.mark.parametrize("same_on_frame", [False, True])
@pytest.mark.parametrize("layout", ["BTCHW", "BCTHW"])
def test_videos(layout: str, same_on_frame: bool, same_on_batch: bool, shifts: Any) -> None:
    clips = noise(2, 3)
    crop = K.VideoSequential(
        RICSCrop(SIZE, shifts=shifts, same_on_batch=same_on_batch),
        data_format=layout,
        same_on_frame=same_on_frame,
    )
    video = clips if layout == "BTCHW" else clips.transpose(1, 2)
    out = crop(video)
    frames = out if layout == "BTCHW" else out.transpose(1, 2)
    origins = video_origins(clips, same_on_frame, same_on_batch, shifts).flatten(0, 1)
    assert torch.equal(frames.flatten(0, 1), cut(clips.flatten(0, 1), origins))
    assert torch.equal(crop(video, params=crop._params), out)
    back = crop.inverse(out)
    back = back if layout == "BTCHW" else back.transpose(1, 2)
    assert torch.equal(back.flatten(0, 1), paste(frames.flatten(0, 1), origins))


@pytest.mark.parametrize("same_on_frame", [False, True])
def test_annotations_of_videos(same_on_frame: bool) -> None:
    images, masks, vertices, _, _, points, _ = sample(6)
    clips, masks, vertices, points = (
        x.unflatten(0, (2, 3)) for x in (images, masks, vertices, points)
    )
    crop = K.AugmentationSequential(
        K.VideoSequential(RICSCrop(SIZE), same_on_frame=same_on_frame),
        data_keys=["input", "mask", "bbox", "keypoints"],
    )
    out = crop(clips, masks, vertices, points)
    origins = video_origins(clips, same_on_frame, False, "realistic")
    assert torch.equal(out[1].flatten(0, 1), cut(masks.flatten(0, 1), origins.flatten(0, 1)))
    offset = origins.flip(-1)[:, :, None]
    assert torch.equal(out[2], vertices - offset[:, :, :, None])
    assert torch.equal(out[3], points - offset)
    back = crop.inverse(*out)
    assert torch.equal(back[2], vertices) and torch.equal(back[3], points)


# --- probability, empty batches ------------------------------------------------------------------


@both_shifts
def test_probability_zero_leaves_everything(shifts: Any) -> None:
    data = sample()
    crop = K.AugmentationSequential(RICSCrop(SIZE, p=0.0, shifts=shifts), data_keys=KEYS)
    out = crop(*data)
    assert all(torch.equal(a, b) for a, b in zip(data, out, strict=True))
    assert torch.equal(crop.transform_matrix, torch.eye(3).expand(3, 3, 3))
    assert all(torch.equal(a, b) for a, b in zip(data, crop.inverse(*out), strict=True))


def test_a_batch_is_cropped_as_a_whole() -> None:
    images, masks, *_, points, _ = sample()
    crop = K.AugmentationSequential(RICSCrop(SIZE, p=0.5), data_keys=["input", "mask", "keypoints"])
    sizes = set()
    for seed in range(20):
        torch.manual_seed(seed)
        image, mask, point = crop(images, masks, points)
        assert image.shape[-2:] == mask.shape[-2:]
        assert torch.equal(point, points) == (image.shape[-2:] == N)
        sizes.add(tuple(image.shape[-2:]))
    assert sizes == {N, SIZE}


def test_no_random_number_is_drawn() -> None:
    before = torch.random.get_rng_state()
    K.AugmentationSequential(RICSCrop(SIZE), data_keys=["input"])(noise(2))
    assert torch.equal(torch.random.get_rng_state(), before)


@both_shifts
@pytest.mark.parametrize("same_on_batch", [False, True])
def test_empty_batches(shifts: Any, same_on_batch: bool, every_score: Score) -> None:
    crop = RICSCrop(SIZE, score=every_score, shifts=shifts, same_on_batch=same_on_batch)
    assert crop(noise(0)).shape == (0, 3, *SIZE)


@both_shifts
@pytest.mark.parametrize("same_on_batch", [False, True])
def test_empty_batches_in_containers(shifts: Any, same_on_batch: bool, every_score: Score) -> None:
    need("empty batches in containers")
    data = tuple(value[:0] for value in sample())
    options: Any = {"score": every_score, "shifts": shifts, "same_on_batch": same_on_batch}
    crop = K.AugmentationSequential(RICSCrop(SIZE, **options), data_keys=KEYS)
    out = crop(*data)
    assert out[0].shape == (0, 3, *SIZE) and out[1].shape == (0, 1, *SIZE)
    assert [x.shape for x in out[2:]] == [x.shape for x in data[2:]]
    assert [x.shape for x in crop.inverse(*out)] == [x.shape for x in data]
    video = K.VideoSequential(RICSCrop(SIZE, **options))
    assert video(torch.rand(0, 3, 3, *N)).shape == (0, 3, 3, *SIZE)


# --- graphs, copies ------------------------------------------------------------------------------


@pytest.fixture
def _dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("_dynamo")
def test_compiled_graph_equals_eager() -> None:
    need("compilation")
    crop = RICSCrop(SIZE, shifts="cyclic")  # the next two have the realistic ones
    compiled = torch.compile(crop, fullgraph=True, backend="eager")
    for seed in (1, 2):
        images = noise(3, seed=seed)
        assert torch.equal(compiled(images), crop(images))


@pytest.mark.slow
@pytest.mark.usefixtures("_dynamo")
def test_compiled_code_shares_a_crop_too() -> None:
    need("compilation")
    crop = RICSCrop(SIZE, same_on_batch=True)
    images = noise(3)
    assert torch.equal(torch.compile(crop, backend="eager")(images), crop(images))


@pytest.mark.slow
@pytest.mark.usefixtures("_dynamo")
def test_a_compiled_frame_keeps_the_crop_of_its_clip() -> None:
    need("compilation")
    video = K.VideoSequential(RICSCrop(SIZE))
    clips = noise(2, 3)
    expected = video(clips)
    video[0].compile(backend="eager")
    assert torch.equal(video(clips), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("shifts", "contained"), [("cyclic", False), ("realistic", True)])
def test_exported_graph_equals_eager(shifts: Any, contained: bool) -> None:
    need("export in a container" if contained else "export")
    crop: torch.nn.Module = RICSCrop(SIZE, score="hash", shifts=shifts)  # a graph of one branch
    crop = K.AugmentationSequential(crop) if contained else crop
    exported = torch.export.export(crop, (noise(2, seed=1),)).module()
    images = noise(2, seed=2)
    assert torch.equal(exported(images), crop(images))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_crop_alike(duplicate: Callable[[Any], Any]) -> None:
    crop = K.AugmentationSequential(
        RICSCrop(SIZE, score="saliency", shifts="cyclic", subpixel=True), data_keys=["input"]
    )
    expected = crop(noise(2))
    assert torch.equal(duplicate(crop)(noise(2)), expected)
    assert repr(duplicate(crop)) == repr(crop)


def test_module() -> None:
    crop = RICSCrop(SIZE, score="hash")
    assert not crop.state_dict() and not list(crop.parameters())
    assert "size=(24, 28), score=Hash(), shifts=realistic" in repr(crop)
    assert torch.equal(crop.to(torch.float64)(noise(2)), RICSCrop(SIZE, score="hash")(noise(2)))


# --- between the pixels --------------------------------------------------------------------------


@both_shifts
def test_subpixel_crops_are_those_of_the_core(
    every_score: Score, shifts: Any, dtype: torch.dtype
) -> None:
    options: Any = {"score": every_score, "shifts": shifts, "subpixel": True}
    if not every_score.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSCrop(SIZE, **options)
        return
    images, crop = noise(2).to(dtype), RICSCrop(SIZE, **options)
    out = crop(images)
    assert torch.equal(out, Core(SIZE, **options)(images)) and out.dtype == dtype
    src = crop._params["src"]
    assert src.dtype == torch.float64 and src.shape == (2, 4, 2)
    assert torch.equal(origins_of(crop._params), Core(SIZE, **options).locate(images))
    assert (src % 1).any()


@both_shifts
def test_annotations_move_by_the_fraction(shifts: Any) -> None:
    data, core = sample(8), Core(SIZE, shifts=shifts, subpixel=True)
    one = RICSCrop(SIZE, shifts=shifts, subpixel=True)
    crop = K.AugmentationSequential(one, data_keys=KEYS)
    out, params = crop(*data), crop._params
    origins = core.locate(data[0])
    masks = core.transform(tv_tensors.Mask(data[1]), {"origins": origins})
    assert torch.equal(out[1], masks) and out[1].dtype == torch.int64
    moved = data[5] - origins.flip(-1)[:, None]
    if shifts == "cyclic":
        moved = (moved + 0.5) % torch.tensor([N[1], N[0]]) - 0.5
    else:
        assert torch.equal(out[3], (data[3] - origins.flip(-1).repeat(1, 2)[:, None]).float())
    assert torch.equal(out[5], moved.float())
    assert torch.equal(crop.transform_matrix[:, :2, 2], -origins.flip(-1).float())
    back = crop.inverse(*out)
    for old, new in zip(data[2:], back[2:], strict=True):
        assert torch.equal(old, new)
    whole = (origins + 0.5).floor().long()
    assert torch.equal(back[1], paste(masks.as_subclass(Tensor), whole % torch.tensor(N)))
    crop(*sample(8, seed=1))
    for key, value, expected in zip(KEYS, data, out, strict=True):
        assert torch.equal(crop(value, data_keys=[key], params=params), expected)


def test_masks_go_on_at_the_first_pixel_where_the_crop_lies_behind_the_last() -> None:
    crop = RICSCrop(SIZE, shifts="cyclic", subpixel=True)
    images = noise(1)
    crop(images)
    behind = crop._params["src"] * 0 + torch.tensor([43.75, 39.75], dtype=torch.float64)
    params = {**crop._params, "src": behind}
    masks, first = crop.transform_masks(images, params, crop.flags), torch.zeros(1, 2).long()
    assert torch.equal(masks, cut(images, first))
    assert torch.equal(crop.inverse_masks(masks, params, crop.flags), paste(masks, first))


@both_shifts
def test_subpixel_crops_of_batches_and_clips(shifts: Any) -> None:
    clips = noise(2, 3)
    options: Any = {"shifts": shifts, "subpixel": True}
    core, shared = Core(SIZE, **options), RICSCrop(SIZE, same_on_batch=True, **options)
    assert torch.equal(shared(clips[0]), core(tv_tensors.Video(clips[0])))
    video = K.VideoSequential(RICSCrop(SIZE, **options), data_format="BTCHW")
    out = video(clips)
    assert torch.equal(out, core(tv_tensors.Video(clips)))
    assert torch.equal(video(clips, params=video._params), out)


@pytest.mark.parametrize(
    ("k", "shifts"), [(224, "realistic"), (224, "cyclic"), (256, "cyclic")], ids=str
)
def test_inverse_of_photographs_between_the_pixels(photos: Tensor, k: int, shifts: Any) -> None:
    """What the documentation says: 1.3 grey levels on average, 99 % of all within 10."""
    images = photos[..., :256, :256] / 255
    crop = RICSCrop(k, shifts=shifts, subpixel=True)
    out = crop(images)
    seen = crop.inverse(torch.ones_like(out)) > 0.5
    assert seen.sum() == out.numel()
    error = 255 * (crop.inverse(out) - images).abs()[seen]
    assert error.mean() < 1.35 and (error > 10).float().mean() < 0.01
    assert not crop.inverse(out)[~seen].any()


def test_inverse_is_exact_where_the_crop_lies_on_whole_pixels() -> None:
    images = noise(3)
    crop = RICSCrop(SIZE, subpixel=True)
    out = crop(images)
    params = {**crop._params, "src": crop._params["src"].round()}
    assert torch.equal(crop.inverse(out, params=params), paste(out, origins_of(params).long()))


@both_shifts
def test_gradients_flow_through_the_taps(shifts: Any) -> None:
    images = (noise(2, size=(11, 12)).double() * 0.9 + 0.01).requires_grad_()
    crop = RICSCrop((8, 9), score="mexican_hat", shifts=shifts, subpixel=True)
    crop(images)
    params = crop._params
    assert torch.autograd.gradcheck(lambda i: crop(i, params=params), (images,), fast_mode=True)
    back = lambda i: crop.inverse(crop(i, params=params), params=params)  # noqa: E731
    assert torch.autograd.gradcheck(back, (images,), fast_mode=True)


@pytest.mark.slow
def test_exported_subpixel_graph_equals_eager() -> None:
    need("export")
    crop = RICSCrop(SIZE, shifts="cyclic", subpixel=True)
    exported = torch.export.export(crop, (noise(2, seed=1),)).module()
    images = noise(2, seed=2)
    assert torch.equal(exported(images), crop(images))


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"k": 0}, ValueError),
        ({"k": "a"}, TypeError),
        ({"k": 8, "score": "nothing"}, ValueError),
        ({"k": 8, "shifts": "elastic"}, ValueError),
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="Expected"):
        RICSCrop(**arguments)


def test_wrong_images() -> None:
    with pytest.raises(ValueError, match="Expected `k` to be at most the image size"):
        RICSCrop(41)(noise(2))
    with pytest.raises(TypeError, match="uint8"):
        RICSCrop(8)(random_image(2, 3, 16, 16))
    with pytest.raises(ValueError, match="finite"):
        RICSCrop(8)(torch.full((1, 3, 16, 16), torch.nan))
