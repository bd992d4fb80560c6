"""The clients' side: connections, requests as they arrive, replies as they leave."""
