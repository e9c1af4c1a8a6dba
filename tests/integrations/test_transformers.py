"""RICS in image processors of transformers, against slices of what the stock processors return."""

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode

from rics_transforms import (
    Ladder,
    Lattice,
    RICSResizedCrop,
    get_score,
    list_scores,
    locate,
    rics_crop,
)

transformers = pytest.importorskip("transformers")
from transformers import AutoImageProcessor  # noqa: E402

from rics_transforms.integrations.transformers import RICSImageProcessorMixin  # noqa: E402

MODULE = "rics_transforms.integrations.transformers"
FIELD = {"height": 96, "width": 96}
SCORES = [*list_scores(), {"name": "lattice", "patch": "hash"}]

ON_TORCHVISION = issubclass(transformers.ViTImageProcessor, RICSImageProcessorMixin.__base__)


def processor_on_torchvision(name: str) -> Any:
    """A stock processor; in transformers 4 the plain name is that of the one on PIL."""
    return getattr(transformers, f"{name}ImageProcessor" + ("" if ON_TORCHVISION else "Fast"))


ViTImageProcessor, CLIPImageProcessor, BeitImageProcessor = map(
    processor_on_torchvision, ["ViT", "CLIP", "Beit"]
)
STOCK = [
    processor_on_torchvision(name)
    for name in "ViT CLIP Siglip ConvNext Beit Bit Blip DeiT Levit MobileNetV2 PoolFormer".split()
]


STUBBORN = [
    processor_on_torchvision(name)
    for name in ("DINOv3ViT", "EfficientNet")
    if hasattr(transformers, f"{name}ImageProcessor" + ("" if ON_TORCHVISION else "Fast"))
]
"""Those that normalise in a way of their own."""


class RICSViT(RICSImageProcessorMixin, ViTImageProcessor):
    """The processor of most tests."""


class RICSCLIP(RICSImageProcessorMixin, CLIPImageProcessor):
    """With a centre crop."""


@pytest.fixture(scope="module")
def images(photos: Tensor) -> list[Tensor]:
    """Photographs of three shapes."""
    sizes = [(260, 288), (288, 230), (280, 280)]
    return [photo[:, : sizes[i % 3][0], : sizes[i % 3][1]] for i, photo in enumerate(photos)]


def pixels(processor: Any, images: Any, **kwargs: Any) -> Tensor:
    values = processor(images, return_tensors="pt", **kwargs)["pixel_values"]
    assert isinstance(values, Tensor)
    return values


def sliced(stock: Any, image: Tensor, k: tuple[int, int], score: Any = "lattice") -> Tensor:
    """What a stock processor returns, cut out where its unscaled output has the best crop."""
    field = pixels(stock, image, do_rescale=False, do_normalize=False)[0]
    top, left = locate(field, k, score=score).tolist()
    return pixels(stock, image)[0, :, top : top + k[0], left : left + k[1]]


# --- which pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("stock", STOCK, ids=lambda stock: stock.__name__)
def test_the_crop_is_a_slice_of_what_the_stock_processor_returns(
    stock: Any, images: list[Tensor]
) -> None:
    rics = type("RICS" + stock.__name__, (RICSImageProcessorMixin, stock), {})
    expected = [sliced(stock(), image, (160, 130)) for image in images[:3]]
    assert torch.equal(pixels(rics(rics_k=(160, 130)), images[:3]), torch.stack(expected))


@pytest.mark.parametrize("stock", STOCK, ids=lambda stock: stock.__name__)
def test_without_a_k_it_is_the_stock_processor(stock: Any, images: list[Tensor]) -> None:
    rics = type("RICS" + stock.__name__, (RICSImageProcessorMixin, stock), {})
    expected = pixels(stock(), images[:3])
    assert torch.equal(pixels(rics(), images[:3]), expected)
    assert torch.equal(pixels(rics(rics_k=150), images[:3], rics_k=None), expected)


