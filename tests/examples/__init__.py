"""The examples run as a user runs them, and find what they say."""
