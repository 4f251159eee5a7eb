"""Causal models, interchange interventions on them, and the drawing of base/source pairs."""
