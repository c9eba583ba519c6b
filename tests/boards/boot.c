/* Start-up, semihosting and a clock for Cortex-M on MPS2 boards. */
#include "board.h"

extern uint32_t data_load, data_start, data_end, bss_start, bss_end, stack_top;
int main(void);
void reset(void);

static volatile uint32_t wraps;

static void tick_wrapped(void) { wraps++; }
static int semihost(int operation, const void *argument)
{
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(uint32_t code)
{
    const uint32_t block[2] = {0x20026, code}; /* application exit, with a code */
    semihost(0x20, block);
    for (;;) {
    }
}

static void fault(void) { leave(70); }

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault, 0,
    0, 0, 0, (void *)fault, (void *)fault, 0, (void *)fault, (void *)tick_wrapped,
};

#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define CPACR (*(volatile uint32_t *)0xE000ED88)

enum { UNTOUCHED = 0x5afe5afe };

void reset(void)
{
    for (uint32_t *from = &data_load, *to = &data_start; to < &data_end;)
        *to++ = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end;)
        *to++ = 0;
    CPACR |= 0xfu << 20; /* the floating-point unit */
    __asm volatile("dsb\n isb");
    register uint32_t *sp __asm("sp");
    for (uint32_t *to = &bss_end; to < sp - 16;)
        *to++ = UNTOUCHED;
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 7;
    while (SYST_CVR == 0) { /* it starts to count at the next tick */
    }
    leave((uint32_t)main());
}

uint32_t ticks(void)
{
    uint32_t before, count;
    do {
        before = wraps;
        count = SYST_CVR;
    } while (before != wraps);
    return before * 0x1000000u + (0xffffff - count);
}

uint32_t stack_used(void)
{
    const uint32_t *at = &bss_end;
    while (at < &stack_top && *at == UNTOUCHED)
        at++;
    return (uint32_t)((const char *)&stack_top - (const char *)at);
}

void report(const char *name, int32_t value)
{
    char digits[14], *at = digits + 13;
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    *at = 0;
    *--at = '\n';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--at = '-';
    semihost(4, name);
    semihost(4, " ");
    semihost(4, at);
}
