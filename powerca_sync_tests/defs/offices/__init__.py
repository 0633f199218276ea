"""Several offices served by one instance, each a partition."""
