"""Reasons why two questions that look alike are not the same; pure."""
