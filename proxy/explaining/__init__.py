"""What would become of a request, and why: the life of a request asked, without living it."""
