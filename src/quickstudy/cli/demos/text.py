"""Requests in words: meta-trained on some domains of CLINC150, tested on domains and on banking questions that were never seen."""

from quickstudy.cli._demo import Demo, Method, Subject

DEMO = Demo(
    Subject("Prototypical network on hashed n-grams", "requests of six domains of CLINC150", "{name}"),
    train=("clinc150", "train"),
    validation=("clinc150", "val"),
    sets={"held-out domains": ("clinc150", "test"), "banking questions": ("banking77", "all")},
    ours=Method("protonet", "ngrams", {"distance": "cosine", "scale": 10.0}, {"features": 128}),
    baselines={
        "logistic regression on n-grams": Method("logistic", "ngrams", net_options={"features": 128}),
        "same net, from scratch": Method(
            "reptile", "ngrams", {"adapt_steps": 30, "inner_batch": 25}, {"features": 128}, most=10
        ),
    },
    drawn={"ways": 40, "shots": 1, "queries": 4},
    augment="drop_and_mistype",
    steps=300,
)
