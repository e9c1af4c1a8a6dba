"""`python -m rics_transforms.cli` is `rics`."""

from rics_transforms.cli import main

main()
