"""Methods for matrices, one algorithm a file."""
