"""The machine: what memory and descriptors there are, how much is in use, and giving some back."""
