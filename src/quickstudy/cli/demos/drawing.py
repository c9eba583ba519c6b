"""Drawn letters: meta-trained on rendered glyphs, tested on scripts and on handwriting that were never seen."""

from quickstudy.cli._demo import Demo, Method, Subject

DEMO = Demo(
    Subject("Prototypical network on Conv4", "rendered glyphs", "letter{way}"),
    train=("glyphs", "train"),
    validation=("glyphs", "val"),
    sets={"held-out scripts": ("glyphs", "test"), "handwritten digits": ("digits", "all")},
    ours=Method("protonet", "conv4"),
    baselines={
        "nearest neighbour on pixels": Method("nearest", "identity"),
        "same net, from scratch": Method("reptile", "conv4", {"adapt_steps": 30, "inner_batch": 25}, most=10),
    },
    drawn={"ways": 30, "shots": 1, "queries": 5},
    augment="affine",
)
