"""Functions of the office on the desktop: what a call returns, keeps and refuses."""
