"""All commands of `rics`: each is a thin layer over public functions.

What a command needs is imported when it runs, so that help and usage errors come at once.
"""

import click

from rics_transforms._version import __version__
from rics_transforms.cli.bounds import bound
from rics_transforms.cli.certificates import certify
from rics_transforms.cli.crops import crop
from rics_transforms.cli.explanation import explain
from rics_transforms.cli.exports import export
from rics_transforms.cli.locations import locate
from rics_transforms.cli.shared import Commands
from rics_transforms.cli.verification import report, verify


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rics")
def rics() -> None:
    """Robust Inference by Crop Selection: shift-robust crops, and what they guarantee."""


for command in (bound, certify, crop, explain, export, locate, report, verify):
    rics.add_command(command)
