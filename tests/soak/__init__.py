"""Very many interactions, and what is left of them."""
