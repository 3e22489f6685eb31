"""What is to run: nodes, edges, bodies; and what can be said about them without running. Knows nothing of text."""
