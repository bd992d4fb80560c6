"""What can be chosen, read once and checked whole."""
