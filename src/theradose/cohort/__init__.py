"""Patients: where their files lie, who they are, how they are split."""
