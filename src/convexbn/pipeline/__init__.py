"""The layer between Snakemake and the library."""
