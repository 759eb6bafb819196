"""Images with their geometry and unit: reading, resampling, registering, augmenting."""
