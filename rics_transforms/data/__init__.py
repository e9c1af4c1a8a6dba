"""Image files, to crop or to measure on."""

from rics_transforms.data.photos import Scenes, folder_scenes, scenes

__all__ = ["Scenes", "folder_scenes", "scenes"]
