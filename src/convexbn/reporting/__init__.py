"""From tables to verdicts and pixels."""
