"""Reading text: positions, tags, YAML, expressions, templates. Knows nothing of graphs."""
