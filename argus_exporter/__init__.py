"""Prometheus metrics for discord.py bots."""
