"""The exact problem without a list of patterns: neurons on demand."""
