"""The results of a sweep: read, merged and exported."""
