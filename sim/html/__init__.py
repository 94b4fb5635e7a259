"""Reports as pages: one HTML file each, that needs nothing else and can be read without script."""
