"""The words the whole proxy speaks: values without behaviour, standard library only.

Values made for every request are named tuples rather than frozen dataclasses: as
immutable, and made four times as fast.
"""
