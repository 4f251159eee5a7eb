"""One file per loss; the weighted sum in base."""
