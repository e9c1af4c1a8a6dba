"""kornia's own tests of augmentations, run against `RICSCrop`.

    python tests/integrations/peers/kornia_suite.py path/to/kornia

The path is a checkout of github.com/kornia/kornia (0.9.0 or later), whose tests are not in its
wheel. From it come `CommonTests`, the generic tests of a transform, and the tests of `torch.export`
and ONNX export; the kornia under test is the installed one.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import torch

from rics_transforms import locate

SOURCE = os.environ.get("RICS_KORNIA_SOURCE")


def load(name: str) -> ModuleType:
    """A file of kornia's tests/augmentation."""
    path = Path(str(SOURCE), "tests", "augmentation", f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if SOURCE:  # not while doctests are collected
    from rics_transforms.integrations.kornia import RICSCrop

    sys.path.append(SOURCE)  # for kornia's `testing` package; last, as `kornia` lies there too
    common, export, onnx = map(load, ("test_augmentation", "test_torch_export", "test_onnx_export"))

    @pytest.fixture
    def device() -> torch.device:
        return torch.device("cpu")

    @pytest.fixture(params=[torch.float32, torch.float64], ids=str)
    def dtype(request: pytest.FixtureRequest) -> torch.dtype:
        return request.param

    class TestRICSCrop(common.CommonTests):
        _augmentation_cls = RICSCrop
        _default_param_set: ClassVar = {"k": (2, 2)}

        @pytest.fixture(params=[{}, {"k": 3}, {"score": "hash"}, {"shifts": "cyclic"}], ids=str)
        def param_set(self, request: pytest.FixtureRequest) -> dict:
            return {**self._default_param_set, **request.param}

        @pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 3, 4, 5)], ids=str)
        def test_cardinality(self, shape: tuple[int, ...]) -> None:
            batched = (1,) * (4 - len(shape)) + shape
            self._test_cardinality_implementation(
                input_shape=shape,
                expected_output_shape=(*batched[:2], 2, 2),
                params=self._default_param_set,
            )

        @pytest.mark.parametrize("shifts", ["realistic", "cyclic"])
        def test_random_p_1(self, shifts: str) -> None:
            image = torch.rand(1, 3, 12, 12)
            k = 5
            top, left = locate(image, k, shifts=shifts)[0].tolist()
            matrix = torch.tensor([[[1, 0, -left], [0, 1, -top], [0, 0, 1]]], dtype=self.dtype)
            self._test_random_p_1_implementation(
                input_tensor=image,
                expected_output=image.roll((-top, -left), (-2, -1))[..., :k, :k],
                expected_transformation=matrix,
                params={"k": k, "shifts": shifts},
            )

    def make() -> RICSCrop:
        return RICSCrop(24)

    def test_torch_export() -> None:
        export.test_torch_export_deterministic("RICSCrop", make)

    def test_torch_export_in_a_container() -> None:
        container = common.AugmentationSequential
        export.test_torch_export_container("RICSCrop", lambda: container(make()))

    def test_onnx_export_is_refused() -> None:
        """kornia's test asks torch.onnx.export, whose graphs would choose other crops."""
        with pytest.raises(Exception, match="exported by rics_transforms.export"):
            onnx.test_onnx_export_exportable("RICSCrop", make)


if __name__ == "__main__":
    os.environ["RICS_KORNIA_SOURCE"] = str(Path(sys.argv[1]).resolve())
    options = ["-rs", "--noconftest", "-c", os.devnull, "--rootdir", str(Path(__file__).parent)]
    kornia_marks = "markers=slow"
    sys.exit(pytest.main([*options, "-p", "no:cacheprovider", "-o", kornia_marks, __file__]))
