/* What a test program on an emulated board may call. */
#ifndef QS_BOARD_H
#define QS_BOARD_H
#include <stdint.h>

void report(const char *name, int32_t value); /* prints a line "name value" */
uint32_t ticks(void); /* processor time, 40 instructions each under -icount shift=0 */
uint32_t stack_used(void); /* bytes, the deepest so far */

#endif
