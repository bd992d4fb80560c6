"""What was purged: entered here, and written down for all who share what is kept."""