@pytest.mark.parametrize("score", SCORES, ids=str)
def test_every_score_chooses_the_crop_that_locate_chooses(score: Any, images: list[Tensor]) -> None:
    processor = RICSViT(size=FIELD, rics_k=64, rics_score=score)
    options = get_score(**score) if isinstance(score, dict) else score
    expected = [sliced(ViTImageProcessor(size=FIELD), image, (64, 64), options) for image in images]
    assert torch.equal(pixels(processor, images), torch.stack(expected))


@pytest.mark.parametrize("score", SCORES, ids=str)
def test_subpixel_crops_are_those_of_the_core(score: Any, images: list[Tensor]) -> None:
    options = get_score(**score) if isinstance(score, dict) else get_score(score)
    arguments: dict[str, Any] = {"rics_k": 64, "rics_score": score, "rics_subpixel": True}
    if not options.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSViT(size=FIELD, **arguments)
        return
    raw: dict[str, Any] = {"do_rescale": False, "do_normalize": False}
    stock = ViTImageProcessor(size=FIELD)
    fields = pixels(stock, images, **raw)
    crops = rics_crop(fields, 64, score=options, subpixel=True)
    processor = RICSViT(size=FIELD, **arguments)
    assert torch.equal(pixels(processor, images, **raw), crops)
    expected = pixels(stock, list(crops), do_resize=False)
    assert torch.equal(pixels(processor, images), expected)
    assert torch.equal(pixels(RICSViT(size=FIELD), images, **arguments), expected)


def test_a_batch_is_cropped_like_its_images(images: list[Tensor]) -> None:
    processor = RICSCLIP(size=100, crop_size=96, rics_k=64)
    single = torch.cat([pixels(processor, image) for image in images])
    assert torch.equal(pixels(processor, images), single)
    assert torch.equal(pixels(processor, images, disable_grouping=True), single)


def test_every_type_of_image_gives_the_same_crop(images: list[Tensor]) -> None:
    processor = RICSViT(size=FIELD, rics_k=64)
    array = images[0].permute(1, 2, 0).numpy()
    expected = pixels(processor, images[0])
    for image in (array, PIL.Image.fromarray(array), np.ascontiguousarray(images[0].numpy())):
        assert torch.equal(pixels(processor, image), expected)


def test_floats_choose_the_crop_of_their_grey_levels(images: list[Tensor]) -> None:
    options: dict[str, Any] = {"do_resize": False, "rics_k": 200}
    expected = pixels(RICSViT(**options), images[0])
    floats = pixels(RICSViT(**options, do_rescale=False), images[0] / 255)
    torch.testing.assert_close(floats, expected)


def test_a_processor_that_pads_does_so_after_the_crop(images: list[Tensor]) -> None:
    if "pad_size" not in ViTImageProcessor.valid_kwargs.__annotations__:
        pytest.skip(f"ViT's processor of transformers {transformers.__version__} pads no images")
    processor = RICSViT(size=FIELD, rics_k=64, do_pad=True, pad_size={"height": 80, "width": 80})
    expected = torch.zeros(3, 80, 80)
    expected[:, :64, :64] = sliced(ViTImageProcessor(size=FIELD), images[0], (64, 64))
    assert torch.equal(pixels(processor, images[0])[0], expected)


# --- before the resize ---------------------------------------------------------------------------


def resized(stock: Any, images: list[Tensor], size: Any, **options: Any) -> Tensor:
    """Crops of the core, resized as a processor does, and scaled by it."""
    name = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}[stock.resample]
    crop = RICSResizedCrop(size, interpolation=InterpolationMode(name), **options)
    crops = [crop(image) for image in images]
    return pixels(stock, crops, do_resize=False, do_center_crop=False)


@pytest.mark.parametrize("stock", [*STOCK, *STUBBORN], ids=lambda stock: stock.__name__)
def test_a_ratio_replaces_resize_and_centre_crop(stock: Any, images: list[Tensor]) -> None:
    rics = type("RICS" + stock.__name__, (RICSImageProcessorMixin, stock), {})
    found = pixels(rics(rics_ratio=0.75), images[:3])
    assert torch.equal(found, resized(stock(), images[:3], tuple(found.shape[-2:]), ratio=0.75))
    image = torch.zeros(3, 300, 300, dtype=torch.uint8)  # where both have one size
    assert pixels(stock(), image).shape == found[:1].shape
    assert torch.equal(pixels(rics(), images[:3], rics_ratio=0.75), found)


