"""Benchmarks: what argus_exporter costs, beside its peers. See README.md here."""
