"""What stands between Snakemake and the library."""
