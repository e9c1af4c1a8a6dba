"""Run the tests that albumentations applies to each of its transforms on our `RICSCrop`.

They are not in its wheel. Point this script at a source tree of the installed version:

    git clone --branch 2.0.8 https://github.com/albumentations-team/albumentations
    pip install deepdiff pytest-mock
    python tests/integrations/peers/albumentations_suite.py albumentations -W ignore

Further arguments go to pytest. The exit status is pytest's.
"""

from __future__ import annotations

import os
import sys

import pytest

MAY_FAIL = (
    "wont_change_shape",
    "test_images_as_target",
    "test_selective_channel",
    "test_keypoints_bboxes_match",
)
"""Tests of what no crop does; they leave the library's own crops out by name."""


class OnlyRICSCrop:
    """A pytest plugin that keeps the tests of one class."""

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        others = [item for item in items if "RICSCrop" not in item.name]
        items[:] = [item for item in items if "RICSCrop" in item.name]
        config.hook.pytest_deselected(items=others)
        for item in items:
            if any(family in item.name for family in MAY_FAIL):
                item.add_marker(pytest.mark.xfail(reason="is not meant for crops", strict=False))


def main(source: str, *arguments: str) -> int:
    """Register the class where the suite looks for transforms, then run the suite."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # asks the network for the newest version
    import albumentations

    from rics_transforms.integrations.albumentations import RICSCrop

    sys.path.insert(0, source)
    from tests.aug_definitions import AUGMENTATION_CLS_PARAMS  # theirs

    albumentations.RICSCrop = RICSCrop
    settings = [{"k": 50}, {"k": (40, 60), "score": "hash", "shifts": "cyclic"}]
    AUGMENTATION_CLS_PARAMS.append([RICSCrop, settings])
    tests = os.path.join(source, "tests")
    options = ["--rootdir", source, "-c", os.devnull, "-p", "no:cacheprovider", "-q"]
    options += ["--ignore", os.path.join(tests, "functional")]  # tests no class, needs much more
    return pytest.main([*options, *arguments, tests], plugins=[OnlyRICSCrop()])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
