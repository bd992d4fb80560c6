"""Calibration: a threshold from questions with known answers, put through the parts that serve."""
