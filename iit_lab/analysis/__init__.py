"""What alignments tell: functions of tables, tensors and graphs."""
