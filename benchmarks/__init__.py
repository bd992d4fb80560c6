"""What it costs and what it gains, measured in pairs: ``python -m benchmarks [NAME ...]``."""
