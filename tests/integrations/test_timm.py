"""RICS in timm's evaluation chain, against timm's own chains and slices of their crops."""

import weakref
from typing import Any

import PIL.Image
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import transforms

from rics_transforms import Ladder, RICSResizedCrop, Score, locate, rics_crop

timm = pytest.importorskip("timm")
from timm.data import create_loader, resolve_data_config  # noqa: E402, once timm is there
from timm.data import create_transform as stock_transform  # noqa: E402

from rics_transforms.integrations.timm import (  # noqa: E402
    create_resized_transform,
    create_transform,
    crop_loader,
    resized_crop_loader,
)

MODULE = "rics_transforms.integrations.timm"
MODES = ["center", "squash", "border"]
BICUBIC = transforms.InterpolationMode.BICUBIC
CPU = torch.device("cpu")
CHAINS = pytest.mark.parametrize("create", [create_transform, create_resized_transform])
LOADERS = [crop_loader, resized_crop_loader]


def data_config(**changes: Any) -> dict[str, Any]:
    """A config of timm with a small input."""
    config = resolve_data_config({"input_size": (3, 96, 96), "crop_pct": 0.95})
    return {**config, **changes}


@pytest.fixture(scope="module")
def images(photos: Tensor) -> list[PIL.Image.Image]:
    """Photographs of three shapes."""
    sizes = [(260, 288), (288, 230), (280, 280)]
    return [
        transforms.functional.to_pil_image(photo[:, : sizes[i % 3][0], : sizes[i % 3][1]])
        for i, photo in enumerate(photos)
    ]


def field_of(image: PIL.Image.Image, field: int, resized: int, mode: str) -> Tensor:
    """What timm's own chain makes of an image: resized, then its centre: uint8 ``[3, n, n]``."""
    chain = stock_transform(
        **data_config(input_size=(3, resized, resized), crop_pct=1.0, crop_mode=mode),
        use_prefetcher=True,
    )
    return transforms.CenterCrop(field)(chain(image))


def crop_of(field: Tensor, k: int, score: Any = "lattice") -> Tensor:
    top, left = locate(field, k, score=score).tolist()
    return field[:, top : top + k, left : left + k]


