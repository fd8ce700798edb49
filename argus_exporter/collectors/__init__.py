"""The collectors, in plain sight. One noun, one file."""
