"""iit_lab: interchange intervention training and distributed alignment search, from one command line."""

__version__ = "0.1.0"
