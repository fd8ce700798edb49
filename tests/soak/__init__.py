"""A long life, very many interactions, and what is left of them."""
