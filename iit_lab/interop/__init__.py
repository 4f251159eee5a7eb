"""Alignments of other libraries: reading and writing their files."""
