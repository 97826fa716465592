"""The headline against the number of samples and against label noise."""
