"""The theradose command for people."""
