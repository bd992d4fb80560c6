"""Flights that replicas share: one asks, all hear it."""
