"""Staged networks: the contract in base, then one file per backend."""
