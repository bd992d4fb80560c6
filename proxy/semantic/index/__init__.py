"""Where vectors are kept, to find the nearest."""
