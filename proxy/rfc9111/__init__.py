"""HTTP caching as RFC 9111 has it: what may be stored, is renewed, is no longer true. Pure.

A module for a section or two. Nothing here waits, reads a clock or knows where entries are kept;
``proxy.resources`` does. Where the standard leaves a choice, ``docs/decisions/0019`` says which was
made.
"""
