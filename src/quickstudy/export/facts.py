"""having: which learners have a fact of the contract, for messages that say what else to use."""

from __future__ import annotations

from quickstudy import discovery


def having(fact: str) -> str:
    """Return the names of the learners of which a fact of the contract is true, as a list in words.

    >>> having("prototypes")
    'protonet'
    """
    return ", ".join(name for name in discovery.names("learners") if getattr(discovery.load("learners", name), fact))
