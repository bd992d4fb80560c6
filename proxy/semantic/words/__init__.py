"""The words of questions, read and compared; pure, no model."""