@pytest.mark.parametrize("score", SCORES, ids=str)
@pytest.mark.parametrize("subpixel", [False, True])
def test_every_score_chooses_before_the_resize(
    score: Any, subpixel: bool, images: list[Tensor]
) -> None:
    rule = get_score(**score) if isinstance(score, dict) else get_score(score)
    options: dict[str, Any] = {"rics_score": score, "rics_subpixel": subpixel}
    if subpixel and not rule.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            RICSViT(rics_ratio=0.75, **options)
        return
    processor = RICSViT(size=FIELD, rics_ratio=0.75, rics_field_step=2, **options)
    expected = resized(
        ViTImageProcessor(), images, 96, field=Ladder(2), ratio=0.75, score=rule, subpixel=subpixel
    )
    assert torch.equal(pixels(processor, images), expected)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": {"height": 96, "width": 80}}, (96, 80)),
        ({"size": {"shortest_edge": 100}, "crop_size": {"height": 90, "width": 96}}, (90, 96)),
        ({"size": {"shortest_edge": 100}, "do_center_crop": False}, (100, 100)),
        ({"size": FIELD, "resample": 0}, (96, 96)),
    ],
    ids=str,
)
def test_the_output_has_the_size_of_the_processor(
    settings: Any, size: Any, images: list[Tensor]
) -> None:
    stock = CLIPImageProcessor if "crop_size" in settings else ViTImageProcessor
    rics = RICSCLIP if "crop_size" in settings else RICSViT
    crop = RICSResizedCrop(size)
    crops = []
    for image in images:
        (top, left), (height, width) = crop.locate(image).tolist(), crop.field_of(image.shape[1:]).k
        crops.append(image[:, top : top + height, left : left + width])
    own = {**settings, "size": dict(zip(("height", "width"), size, strict=True))}
    expected = pixels(stock(**own), crops, do_center_crop=False)
    assert torch.equal(pixels(rics(rics_ratio=7 / 8, **settings), images), expected)
    assert torch.equal(pixels(rics(rics_ratio=7 / 8), images, **settings), expected)


def test_what_cannot_replace_the_resize_is_refused(images: list[Tensor]) -> None:
    for settings, message in (
        ({"rics_k": 64}, "but got both, 64 and 0.5"),
        ({"do_resize": False}, "Expected `do_resize` with `rics_ratio`"),
        ({"size": {"longest_edge": 96, "shortest_edge": 90}}, "Expected a `crop_size`, or a"),
        ({"rics_field_step": 1}, "Expected `step` to be a number above 1"),
    ):
        with pytest.raises(ValueError, match=message):
            RICSViT(rics_ratio=0.5, **settings)
        with pytest.raises(ValueError, match=message):
            pixels(RICSViT(rics_ratio=0.5), images, **settings)
    with pytest.raises(ValueError, match="Expected `ratio` to be a positive number of at most 1"):
        RICSViT(rics_ratio=1.5)
    assert pixels(RICSViT(rics_k=64), images, rics_k=None, rics_ratio=0.5).shape[-1] == 224


# --- arguments -----------------------------------------------------------------------------------


def test_a_call_overrides_the_processor_for_itself_alone(images: list[Tensor]) -> None:
    processor, before = RICSViT(size=FIELD, rics_k=64), RICSViT(size=FIELD, rics_k=64).to_dict()
    for k, score in ((80, "lattice"), (64, "hash"), ((50, 60), "saliency")):
        expected = pixels(RICSViT(size=FIELD, rics_k=k, rics_score=score), images[0])
        assert torch.equal(pixels(processor, images[0], rics_k=k, rics_score=score), expected)
    assert processor.to_dict() == before


