"""The commands of ``sidecache``; ``proxy.cli`` has the list of them."""
