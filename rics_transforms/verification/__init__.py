"""Measure scenes as records, and sum records up as numbers with intervals and bounds."""
