"""Adapters to other image libraries, imported as `rics_transforms.integrations`."""
