"""The report: what a running proxy told of itself, judged, drawn, and written as one page."""
