"""A bot under load on a simulated Discord, and what its exporter says: `python -m examples.demo --help`."""
