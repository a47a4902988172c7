"""The engine: calls that are values, slots, lifts, and the runner of chains."""
