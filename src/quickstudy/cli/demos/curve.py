"""Curves of blood sugar: meta-trained on simulated patients, and asked to follow others from a few measurements. No patient is real."""

from quickstudy.cli._demo import Method, Subject
from quickstudy.cli._demo_curves import CurveDemo

DEMO = CurveDemo(
    Subject("Attentive neural process", "simulated patients who drink glucose (none is real)", "glucose, mg/dL"),
    known="glucose",
    ours=Method("anp", "mlp"),
    baselines={"same kind of net, from scratch": Method("reptile", "mlp", {"adapt_steps": 100, "inner_batch": 10}, most=50)},
    drawn={"shots": (1, 10), "queries": 12},
)
