"""Check the compiled module of the installed wheel on its own, even where there is no torch.

A build that cannot compile it succeeds without it, which must not happen to a platform wheel.
"""

from array import array
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import files
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

WIDTH = 5
IMAGE = array("B", range(4 * WIDTH))


def compiled_module() -> ModuleType:
    """The module from the wheel, imported without the package around it."""
    installed = [Path(str(file.locate())) for file in files("rics-transforms") or ()]
    suffixes = tuple(EXTENSION_SUFFIXES)
    (path,) = (p for p in installed if p.name.startswith("_native") and p.name.endswith(suffixes))
    spec = spec_from_file_location("_native", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def address(values: array) -> int:  # type: ignore[type-arg]
    """Where the values lie in memory."""
    return values.buffer_info()[0]


def check_crop(native: ModuleType) -> None:
    """A window of 2 x 3 pixels of one image, which wraps around at both borders."""
    plan = array("q", [1, 4, WIDTH, 2, 3, 1]).tobytes()
    origin, crop = array("q", [3, 3]), array("B", bytes(6))
    native.crop(address(IMAGE), plan, address(origin), 1, address(crop))
    expected = [IMAGE[y % 4 * WIDTH + x % WIDTH] for y in (3, 4) for x in (3, 4, 5)]
    assert crop.tolist() == expected, crop


def check_quantise(native: ModuleType) -> None:
    """Every grey level comes back from its float."""
    levels = array("B", bytes(256))
    floats = array("f", [level / 255 for level in range(256)])
    assert native.quantise(address(floats), 256, address(levels))
    assert levels.tolist() == list(range(256)), levels


if __name__ == "__main__":
    module = compiled_module()
    check_crop(module)
    check_quantise(module)
    print(f"{module.__file__} works")
