"""Show and save a `ShiftReport`: a table for the terminal, a page with figures for the browser."""

from rics_transforms.report.page import as_html, save
from rics_transforms.report.table import as_table

__all__ = ["as_html", "as_table", "save"]
