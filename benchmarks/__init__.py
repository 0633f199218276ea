"""The cost of the sync, as ratios against plain `psql` pipes and the guide's algorithm in the same run."""
