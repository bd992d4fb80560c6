"""``python -m proxy`` is ``sidecache``."""

from proxy.cli import main

if __name__ == "__main__":
    main()
