"""The classic mistakes in a chain, a small function for each; ``gradchain.check`` runs them all."""