def normalized(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(data_config()[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    return (pixels / 255 - mean) / std


# --- which pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("input_size", [(3, 96, 96), (3, 96, 72)], ids=str)
@pytest.mark.parametrize("crop_pct", [0.8, 0.95, 1.0])
def test_with_a_field_of_size_k_it_is_the_chain_of_timm(
    mode: str, input_size: Any, crop_pct: float, images: list[PIL.Image.Image]
) -> None:
    config = data_config(input_size=input_size, crop_mode=mode, crop_pct=crop_pct)
    ours, stock = create_transform(config, n=input_size[1:]), stock_transform(**config)
    for image in images[:3]:
        assert torch.equal(ours(image), stock(image))


@pytest.mark.parametrize("mode", MODES)
def test_every_score_chooses_the_crop_that_locate_chooses(
    mode: str, every_score: Score, images: list[PIL.Image.Image]
) -> None:
    config = data_config(crop_mode=mode)
    transform = create_transform(config, score=every_score, use_prefetcher=True)
    for image in images:
        field = field_of(image, 109, 109, mode)
        assert torch.equal(transform(image), crop_of(field, 96, every_score))


def test_subpixel_crops_are_those_of_the_core(
    every_score: Score, images: list[PIL.Image.Image]
) -> None:
    options: Any = {"score": every_score, "subpixel": True}
    if not every_score.smooth:
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            create_transform(data_config(), **options)
        with pytest.raises(ValueError, match="Expected a smooth score with subpixel=True"):
            crop_loader(loader_of(images), **options)
        return
    fields = torch.stack([field_of(image, 109, 109, "center") for image in images])
    expected = rics_crop(fields, 96, **options)
    transform = create_transform(data_config(), use_prefetcher=True, **options)
    assert torch.equal(torch.stack([transform(image) for image in images]), expected)
    in_workers = crops_of(crop_loader(loader_of(images), **options))
    on_device = crops_of(crop_loader(loader_of(images), on_device=True, **options))
    assert torch.equal(in_workers, on_device)
    torch.testing.assert_close(on_device, normalized(expected))


@pytest.mark.parametrize("mode", MODES)
def test_a_smaller_crop_comes_out_of_timms_own_and_is_resized(
    mode: str, images: list[PIL.Image.Image]
) -> None:
    transform = create_transform(data_config(crop_mode=mode), 60, use_prefetcher=True)
    for image in images[:3]:
        crop = transforms.functional.to_pil_image(crop_of(field_of(image, 96, 101, mode), 60))
        resized = crop.resize((96, 96), PIL.Image.Resampling.BICUBIC)
        assert torch.equal(transform(image), transforms.functional.pil_to_tensor(resized))


def test_without_the_prefetcher_tensors_come_out_normalized(images: list[PIL.Image.Image]) -> None:
    pixels = create_transform(data_config(), use_prefetcher=True)(images[0])
    torch.testing.assert_close(create_transform(data_config())(images[0]), normalized(pixels))


# --- chosen before the resize --------------------------------------------------------------------


def resized_crops(images: list[PIL.Image.Image], config: dict[str, Any], **options: Any) -> Tensor:
    """What the core makes of photographs, as bytes, interpolated as timm does."""
    interpolation = stock_transform(**config).transforms[0].interpolation
    crop = RICSResizedCrop(config["input_size"][1:], interpolation=interpolation, **options)
    return torch.stack([transforms.functional.pil_to_tensor(crop(image)) for image in images])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("input_size", [(3, 96, 96), (3, 96, 72)], ids=str)
def test_a_resized_crop_replaces_resize_and_centre_crop(
    mode: str, input_size: Any, every_score: Score, images: list[PIL.Image.Image]
) -> None:
    """Whatever the mode, which is that of what was replaced."""
    config = data_config(input_size=input_size, crop_mode=mode)
    transform = create_resized_transform(config, score=every_score, use_prefetcher=True)
    expected = resized_crops(images[:4], config, score=every_score)
    assert torch.equal(torch.stack([transform(image) for image in images[:4]]), expected)
    floats = create_resized_transform(config, score=every_score)(images[0])
    torch.testing.assert_close(floats, normalized(expected[0]))


@pytest.mark.parametrize(
    "options", [{"field": Ladder(2)}, {"field": 200}, {"ratio": 0.5}, {"subpixel": True}], ids=str
)
def test_options_reach_the_resized_crop(options: Any, images: list[PIL.Image.Image]) -> None:
    expected = resized_crops(images, data_config(), **options)
    transform = create_resized_transform(data_config(), use_prefetcher=True, **options)
    assert torch.equal(torch.stack([transform(image) for image in images]), expected)
    loader = resized_crop_loader(loader_of(images), **options)
    torch.testing.assert_close(crops_of(loader), normalized(expected))
    plain = resized_crop_loader(loader_of(images, use_prefetcher=False), **options)
    torch.testing.assert_close(crops_of(plain), normalized(expected))


def test_what_stands_before_the_resize_is_kept(images: list[PIL.Image.Image]) -> None:
    options: Any = {"crop_border_pixels": 20, "interpolation": "nearest", "use_prefetcher": True}
    image = transforms.functional.center_crop(images[2], [240, 240])
    expected = RICSResizedCrop(96, interpolation=transforms.InterpolationMode.NEAREST)(image)
    found = create_resized_transform(data_config(), **options)(images[2])
    assert torch.equal(found, transforms.functional.pil_to_tensor(expected))


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "crop_pct", "k", "field", "resized", "expected_field", "second"),
    [
        (224, 0.875, None, None, 256, 256, False),  # as large as timm's resize
        (224, 0.95, None, None, 256, 256, False),  # where timm resizes to 235
        (224, 1.0, 224, None, 256, 256, False),
        (224, 0.8, None, None, 280, 280, False),  # all that timm's resize leaves
        (384, 1.0, None, None, 438, 438, False),
        (224, 0.95, 140, None, 235, 224, True),  # the paper's, rounded down like timm
        (224, 224 / 236, 140, None, 236, 224, True),  # rounded up
        (224, 0.95, 140, 180, 235, 180, True),
        (224, 0.95, 140, 300, 300, 300, True),
        (224, 0.95, 256, None, 292, 292, True),  # larger than the input
    ],
)
def test_sizes(
    size: int,
    crop_pct: float,
    k: int | None,
    field: int | None,
    resized: int,
    expected_field: int,
    second: bool,
) -> None:
    config = data_config(input_size=(3, size, size), crop_pct=crop_pct)
    first, center, crop, *rest = create_transform(config, k, n=field).transforms
    assert first.size == resized
    assert center.size == (expected_field, expected_field)
    assert crop.k == (k or size, k or size)
    assert [step.size for step in rest if isinstance(step, transforms.Resize)] == (
        [(size, size)] if second else []
    )


@pytest.mark.parametrize("mode", MODES)
def test_sizes_that_are_not_square(mode: str) -> None:
    config = data_config(input_size=(3, 1024, 768), crop_pct=1.0, crop_mode=mode)
    first, center, crop = create_transform(config).transforms[:3]
    assert first.size == center.size == (1170, 877)
    assert crop.k == (1024, 768)


def test_a_field_that_is_not_square_fits_into_the_resized_image() -> None:
    first, center, *_ = create_transform(data_config(), 60, n=(110, 140)).transforms
    assert (first.size, center.size) == (140, (110, 140))


# --- where the chain comes from ------------------------------------------------------------------


@CHAINS
def test_a_model_its_name_and_its_config_give_the_same_chain(create: Any) -> None:
    model = timm.create_model("resnet18")
    config = resolve_data_config(model=model)
    assert len({repr(create(source)) for source in (model, "resnet18", config)}) == 1


def test_options_come_before_the_source() -> None:
    first, _, crop, *_ = create_transform(
        "resnet18", crop_pct=0.8, input_size=(3, 96, 96)
    ).transforms
    assert (first.size, crop.k) == (120, (96, 96))


def test_options_reach_timm(images: list[PIL.Image.Image]) -> None:
    options = {"crop_border_pixels": 20, "interpolation": "nearest", "crop_mode": "squash"}
    ours = create_transform(data_config(), n=96, **options)
    stock = stock_transform(**{**data_config(), **options})
    assert torch.equal(ours(images[0]), stock(images[0]))


# --- a crop that the model gets as it is ---------------------------------------------------------


def test_direct_crops_for_a_model_that_accepts_them(images: list[PIL.Image.Image]) -> None:
    model = timm.create_model("test_resnet", num_classes=5).eval()
    pixels = create_transform(model, 100, resize=False)(images[0])
    assert pixels.shape == (3, 100, 100)
    assert model(pixels[None]).shape == (1, 5)


def test_a_model_for_any_size_needs_its_own_option() -> None:
    with pytest.raises(ValueError, match=r"accepts \(100, 100\), but it says: .*100.*resize=True"):
        create_transform(timm.create_model("test_vit"), 100, resize=False)
    dynamic = timm.create_model("test_vit", dynamic_img_size=True, dynamic_img_pad=True)
    assert create_transform(dynamic, 100, resize=False).transforms[2].k == (100, 100)


def test_the_model_is_left_as_it_was() -> None:
    model = timm.create_model("test_resnet").train()
    model.bn1.eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    create_transform(model, 100, resize=False)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("source", ["resnet18", data_config()], ids=["name", "config"])
def test_only_a_model_can_say_what_it_accepts(source: Any) -> None:
    with pytest.raises(ValueError, match="Expected a model for `resize=False`"):
        create_transform(source, 64, resize=False)
    input_size = data_config()["input_size"]
    create_transform(source, resize=False, input_size=input_size)  # nothing to try


# --- behind create_loader ------------------------------------------------------------------------


class Images(Dataset[Any]):
    """A dataset as `create_loader` takes it."""

    def __init__(self, images: list[PIL.Image.Image]) -> None:
        self.images = images
        self.transform: Any = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.images[index]), index


