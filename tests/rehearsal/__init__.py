"""Incidents, real alerts for them, and a table that says which."""