def test_threads_do_not_see_each_others_crops(images: list[Tensor]) -> None:
    processor = RICSViT(size=FIELD)
    sides = [40 + i % 7 for i in range(70)]
    with ThreadPoolExecutor(8) as pool:
        shapes = pool.map(lambda k: pixels(processor, images[0], rics_k=k).shape[-1], sides)
        assert list(shapes) == sides


@pytest.mark.parametrize("k", [0, -1, (60, 0), (1, 2, 3)])
def test_sides_that_are_none_are_refused(k: Any, images: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="Expected `k` to be"):
        RICSViT(rics_k=k)
    with pytest.raises(ValueError, match="Expected `k` to be"):
        pixels(RICSViT(), images[0], rics_k=k)


def test_arguments_of_another_type_are_refused(images: list[Tensor]) -> None:
    with pytest.raises(TypeError, match="Expected `k` to be"):
        RICSViT(rics_k="64")
    with pytest.raises(TypeError, match="Expected `rics_score` to be a registered name or a dict"):
        RICSViT(rics_k=64, rics_score=Lattice())
    with pytest.raises(TypeError, match="Expected `subpixel` to be True or False"):
        RICSViT(rics_k=64, rics_subpixel="yes")
    for wrong in ({"rics_k": "64"}, {"rics_score": Lattice()}, {"rics_p": 1}):
        with pytest.raises(Exception, match="rics_|`k`"):  # transformers 5 checks types itself
            pixels(RICSViT(rics_k=64), images[0], **wrong)


def test_unknown_scores_and_too_large_crops_are_refused(images: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="Expected `score` to be one of .*'latice'"):
        RICSViT(rics_k=64, rics_score="latice")
    with pytest.raises(ValueError, match=r"at most the image size \(96, 96\), but got \(97, 97\)"):
        pixels(RICSViT(size=FIELD, rics_k=97), images[0])


# --- processors that it does not fit -------------------------------------------------------------


def test_annotations_are_refused_as_they_would_not_follow(images: list[Tensor]) -> None:
    class RICSBeit(RICSImageProcessorMixin, BeitImageProcessor):
        """Takes segmentation maps."""

    maps = images[0][0]
    stock = BeitImageProcessor()(images[0], maps, return_tensors="pt")
    for settings in ({"rics_k": 64}, {"rics_ratio": 0.5}):
        name = next(iter(settings))
        for call in (RICSBeit(**settings), partial(RICSBeit(), **settings)):
            with pytest.raises(ValueError, match=f"Expected only images.*`{name}=None`"):
                call(images[0], maps)
            with pytest.raises(ValueError, match="Expected only images"):
                call(images[0], segmentation_maps=maps)
        free = RICSBeit(**settings)(images[0], maps, **{name: None}, return_tensors="pt")
        assert torch.equal(free["labels"], stock["labels"])


def test_a_processor_that_does_not_normalise_is_refused(images: list[Tensor]) -> None:
    class Plain(ViTImageProcessor):
        def _preprocess(self, images: list[Tensor], *args: Any, **kwargs: Any) -> Any:
            return transformers.BatchFeature({"pixel_values": torch.stack(images)})

    class RICSPlain(RICSImageProcessorMixin, Plain):
        """To be refused."""

    with pytest.raises(ValueError, match="RICSPlain passed 0 images for 1"):
        pixels(RICSPlain(rics_k=64), images[0])


@pytest.mark.parametrize("name", ["DINOv3ViT", "SuperPoint"])
def test_processors_that_normalise_in_their_own_way_are_refused(
    name: str, images: list[Tensor]
) -> None:
    try:
        stock = processor_on_torchvision(name)
    except AttributeError:
        pytest.skip(f"transformers {transformers.__version__} has none of {name} on torchvision")
    rics = type("RICS" + name, (RICSImageProcessorMixin, stock), {})
    assert torch.equal(pixels(rics(), images[0]), pixels(stock(), images[0]))
    with pytest.raises(ValueError, match=f"RICS{name} passed 0 images for 1"):
        pixels(rics(rics_k=64), images[0])


