"""Meta-training: fit, evaluate, engines, checkpoints, saved learners."""
