"""Dosimetry on arrays and units: numpy and scipy only, no files but its own data."""
