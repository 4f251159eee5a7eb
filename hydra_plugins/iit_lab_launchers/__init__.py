"""Hydra launchers that know cells: thin layers over the stock ones. Nothing here imports torch."""
