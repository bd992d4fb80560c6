"""Answers fetched ahead: questions from a file, asked as clients would, and taken up again."""
