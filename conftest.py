"""Import the package before pytest imports its files one by one, or there would be two of each."""

import rics_transforms  # noqa: F401
