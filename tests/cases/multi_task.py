"""Build multi-task learning with several training tasks."""

SMALL = {"training_tasks": 3}
