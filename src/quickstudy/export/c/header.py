"""learner.h, the interface, the same for every learner, and the frame of weights.h."""

import zlib

HEAD = 8
"""Bytes of a state before what the learner keeps."""

WEIGHTS = """/* The meta-learned weights. */
#include <stdint.h>

{text}"""


def header(weights: str, **facts: object) -> str:
    """Return the text of learner.h, with a number by which a state knows its learner.

    Args:
        weights: the text of weights.h.
        facts: everything else that the interface names.
    """
    kept = [weights, *(str(facts[name]) for name in ("learner", "input", "values", "ways", "state"))]
    fingerprint = zlib.crc32("\n".join(kept).encode()) or 1  # 0 is a state without a task
    return _HEADER.format(fingerprint=fingerprint, **facts)


_HEADER = """/* {learner}: adapts to a new task from a few examples, and predicts. Written by quickstudy. */
#ifndef QS_LEARNER_H
#define QS_LEARNER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define QS_WAYS {ways} /* classes (or outputs) of a task, at most */
#define QS_VALUES {values} /* numbers of one input */
#define QS_MAX_SUPPORT {examples} /* support examples, at most */

typedef {input} qs_input; /* {input_note} */
typedef {target} qs_target; /* {target_note} */
typedef {score} qs_score; /* {score_note} */

#define QS_LEARNER 0x{fingerprint:08x}u /* of the weights and of what a state holds: other learners have other numbers */

typedef struct {{ /* an adapted task: copy it, store it, send it */
    int32_t examples;
    uint32_t learner; /* QS_LEARNER, or 0: not adapted */
{state}
}} qs_state;

typedef struct {{ /* and their usual values */
{settings}
}} qs_settings;

enum {{
    QS_OK = 0,
    QS_BAD_POINTER = -1, /* a pointer is NULL */
    QS_BAD_COUNT = -2, /* fewer than 1 or more than QS_MAX_SUPPORT examples */
    QS_BAD_LABEL = -3, /* a label is negative, or the task has more ways than QS_WAYS */
    QS_SINGLE_CLASS = -4, /* all examples are of one class */
    QS_NOT_FINITE = -5, /* an input or a result is infinite or not a number */
    QS_BAD_SETTING = -6, /* a setting is negative or not a number */
    QS_NOT_ADAPTED = -7, /* the state holds no task */
    QS_OTHER_LEARNER = -8 /* the state is of another learner */
}};

/* Learn a task from `count` examples: inputs one after the other, and their targets. `settings` may be NULL.
   QS_OK or an error; after an error the state, if there is one, holds no task. */
int qs_adapt(qs_state *state, const qs_input *support, const qs_target *targets, int count, const qs_settings *settings);

/* Scores of one input. Returns {returns}, or an error (negative). */
int qs_predict(const qs_state *state, const qs_input *query, qs_score scores[QS_WAYS]);
{more}
#ifdef __cplusplus
}}
#endif
#endif
"""
