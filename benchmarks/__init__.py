"""What the sync costs, as ratios against plain `psql` pipes and the guide's algorithm in the same run."""
