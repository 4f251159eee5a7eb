"""One file per kind of write; what joins writes and subspaces; the engine that runs them."""
