"""How the headline moves with the number of samples and with label noise."""
