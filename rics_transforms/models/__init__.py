"""Any model as one callable, by name (`load_model`) or from a module or function (`as_model`)."""

from rics_transforms.models.model import Model, Options, Output, as_model, load_model

__all__ = ["Model", "Options", "Output", "as_model", "load_model"]
