"""Goes through a folder of odd image files: each is read as Pillow reads it, or refused.

    make odd-files IMAGES=FOLDER

Such a folder is Tests/images of Pillow's own repository. For every file that is read, the image
must be Pillow's own, turned upright; the scene Pillow's conversion to RGB; and the crop a rectangle
of the image, in a file that decodes to the same pixels. Every refusal needs a reason, nothing else
may be printed, and no warning shown.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from rics_transforms.data.files import Unreadable, encode, open_image, open_rgb, silenced
from rics_transforms.engine.scores import get_score
from rics_transforms.folder import Recipe, crop_file


def by_pillow(path: Path, mode: str | None = None) -> PIL.Image.Image:
    """The image as a user of Pillow opens it, and perhaps converts it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PIL.Image.open(path) as file, silenced(file):
            image = PIL.ImageOps.exif_transpose(file)
            return image if mode is None else image.convert(mode)


def same(first: PIL.Image.Image, second: PIL.Image.Image) -> bool:
    """Whether modes, sizes, pixels and colours agree."""
    kinds = [(image.mode, image.size) for image in (first, second)]
    colours = [image.getpalette() for image in (first, second)]
    pixels = [np.asarray(image).tobytes() for image in (first, second)]
    return all(a == b for a, b in (kinds, colours, pixels))


def faults(path: Path) -> tuple[list[str], list[str]]:
    """What is wrong with the reading of a file, and the reasons for which it is refused."""
    wrong, refused = [], []
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        for check in (_image, _scene, _crop):
            try:
                wrong += [] if check(path) else [f"{path}: another {check.__name__[1:]}"]
            except Unreadable as error:
                refused.append(error.reason)
                wrong += [] if error.reason.strip() else [f"{path}: refused without a reason"]
            except Exception as error:
                wrong.append(f"{path}: {type(error).__name__}: {error}")
    return wrong + [f"{path}: warns: {warning.message}" for warning in shown], refused


def _image(path: Path) -> bool:
    return same(open_image(path)[0], by_pillow(path))


def _scene(path: Path) -> bool:
    """Wherever Pillow converts without clipping what has more than 8 bits."""
    scene, image = open_rgb(path), by_pillow(path)
    if image.mode.startswith("I"):  # Pillow clips: no other grey may be the brighter one
        grey = np.asarray(scene)[..., 0].astype(int)
        whole = np.asarray(image).astype(int)
        return grey.shape == whole.shape and bool((np.diff(grey[0]) * np.diff(whole[0]) >= 0).all())
    return same(scene, by_pillow(path, "RGB"))


def _crop(path: Path) -> bool:
    image = open_image(path)[0]
    k = (image.height + 1) // 2, (image.width + 1) // 2
    try:
        crop, (top, left, *_), _ = crop_file(
            path, Recipe(k, get_score("lattice"), None, None, "png")
        )
        _, content = encode(crop)
    except (TypeError, ValueError) as error:  # no score, or no format, for this mode
        raise Unreadable(path, str(error)) from error
    expected = by_pillow(path).crop((left, top, left + k[1], top + k[0]))
    with PIL.Image.open(io.BytesIO(content)) as back:
        return same(crop, expected) and back.size == expected.size


def main(folder: Path) -> int:
    """Print what was found; the number of faults."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found: list[str] = []
    reasons: Counter[str] = Counter()
    for path in files:
        wrong, refused = faults(path)
        found += wrong
        reasons.update(set(refused))
    for reason, count in reasons.most_common():
        print(f"{count:5} refused: {reason}")
    print(f"{len(files)} files, {len(found)} faults", *found, sep="\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(bool(main(Path(sys.argv[1]))))
