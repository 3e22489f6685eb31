"""The plan front: Markdown plans of coding tasks, their settings, and what agents and reviewers are told and say."""
