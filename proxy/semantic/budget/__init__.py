"""How often answers found by meaning are wrong, and what is done about it; pure."""
