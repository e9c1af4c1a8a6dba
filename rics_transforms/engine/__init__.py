"""Image to integers, scores, origin and crop: exact, and the same wherever a crop lies."""
