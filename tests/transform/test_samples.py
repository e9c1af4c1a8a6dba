"""Nested samples, which of their images decides, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from rics_transforms import RICSCrop, locate

from ..conftest import random_image
from .inputs import ANNOTATIONS, K, N, pil, window


def test_nested_samples() -> None:
    image = tv_tensors.Image(random_image(3, *N))
    label, array = torch.tensor(3), np.zeros(3)
    sample = {
        "name": "first",
        "inputs": [image, (tv_tensors.Mask(random_image(*N)), None)],
        "label": label,
        "array": array,
        "boxes": ANNOTATIONS["boxes"](N),
        "rate": 0.5,
    }
    out = RICSCrop(K)(sample)
    assert list(out) == list(sample)
    assert out["name"] == "first" and out["rate"] == 0.5 and out["inputs"][1][1] is None
    assert out["label"] is label and out["array"] is array
    assert out["inputs"][0].shape == (3, *K) and out["inputs"][1][0].shape == K
    assert isinstance(out["inputs"], list) and isinstance(out["inputs"][1], tuple)


def test_the_first_image_decides() -> None:
    first, second = random_image(3, *N), random_image(3, *N, seed=1)
    origin = locate(first, K)
    assert not torch.equal(origin, locate(second, K))
    out = RICSCrop(K)(tv_tensors.Mask(second), tv_tensors.Image(first), tv_tensors.Image(second))
    assert torch.equal(out[1].as_subclass(Tensor), window(first, origin))
    assert torch.equal(out[0].as_subclass(Tensor), window(second, origin))
    assert torch.equal(out[2].as_subclass(Tensor), window(second, origin))
    pair = RICSCrop(K)({"left": F.to_pil_image(first), "right": F.to_pil_image(second)})
    assert torch.equal(F.pil_to_tensor(pair["right"]), window(second, origin))


@pytest.mark.parametrize("kind", ["tensor", "image", "pil"])
def test_a_list_of_images_is_no_batch_and_says_so(kind: str) -> None:
    make: Any = {"tensor": torch.clone, "image": tv_tensors.Image, "pil": F.to_pil_image}[kind]
    first, second = make(random_image(3, *N)), make(random_image(3, *N, seed=1))
    crop = RICSCrop(K)
    for sample in ([first, second], (first, second), ([first, 7], second), [[first, second], 1]):
        with pytest.warns(UserWarning, match="one image per sample, but got 2 of one size") as seen:
            out = crop(sample)
        assert type(out) is type(sample)
        assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="on a batch"):
        crop(first, second)
    crop({"first": first, "second": second})  # names say that they belong together
    crop(first, second, tv_tensors.Mask(random_image(*N)))
    crop(first, torch.tensor(3), torch.zeros(10))  # labels
    crop([first, first])


@pytest.mark.parametrize("other", ANNOTATIONS)
@pytest.mark.parametrize("guide", ["image", "pil", "video", "tensor"])
def test_sizes_must_agree(guide: str, other: str) -> None:
    first = random_image(3, *N) if guide == "tensor" else ANNOTATIONS[guide](N)
    if guide == "pil":
        first = pil("RGB")
    if guide == "tensor" and other in ("image", "pil", "video"):
        pytest.skip("a plain tensor passes through beside an explicit image")
    for size in ((N[0], N[1] + 1), N[::-1]):
        with pytest.raises(ValueError, match="size"):
            RICSCrop(K)({"first": first, "other": ANNOTATIONS[other](size)})
    assert len(RICSCrop(K)({"first": first, "other": ANNOTATIONS[other](N)})) == 2


def test_pil_mask_before_its_image_is_refused() -> None:
    image, mask = pil("RGB"), pil("L")
    for first in ("L", "1", "P", "I;16"):
        with pytest.raises(ValueError, match=r"tv_tensors\.Mask"):
            RICSCrop(K)(pil(first), image)
    with pytest.raises(ValueError, match=r"tv_tensors\.Mask"):
        RICSCrop(K)({"a": mask, "b": image})
    out = RICSCrop(K)(image, mask)
    top, left = RICSCrop(K).locate(image).tolist()
    assert out[1].tobytes() == mask.crop((left, top, left + K[1], top + K[0])).tobytes()
    wrapped = RICSCrop(K)(tv_tensors.Mask(F.pil_to_tensor(mask)), image)
    assert torch.equal(wrapped[0].as_subclass(Tensor), F.pil_to_tensor(out[1]))


def test_second_plain_tensor_passes_through() -> None:
    first, second = random_image(3, *N), random_image(3, *N, seed=1)
    out = RICSCrop(K)({"first": first, "second": second})
    assert out["first"].shape == (3, *K) and out["second"] is second
    out = RICSCrop(K)({"first": first, "second": tv_tensors.Image(second)})
    assert out["first"] is first and out["second"].shape == (3, *K)
    assert RICSCrop(K)({"first": first, "second": pil("RGB")})["first"] is first


@pytest.mark.parametrize("label", [torch.tensor(3), torch.arange(8), torch.zeros(8, 2)], ids=str)
def test_a_label_taken_for_the_image_is_a_clear_error(label: Tensor) -> None:
    with pytest.raises(ValueError, match=r"Expected `images` to have shape \[\.\.\., C, H, W\]"):
        RICSCrop(K)(label, random_image(3, *N))
    assert RICSCrop(K)(label, tv_tensors.Image(random_image(3, *N)))[0] is label


@pytest.mark.parametrize("label", [torch.tensor(3), torch.arange(8)], ids=str)
def test_a_label_taken_for_the_image_beside_a_mask_is_the_same_error(label: Tensor) -> None:
    with pytest.raises(ValueError, match=r"Expected `images` to have shape \[\.\.\., C, H, W\]"):
        RICSCrop(K)(label, random_image(3, *N), tv_tensors.Mask(random_image(*N)))


@pytest.mark.parametrize(
    "sample",
    [("a", 3, None), [], {}, [np.zeros((40, 36, 3))], {"mask": ANNOTATIONS["mask"](N)}]
    + [[ANNOTATIONS[kind](N)] for kind in ("boxes", "keypoints")],
    ids=lambda sample: type(sample).__name__,
)
def test_no_image_is_a_type_error(sample: Any) -> None:
    with pytest.raises(TypeError, match="an image or a video"):
        RICSCrop(K)(sample)


def test_wrong_inputs() -> None:
    image = random_image(3, *N)
    with pytest.raises(ValueError, match=r"at most the image size .* by v2\.Resize for example"):
        RICSCrop((41, 10))(image)
    with pytest.raises(ValueError, match="at most the image size"):
        RICSCrop((10, 37), shifts="cyclic")(F.to_pil_image(image))
    with pytest.raises(TypeError, match="real"):
        RICSCrop(K)(image.to(torch.complex64))
    for bad in (float("nan"), float("inf")):
        poisoned = image / 255
        poisoned[1, 2, 3] = bad
        with pytest.raises(ValueError, match="finite"):
            RICSCrop(K)(poisoned)
    with pytest.raises(ValueError, match="image size"):
        locate(image.numpy(), K)  # channels must come last
    with pytest.raises(TypeError, match="but got list"):
        locate([image], K)  # type: ignore[call-overload]
    for shape in ((40, 36), (0, *N), (3, 0, 36), (36,)):
        with pytest.raises(ValueError, match=r"\[\.\.\., C, H, W\]"):
            locate(torch.zeros(shape), K)
    with pytest.raises(ValueError, match=r"\[\.\.\., T, C, H, W\]"):
        locate(tv_tensors.Video(random_image(0, 3, *N)), K)


def test_wrong_arguments() -> None:
    for k in ("a", 1.5, None, True, (3, "b")):
        with pytest.raises(TypeError, match="`k`"):
            RICSCrop(k)  # type: ignore[arg-type]
    for size in (0, -3, (3, 0), (1, 2, 3), ()):
        with pytest.raises(ValueError, match="`k`"):
            RICSCrop(size)
    with pytest.raises(ValueError, match="did you mean 'lattice'"):
        RICSCrop(3, score="latice")
    with pytest.raises(ValueError, match="'realistic' or 'cyclic'"):
        RICSCrop(3, shifts="circular")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RICSCrop(3, "lattice")  # type: ignore[misc]
    assert RICSCrop(np.int64(3)).k == (3, 3)


def test_origins_are_made_once_per_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[Any]] = []
    original = RICSCrop.make_params

    def counted(self: RICSCrop, flat_inputs: list[Any]) -> dict[str, Any]:
        calls.append(flat_inputs)
        return original(self, flat_inputs)

    monkeypatch.setattr(RICSCrop, "make_params", counted)
    located: list[Any] = []
    inner = RICSCrop.locate
    monkeypatch.setattr(
        RICSCrop, "locate", lambda self, images: located.append(images) or inner(self, images)
    )
    image = tv_tensors.Image(random_image(3, *N))
    sample = [image, *(ANNOTATIONS[kind](N) for kind in ANNOTATIONS), "text"]
    RICSCrop(K)(sample)
    assert len(calls) == 1 and len(calls[0]) == 7
    assert len(located) == 1 and located[0] is image


def test_make_params_returns_what_locate_does() -> None:
    transform = RICSCrop(K)
    images = random_image(4, 3, *N)
    assert torch.equal(transform.make_params([images])["origins"], transform.locate(images))
    params = {"origins": torch.tensor([3, 5])}
    crop = transform.transform(tv_tensors.Image(images[0]), params)
    assert torch.equal(crop.as_subclass(Tensor), images[0, :, 3:27, 5:27])
    with pytest.raises(ValueError, match="inside the image"):  # F.crop would pad with zeros
        transform.transform(images[0], {"origins": torch.tensor([30, 5])})
