"""Per-guild answers, off the metrics path: events become rows, rows go to a database in batches. Off by default."""
