"""Measure scenes as records, and summarise records as numbers with intervals and bounds."""
