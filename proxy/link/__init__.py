"""Connections to the server that replicas share."""
