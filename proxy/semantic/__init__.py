"""Meaning: questions asked in other words, found and judged. It finds a key, never an answer."""
