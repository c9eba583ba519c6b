"""Spoken words: meta-trained on words of synthetic voices, tested on other words and on digits that real people speak."""

from quickstudy.cli._demo import Demo, Method, Subject

DEMO = Demo(
    Subject(
        "Prototypical network on Conv4 of log-mel pictures that are stretched in time", "words that espeak-ng speaks", "{name}"
    ),
    train=("voices", "train"),
    validation=("voices", "val"),
    sets={"words never heard": ("voices", "test"), "spoken digits": ("fsdd", "all")},
    ours=Method("protonet", "spoken"),
    baselines={
        "nearest neighbour on log-mels": Method("nearest", "identity"),
        "same net, from scratch": Method("reptile", "spoken", {"adapt_steps": 30, "inner_batch": 25}, most=10),
    },
    drawn={"ways": 20, "shots": 1, "queries": 2},
    augment="speaker",
)
