"""Scenes to records, and records to numbers with intervals and bounds."""
