"""Every hostile case by name: files and places that a sweep must survive."""
