/* Adapts to a made-up task of two classes and predicts: replace the data by your own. */
#include <stdio.h>
#include "learner.h"

enum { SHOTS = QS_MAX_SUPPORT < 4 ? 1 : 2, COUNT = 2 * SHOTS };

static qs_input support[COUNT * QS_VALUES], query[QS_VALUES];
static qs_target targets[COUNT * QS_WAYS]; /* classification uses the first COUNT, one per example */
static qs_state state;

/* An input of a class: a bright first or second half. */
static void make(qs_input *x, int which)
{
    for (int i = 0; i < QS_VALUES; i++)
        x[i] = (qs_input)((2 * i < QS_VALUES) == (which == 0) ? 1 : 0);
}

int main(void)
{
    qs_score scores[QS_WAYS];
    for (int i = 0; i < COUNT; i++) {
        make(support + i * QS_VALUES, i % 2);
        targets[i] = (qs_target)(i % 2);
    }
    const int adapted = qs_adapt(&state, support, targets, COUNT, NULL);
    if (adapted != QS_OK) {
        printf("qs_adapt failed: %d\n", adapted);
        return 1;
    }
    for (int which = 0; which < 2; which++) {
        make(query, which);
        const int answer = qs_predict(&state, query, scores);
        printf("an input of class %d: answer %d, scores", which, answer);
        for (int i = 0; i < QS_WAYS; i++)
            printf(" %g", (double)scores[i]);
        printf("\n");
    }
    return 0;
}
