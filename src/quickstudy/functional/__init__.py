"""Mathematics that two learners or more share: pure functions on tensors that run under vmap, grad and make_fx."""
