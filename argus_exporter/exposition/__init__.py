"""From cells to bytes, and from bytes to whoever may scrape."""
