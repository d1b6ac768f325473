"""From an observation and a forecast to a decision, one rule per file."""
