"""Virtual patients: anatomy, kinetics, scanners and the planted truth."""
