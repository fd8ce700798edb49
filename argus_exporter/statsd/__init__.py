"""From cells to datagrams, for bots that nobody can scrape; and a client for the bot's own stats."""

from argus_exporter.statsd.client import AsyncStatsClient

__all__ = ["AsyncStatsClient"]
