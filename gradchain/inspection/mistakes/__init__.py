"""The classic mistakes in a chain, one small function each; ``gradchain.check`` runs all of them."""
