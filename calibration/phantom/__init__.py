"""A physics-based simulator of bone radiographs with and without lesions, and their exact masks."""