def loader_of(images: list[PIL.Image.Image], **changes: Any) -> Any:
    options = {"batch_size": 4, "num_workers": 0, "persistent_workers": False, "device": CPU}
    return create_loader(Images(images), **{**options, **data_config(), **changes})


def crops_of(loader: Any) -> Tensor:
    batches = list(loader)
    assert torch.equal(torch.cat([indices for _, indices in batches]), torch.arange(13))
    return torch.cat([pixels for pixels, _ in batches])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_prefetching_loader_crops_in_its_workers_or_on_the_device(
    mode: str, on_device: bool, num_workers: int, images: list[PIL.Image.Image]
) -> None:
    loader = loader_of(images, crop_mode=mode, num_workers=num_workers)
    assert crop_loader(loader, on_device=on_device, score="hash") is loader
    assert len(loader) == 4
    expected = [crop_of(field_of(image, 109, 109, mode), 96, "hash") for image in images]
    torch.testing.assert_close(crops_of(loader), normalized(torch.stack(expected)))


def test_a_loader_without_the_prefetcher(images: list[PIL.Image.Image]) -> None:
    loader = crop_loader(loader_of(images, use_prefetcher=False))
    expected = [crop_of(field_of(image, 109, 109, "center"), 96) for image in images]
    torch.testing.assert_close(crops_of(loader), normalized(torch.stack(expected)))


