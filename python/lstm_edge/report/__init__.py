"""The report: one HTML page that opens offline, and the same figures as files."""
