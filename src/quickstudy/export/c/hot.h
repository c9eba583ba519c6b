/* QS_HOT marks the functions that are compiled for speed, though the rest may be compiled for size. */
#ifndef QS_HOT
#if defined(__clang__) || defined(QS_SMALL)
#define QS_HOT __attribute__((unused))
#elif defined(__GNUC__)
#define QS_HOT __attribute__((unused, noinline, optimize("O3")))
#else
#define QS_HOT
#endif
#endif
