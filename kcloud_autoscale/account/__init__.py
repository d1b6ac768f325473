"""What was used and spent, beside a named baseline."""
