"""What happens in a training run, as numbers: taken in the state, read from it, and written down."""
