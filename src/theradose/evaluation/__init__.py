"""Judging: metrics, comparison, figures, report and model cards."""
