"""The command `rics`: bounds, crops of a folder, explanations, graphs, and measurements."""

import sys

from rics_transforms._extras import require_command


def main() -> None:
    """Run `rics`; without the extra `cli`, say what to install and exit with code 2."""
    try:
        require_command()
    except ModuleNotFoundError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    from rics_transforms.cli.commands import rics

    rics()
