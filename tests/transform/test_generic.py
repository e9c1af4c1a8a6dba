"""The checks that torchvision runs on its own v2 transforms, written anew for `RICSCrop`."""

import pickle
from collections.abc import Callable
from typing import Any

import PIL.Image
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop, list_scores, rics_crop
from rics_transforms.engine.crop import crop

N, K = (32, 29), (20, 17)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DTYPES = [torch.uint8, torch.float32, torch.float64]


def make_tensor(*shape: int, dtype: torch.dtype = torch.uint8, device: str = "cpu") -> Tensor:
    levels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(len(shape)))
    return (levels / 255 if dtype.is_floating_point else levels).to(device, dtype)


def make_image(*lead: int, **options: Any) -> tv_tensors.Image:
    return tv_tensors.Image(make_tensor(*lead, 3, *N, **options))


def make_image_pil() -> PIL.Image.Image:
    return F.to_pil_image(make_tensor(3, *N))


def make_video(*lead: int, **options: Any) -> tv_tensors.Video:
    return tv_tensors.Video(make_tensor(*lead, 2, 3, *N, **options))


def make_mask(*lead: int, device: str = "cpu") -> tv_tensors.Mask:
    return tv_tensors.Mask(make_tensor(*lead, *N, device=device))


def make_boxes(format: str, device: str = "cpu") -> tv_tensors.BoundingBoxes:
    numbers = {"XYXYXYXY": [9, 9, 15, 9, 15, 14, 9, 14], "XYXY": [3, 4, 15, 20]}
    row = numbers.get(format, [12, 13, 5, 7, 10][: len(format) - 2 * format.startswith("C")])
    row = torch.tensor([row, row], dtype=torch.float32, device=device)
    return tv_tensors.BoundingBoxes(row, format=format, canvas_size=N)


def make_keypoints(device: str = "cpu") -> tv_tensors.KeyPoints:
    return tv_tensors.KeyPoints([[3.0, 4.0], [20.0, 9.0]], canvas_size=N, device=device)


IMAGES: dict[str, Callable[..., Any]] = {
    "tensor": lambda **options: make_tensor(3, *N, **options),
    "tensors": lambda **options: make_tensor(4, 3, *N, **options),
    "image": make_image,
    "images": lambda **options: make_image(4, **options),
    "video": make_video,
    "videos": lambda **options: make_video(4, **options),
}
FORMATS = [format.value for format in tv_tensors.BoundingBoxFormat]


def frozen(sample: Any) -> list[bytes]:
    """What is in a sample, to see later whether it was changed."""
    return [
        leaf.as_subclass(Tensor).cpu().contiguous().numpy().tobytes()
        if isinstance(leaf, Tensor)
        else leaf.tobytes()
        if isinstance(leaf, PIL.Image.Image)
        else repr(leaf).encode()
        for leaf in tree_flatten(sample)[0]
    ]


def check_kernel(kernel: Callable[..., Tensor], images: Tensor, *args: Any, **kwargs: Any) -> None:
    """A kernel maps tensors: not in place, type kept, batched as looped, strided as contiguous."""
    before = frozen(images)
    out = kernel(images, *args, **kwargs)
    assert frozen(images) == before
    assert type(out) is Tensor and out.dtype == images.dtype and out.device == images.device
    strided = torch.stack([images, images], -1)[..., 0]
    assert not strided.is_contiguous()
    assert torch.equal(kernel(strided, *args, **kwargs), out)


def check_functional(images: Any, **kwargs: Any) -> None:
    """A functional takes every kind of image, and agrees with the transform."""
    out = rics_crop(images, K, **kwargs)
    expected = RICSCrop(K, **kwargs)(images)
    if isinstance(images, PIL.Image.Image):
        expected = F.pil_to_tensor(expected)
    assert type(out) is Tensor and torch.equal(out, expected.as_subclass(Tensor))


