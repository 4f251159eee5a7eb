"""One file per task: causal models, how inputs are drawn and encoded."""
