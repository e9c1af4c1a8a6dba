"""Images by name: files one by one, and all files of folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rics_transforms.data.files import find_images

Sources = str | Path | Sequence[str | Path]
"""A folder of images, an image file, or several of them."""


def find_sources(sources: Sources, leave_out: str | Path | None = None) -> dict[str, Path]:
    """The files of images by their names, sorted.

    Args:
        sources: folders, searched as `find_images` does; and files, whatever their suffixes.
        leave_out: folder to skip, such as that of the crops.

    Returns:
        Files by name: the path below their folder, with forward slashes, or a file's own name.

    Raises:
        ValueError: for a path that is neither, a folder without images, or two images of one name.
        OSError: if a folder cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, "b.png").touch()
        ...     list(find_sources(folder)), list(find_sources([f"{folder}/b.png"]))
        (['b.png'], ['b.png'])
    """
    found: dict[str, Path] = {}
    for source in as_paths(sources):
        for name, path in _images(source, leave_out):
            if name in found:
                raise ValueError(
                    f"Expected images of different names, but got {str(found[name])!r} and "
                    f"{str(path)!r}; give the folder that holds both."
                )
            found[name] = path
    return dict(sorted(found.items()))


def as_paths(sources: Sources) -> list[Path]:
    """One source or several as a list.

    Raises:
        ValueError: for none.
    """
    if isinstance(sources, str | Path):
        return [Path(sources)]
    if not sources:
        raise ValueError("Expected folders of images or image files, but got none.")
    return [Path(source) for source in sources]


def _images(source: Path, leave_out: str | Path | None) -> list[tuple[str, Path]]:
    if source.is_file():
        return [(source.name, source)]
    if not source.is_dir():
        raise ValueError(f"Expected a folder of images or an image file, but got {str(source)!r}.")
    return [(name, source / name) for name in find_images(source, leave_out)]
