"""Models on disk: the reader, taxonomy, splits, and free models that anybody can fetch."""
