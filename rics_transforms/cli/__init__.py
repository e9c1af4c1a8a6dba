"""The command `rics`: bounds, crops of a folder, the why of a crop, graphs, and measurements.

A thin layer over public functions. What a command needs is imported when it runs.
"""

import click

import rics_transforms
from rics_transforms.cli.bounds import bound
from rics_transforms.cli.certificates import certify
from rics_transforms.cli.crops import crop
from rics_transforms.cli.explanation import explain
from rics_transforms.cli.exports import export
from rics_transforms.cli.shared import Commands, parse_score
from rics_transforms.cli.verification import report, verify

__all__ = ["main", "parse_score"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rics_transforms.__version__, prog_name="rics")
def main() -> None:
    """Robust Inference by Crop Selection: shift-robust crops, and what they guarantee."""


for command in (bound, certify, crop, explain, export, report, verify):
    main.add_command(command)
