"""A million events through a real bot into a real database, and books that tell what must be there."""
