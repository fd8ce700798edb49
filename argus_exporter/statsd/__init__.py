"""StatsD: from cells to datagrams."""
