"""The protocols that can be cached; this folder is the feature matrix."""
