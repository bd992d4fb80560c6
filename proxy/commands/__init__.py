"""The commands of ``sidecache``, a module each; ``proxy.cli`` has those that serve."""
