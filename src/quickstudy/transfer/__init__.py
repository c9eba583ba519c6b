"""From a trained learner to another one."""