def test_on_the_device_crops_are_resized_as_tensors(images: list[PIL.Image.Image]) -> None:
    bicubic = transforms.Resize((96, 96), BICUBIC)
    fields = [field_of(image, 96, 101, "center") for image in images]
    expected = normalized(torch.stack([bicubic(crop_of(field, 60)) for field in fields]))
    on_device = crops_of(crop_loader(loader_of(images), 60, on_device=True))
    torch.testing.assert_close(on_device, expected)
    in_workers = crops_of(crop_loader(loader_of(images), 60))
    assert 0 < (in_workers - on_device).abs().max() < 0.1  # PIL rounds otherwise


def test_a_wrapped_loader_still_answers_timm(images: list[PIL.Image.Image]) -> None:
    loader = loader_of(images)
    sampler, dataset = loader.sampler, loader.dataset
    crop_loader(loader, on_device=True)
    assert loader.sampler is sampler
    assert loader.dataset is dataset
    assert not loader.mixup_enabled


def test_the_crops_of_a_batch_stay_alive_until_the_next_is_read(
    images: list[PIL.Image.Image],
) -> None:
    """PrefetchLoader reads them in another stream, and joins it only before the next batch."""
    batches = iter(crop_loader(loader_of(images), on_device=True).loader)
    crops = weakref.ref(next(batches)[0])
    assert crops() is not None
    next(batches)
    assert crops() is None


# --- what is refused -----------------------------------------------------------------------------


@CHAINS
@pytest.mark.parametrize(
    ("option", "reason"),
    [("is_training", "none"), ("separate", "training"), ("naflex", "crops nothing")],
)
def test_refused_options(option: str, reason: str, create: Any) -> None:
    with pytest.raises(ValueError, match=f"Expected no `{option}`: .*{reason}"):
        create("resnet18", **{option: True})
    create("resnet18", **{option: False})


@pytest.mark.parametrize(("k", "field"), [(140, 139), ((90, 100), (100, 90)), (300, 256)])
def test_a_crop_larger_than_the_field_is_refused(k: Any, field: Any) -> None:
    with pytest.raises(ValueError, match="Expected `k` to be at most `n`"):
        create_transform("resnet18", k, n=field)


def test_a_refused_loader_is_left_as_it_was(images: list[PIL.Image.Image]) -> None:
    loader = loader_of(images)
    before = repr(loader.dataset.transform)
    with pytest.raises(ValueError, match="Expected `k` to be at most `n`"):
        crop_loader(loader, 96, n=90)
    assert repr(loader.dataset.transform) == before


@pytest.mark.parametrize("field", [256.0, "256", (256, 256, 256)])
def test_a_field_that_is_no_size_is_refused(field: Any) -> None:
    with pytest.raises(TypeError, match="Expected `n` to be an int or a pair"):
        create_transform("resnet18", n=field)


@CHAINS
def test_unknown_sources_are_refused(create: Any) -> None:
    with pytest.raises(ValueError, match="Expected the name of a timm model .*'resnet1'"):
        create("resnet1")
    with pytest.raises(ValueError, match="with a `pretrained_cfg`.*Linear"):
        create(nn.Linear(1, 1))


@pytest.mark.parametrize("options", [{"is_training": True}, {"use_prefetcher": False}])
def test_loaders_that_cannot_crop_on_the_device_are_refused(
    options: Any, images: list[PIL.Image.Image]
) -> None:
    with pytest.raises(ValueError, match="Expected (timm's chain|a loader with `use_prefetcher)"):
        crop_loader(loader_of(images, **options), on_device=True)


@pytest.mark.parametrize("first", LOADERS)
@pytest.mark.parametrize("second", LOADERS)
def test_a_loader_is_changed_only_once(
    first: Any, second: Any, images: list[PIL.Image.Image]
) -> None:
    loader = first(loader_of(images))
    before = list(loader.dataset.transform.transforms)
    with pytest.raises(ValueError, match="one centre crop"):
        second(loader)
    assert loader.dataset.transform.transforms == before


@pytest.mark.parametrize("change", LOADERS)
def test_floats_before_fast_collate_are_refused(change: Any, images: list[PIL.Image.Image]) -> None:
    loader = loader_of(images)
    loader.dataset.transform = stock_transform(**data_config())
    with pytest.raises(ValueError, match="fast_collate truncates"):
        change(loader)
