"""Images in files: to crop, and to measure on."""
