"""Entries carried from one proxy to another: given away, put into a file, and taken in."""
