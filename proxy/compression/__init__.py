"""Shorter prompts for the backend: less blank space, fewer repetitions, a bound on the context.

The key is always that of the original, so nobody hears an answer to what another one left out. What
is code, JSON, a table or a quotation is passed on as it is, or left out whole.
"""
