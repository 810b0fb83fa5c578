"""Models on disk: the reader, splits, and free models that anybody can fetch."""
