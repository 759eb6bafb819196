"""Doors to MLflow and DVC, opened by steps and the command line alone."""
