"""The places where entries are kept, nearest first."""
