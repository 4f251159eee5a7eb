"""Torchmetrics: counts that add up over processes."""
