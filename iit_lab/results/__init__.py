"""The record of a run, and what it releases."""
