"""The demo: a made-up backend, a guided tour of the proxy in front of it, and a proxy to try."""
