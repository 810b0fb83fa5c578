"""Views of a model: cameras, rendering, storage on disk, and the pairs a network trains on."""
