"""Sweeps: how cells are named, claimed, queued and looked up. Imports neither Hydra nor torch."""
