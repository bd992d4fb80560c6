"""Tuning: a recorded trace is replayed through the policy, over a grid of settings."""
