"""The engine: calls as values, slots, lifts, runs of chains."""
