"""A load test for Locust: users who chat."""
