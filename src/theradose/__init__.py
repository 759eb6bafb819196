"""theradose: personalised dosimetry models for radionuclide therapy. Research use only."""

__version__ = "0.4.0"
