"""One file, one rule of the workflow: read, call, write."""
