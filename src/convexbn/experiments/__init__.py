"""One folder per experiment; none uses another."""
