"""Sidecache: a caching reverse proxy that stands beside any LLM or RAG backend."""
