"""Black-box networks with known alignments, and the scoring of alignments that others propose."""