def test_processors_on_pil_are_refused() -> None:
    with pytest.raises(TypeError, match="Expected a processor that runs on torchvision"):
        on_pil = "ViTImageProcessorPil" if ON_TORCHVISION else "ViTImageProcessor"
        type("RICSPil", (RICSImageProcessorMixin, getattr(transformers, on_pil)), {})


# --- saving and loading --------------------------------------------------------------------------


@pytest.mark.parametrize(("patch", "subpixel"), [("hash", False), ("saliency", True)])
@pytest.mark.parametrize("crop", [{"rics_k": (60, 64)}, {"rics_ratio": 0.7, "rics_field_step": 2}])
def test_a_saved_processor_crops_alike(
    crop: Any, patch: str, subpixel: bool, tmp_path: Path, images: list[Tensor]
) -> None:
    score = {"name": "lattice", "patch": patch}
    processor = RICSCLIP(**crop, rics_score=score, rics_subpixel=subpixel)
    processor.save_pretrained(tmp_path)
    expected = pixels(processor, images[0])
    for loaded in (
        RICSCLIP.from_pretrained(tmp_path),
        AutoImageProcessor.from_pretrained(tmp_path),
        pickle.loads(pickle.dumps(processor)),
    ):
        assert type(loaded) is RICSCLIP and loaded.rics_subpixel is subpixel
        assert json.loads(loaded.to_json_string()) == json.loads(processor.to_json_string())
        assert torch.equal(pixels(loaded, images[0]), expected)
    other = AutoImageProcessor.from_pretrained(tmp_path, rics_k=50, rics_ratio=None)
    assert (other.rics_k, other.rics_ratio) == (50, None)


LOAD = """
import sys, torch
from transformers import AutoImageProcessor
processor = AutoImageProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
print(type(processor).__name__, processor.rics_k)
image = torch.zeros(3, 300, 400, dtype=torch.uint8)
print(*processor(image, return_tensors="pt")["pixel_values"][0].shape)
"""


@pytest.mark.slow
def test_a_fresh_process_finds_the_class_in_the_folder(tmp_path: Path) -> None:
    RICSViT(size=FIELD, rics_k=64).save_pretrained(tmp_path / "saved")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, str(tmp_path / "saved")],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["RICSViT", "64", "3", "64", "64"]


def test_a_class_with_methods_of_its_own_is_not_written(tmp_path: Path) -> None:
    methods = {"resize": lambda self, *args, **kwargs: RICSViT.resize(self, *args, **kwargs)}
    own = type("RICSOwn", (RICSImageProcessorMixin, ViTImageProcessor), methods)
    own(rics_k=64).save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.py"))


def test_without_a_choice_there_is_a_warning() -> None:
    with pytest.warns(UserWarning, match="nothing is protected. Enlarge `size`"):
        RICSViT(rics_k=224)
    with pytest.warns(UserWarning, match="nothing is protected"):
        RICSCLIP(rics_k=224)
    RICSViT(size={"shortest_edge": 224}, rics_k=224)  # the other side may be longer


def test_the_stock_class_drops_the_crop_silently(tmp_path: Path, images: list[Tensor]) -> None:
    RICSViT(rics_k=64).save_pretrained(tmp_path)
    stock = ViTImageProcessor.from_pretrained(tmp_path)
    assert torch.equal(pixels(stock, images[0]), pixels(ViTImageProcessor(), images[0]))


def test_registration_leaves_the_stock_processors_alone(tmp_path: Path) -> None:
    ViTImageProcessor().save_pretrained(tmp_path)
    assert type(AutoImageProcessor.from_pretrained(tmp_path)) is ViTImageProcessor


def test_a_class_defined_again_replaces_the_first(tmp_path: Path) -> None:
    classes = [type("RICSAgain", (RICSImageProcessorMixin, ViTImageProcessor), {}) for _ in "ab"]
    classes[1](rics_k=64).save_pretrained(tmp_path)
    assert type(AutoImageProcessor.from_pretrained(tmp_path)) is classes[1]
