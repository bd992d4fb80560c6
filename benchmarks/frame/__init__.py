"""What all cases are measured with: questions, load, peers, rounds, tables, and results kept."""
