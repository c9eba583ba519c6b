/* Adapts to a made-up curve and predicts its values: replace the data by your own. */
#include <stdio.h>
#include "learner.h"

enum { COUNT = QS_MAX_SUPPORT < 5 ? QS_MAX_SUPPORT : 5 };

static qs_input support[COUNT * QS_VALUES], query[QS_VALUES];
static qs_target targets[COUNT * QS_WAYS]; /* QS_WAYS values for each example */
static qs_state state;

/* An input whose numbers are all the same. */
static void make(qs_input *x, float number)
{
    for (int i = 0; i < QS_VALUES; i++)
        x[i] = (qs_input)number;
}

int main(void)
{
    qs_score values[QS_WAYS];
    for (int i = 0; i < COUNT; i++) {
        make(support + i * QS_VALUES, (float)i);
        for (int k = 0; k < QS_WAYS; k++)
            targets[i * QS_WAYS + k] = (qs_target)(i * 0.5 + k);
    }
    const int adapted = qs_adapt(&state, support, targets, COUNT, NULL);
    if (adapted != QS_OK) {
        printf("qs_adapt failed: %d\n", adapted);
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        make(query, (float)i + 0.5f);
        const int predicted = qs_predict(&state, query, values);
        if (predicted != QS_OK) {
            printf("qs_predict failed: %d\n", predicted);
            return 1;
        }
        printf("an input of %g: values", i + 0.5);
        for (int k = 0; k < QS_WAYS; k++)
            printf(" %g", (double)values[k]);
        printf("\n");
    }
    return 0;
}
