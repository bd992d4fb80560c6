"""What the running proxy spends its time on: a sampling profile, taken on demand."""