def check_transform(transform: RICSCrop, sample: Any) -> Any:
    """A transform keeps types and metadata, changes no input, and pickles; structure stays."""
    before = frozen(sample)
    out = transform(sample)
    assert frozen(sample) == before
    leaves, structure = tree_flatten(sample)
    results, same = tree_flatten(out)
    assert structure == same
    plain = not any(
        isinstance(x, tv_tensors.Image | tv_tensors.Video | PIL.Image.Image) for x in leaves
    )
    for leaf, result in zip(leaves, results, strict=True):
        assert type(result) is type(leaf) or isinstance(leaf, PIL.Image.Image)
        if isinstance(leaf, tv_tensors.BoundingBoxes):
            assert (result.format, result.clamping_mode) == (leaf.format, leaf.clamping_mode)
        if isinstance(leaf, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):
            assert result.canvas_size == K and result.shape == leaf.shape
        elif isinstance(leaf, tv_tensors.TVTensor | PIL.Image.Image) or (
            isinstance(leaf, Tensor) and plain
        ):
            assert tuple(F.get_size(result)) == K and result is not leaf
        else:
            assert result is leaf
        if isinstance(leaf, Tensor):
            assert (result.dtype, result.device) == (leaf.dtype, leaf.device)
        elif isinstance(leaf, PIL.Image.Image):
            assert isinstance(result, PIL.Image.Image) and result.mode == leaf.mode
    for twin in (pickle.loads(pickle.dumps(transform)), v2.Compose([transform])):
        assert frozen(twin(sample)) == frozen(out)
    assert frozen(transform(sample)) == frozen(out)
    return out


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("cyclic", [False, True], ids=["realistic", "cyclic"])
@pytest.mark.parametrize("channels", [(), (3,), (2, 3)], ids=str)
def test_kernel(channels: tuple[int, ...], cyclic: bool, dtype: torch.dtype, device: str) -> None:
    images = make_tensor(4, *channels, *N, dtype=dtype, device=device)
    origins = torch.tensor([[0, 0], [12, 12], [5, 0], [1, 11]], device=device)
    check_kernel(crop, images, origins, K, cyclic=cyclic)
    out = crop(images, origins, K, cyclic=cyclic)
    looped = [crop(images[i : i + 1], origins[i : i + 1], K, cyclic=cyclic) for i in range(4)]
    assert torch.equal(out, torch.cat(looped))
    assert torch.equal(out[1], images[1, ..., 12:32, 12:29])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("score", list_scores())
@pytest.mark.parametrize("kind", IMAGES)
def test_transform_of_every_kind(kind: str, score: str, dtype: torch.dtype, device: str) -> None:
    images = IMAGES[kind](dtype=dtype, device=device)
    transform = RICSCrop(K, score=score)
    out = check_transform(transform, images)
    check_functional(images, score=score)
    if kind.endswith("s"):
        single = {"tensors": Tensor, "images": tv_tensors.Image, "videos": tv_tensors.Video}[kind]
        looped = [transform(image.as_subclass(single)) for image in images.as_subclass(Tensor)]
        assert torch.equal(out, torch.stack(looped))
    strided = tree_map(lambda x: torch.stack([x, x], -1)[..., 0], images.as_subclass(Tensor))
    again = transform(tv_tensors.wrap(strided, like=images) if kind[0] in "iv" else strided)
    assert torch.equal(again, out)
    assert torch.equal(out.to("cpu"), transform(images.to("cpu")))


@pytest.mark.parametrize("score", list_scores())
def test_transform_of_pil(score: str) -> None:
    check_transform(RICSCrop(K, score=score), make_image_pil())
    check_functional(make_image_pil(), score=score)
    check_functional(make_image_pil(), score=score, shifts="cyclic")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("image", ["tensor", "image", "video", "pil"])
def test_smoke_of_a_whole_sample(image: str, format: str, device: str) -> None:
    guide = make_image_pil() if image == "pil" else IMAGES[image](device=device)
    sample = {
        "path": "a/b.png",
        "image": guide,
        "masks": [make_mask(device=device), make_mask(5, device=device)],
        "boxes": make_boxes(format, device=device),
        "points": (make_keypoints(device=device), None),
        "weight": 0.5,
        "flag": True,
        "count": 3,
    }
    check_transform(RICSCrop(K), sample)
    assert str(K) in repr(RICSCrop(K))
    if image != "tensor":
        check_transform(RICSCrop(K), {**sample, "label": torch.tensor(3), "other": make_tensor(7)})


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
@pytest.mark.parametrize("kind", ["tensors", "images", "videos"])
def test_smoke_of_a_batch(kind: str, shifts: str, device: str) -> None:
    sample = [IMAGES[kind](device=device), make_mask(4, device=device), "text", None]
    check_transform(RICSCrop(K, shifts=shifts), sample)
