"""What happened, told: logs, metrics, traces."""
