"""Several processes that serve as one: who is forked, watched, replaced, and when."""
