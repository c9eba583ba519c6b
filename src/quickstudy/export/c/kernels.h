/* Kernels that generated learners call. Plain C99; one example at a time, row-major [channel][row][column]. */
#ifndef QS_KERNELS_H
#define QS_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hot.h"

/* A convolution or a pooling: sizes of input and output, window, stride and padding (square). */
typedef struct {
    int16_t in_channels, in_rows, in_columns, out_channels, out_rows, out_columns, window, stride, padding;
} qs_conv_shape;

static inline int qs_min(int a, int b) { return a < b ? a : b; }
static inline int qs_max(int a, int b) { return a > b ? a : b; }
/* What is not a number (the only thing unequal to itself) is handed on, as in torch, so that the checks of results find it. */
static inline float qs_minf(float a, float b) { return a < b || a != a ? a : b; }
static inline float qs_maxf(float a, float b) { return a > b || a != a ? a : b; }
static inline float qs_relu(float a) { return a < 0.0f ? 0.0f : a; }
static inline float qs_sign(float a) { return a > 0.0f ? 1.0f : a < 0.0f ? -1.0f : 0.0f; }
static inline float qs_square(float a) { return a * a; }

/* Remainders with the sign of the divisor, as in Python and torch; C gives that of the dividend. */
static inline float qs_floored(float rest, float b) { return rest != 0.0f && (rest < 0.0f) != (b < 0.0f) ? rest + b : rest; }
static inline int qs_remainder(int a, int b) { const int rest = a % b; return rest && (rest < 0) != (b < 0) ? rest + b : rest; }

/* Not a number or infinite, by its bits: -ffast-math may assume that neither exists. */
static inline int qs_strange(float a)
{
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

/* The part [from, to) of a window that lies inside the input, when it starts at `start`. */
static inline int qs_from(int start) { return start < 0 ? -start : 0; }
static inline int qs_to(int start, int window, int size) { return qs_min(window, size - start); }

/* y = x * w (+ bias) (then ReLU). Four output channels at a time, so that each input is loaded once for four. */
static QS_HOT void qs_conv2d(const float *restrict x, const float *restrict w, const float *restrict bias, float *restrict y,
                             const qs_conv_shape *s, int relu)
{
    const int window = s->window, rows = s->in_rows, columns = s->in_columns;
    const int plane = s->out_rows * s->out_columns, filter = s->in_channels * window * window;
    for (int o = 0; o < s->out_channels; o += 4) {
        const int some = qs_min(4, s->out_channels - o);
        const float *w0 = w + o * filter;
        const float *w1 = w0 + (some > 1 ? filter : 0), *w2 = w0 + (some > 2 ? 2 * filter : 0), *w3 = w0 + (some > 3 ? 3 * filter : 0);
        float *out = y + o * plane;
        for (int r = 0; r < s->out_rows; r++) {
            const int top = r * s->stride - s->padding, i0 = qs_from(top), i1 = qs_to(top, window, rows);
            for (int q = 0; q < s->out_columns; q++, out++) {
                const int left = q * s->stride - s->padding, j0 = qs_from(left), j1 = qs_to(left, window, columns);
                float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;
                for (int c = 0; c < s->in_channels; c++) {
                    for (int i = i0; i < i1; i++) {
                        const float *in = x + (c * rows + top + i) * columns + left;
                        const int tap = (c * window + i) * window;
                        for (int j = j0; j < j1; j++) {
                            const float v = in[j];
                            a0 += v * w0[tap + j];
                            a1 += v * w1[tap + j];
                            a2 += v * w2[tap + j];
                            a3 += v * w3[tap + j];
                        }
                    }
                }
                const float sums[4] = {a0, a1, a2, a3};
                for (int k = 0; k < some; k++) {
                    const float sum = sums[k] + (bias ? bias[o + k] : 0.0f);
                    out[k * plane] = relu ? qs_relu(sum) : sum;
                }
            }
        }
    }
}

/* dw += sum over positions of dy * x. Four output channels at a time. */
static QS_HOT void qs_conv2d_weight_gradient(const float *restrict dy, const float *restrict x, float *restrict dw,
                                             const qs_conv_shape *s)
{
    const int window = s->window, stride = s->stride, rows = s->in_rows, columns = s->in_columns;
    const int plane = s->out_rows * s->out_columns, filter = s->in_channels * window * window;
    for (int o = 0; o < s->out_channels; o += 4) {
        const int some = qs_min(4, s->out_channels - o);
        const float *g0 = dy + o * plane;
        const float *g1 = g0 + (some > 1 ? plane : 0), *g2 = g0 + (some > 2 ? 2 * plane : 0), *g3 = g0 + (some > 3 ? 3 * plane : 0);
        for (int c = 0; c < s->in_channels; c++) {
            for (int i = 0; i < window; i++) {
                for (int j = 0; j < window; j++) {
                    float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;
                    const int up = i - s->padding, left = j - s->padding;
                    const int r0 = up < 0 ? (stride - 1 - up) / stride : 0, q0 = left < 0 ? (stride - 1 - left) / stride : 0;
                    const int r1 = qs_min(s->out_rows, (rows - 1 - up) / stride + 1);
                    const int q1 = qs_min(s->out_columns, (columns - 1 - left) / stride + 1);
                    for (int r = r0; r < r1; r++) {
                        const float *in = x + (c * rows + r * stride + up) * columns + q0 * stride + left;
                        for (int at = r * s->out_columns + q0, end = r * s->out_columns + q1; at < end; at++, in += stride) {
                            const float v = *in;
                            a0 += v * g0[at];
                            a1 += v * g1[at];
                            a2 += v * g2[at];
                            a3 += v * g3[at];
                        }
                    }
                    const float sums[4] = {a0, a1, a2, a3};
                    float *out = dw + o * filter + (c * window + i) * window + j;
                    for (int k = 0; k < some; k++)
                        out[k * filter] += sums[k];
                }
            }
        }
    }
}

/* dx = dy * turned w, and 0 where `mask` is at most 0. `dx` may be `mask`. */
static QS_HOT void qs_conv2d_input_gradient(const float *restrict dy, const float *restrict w, const float *mask, float *dx,
                                            const qs_conv_shape *s)
{
    const int window = s->window, stride = s->stride, padding = s->padding, taps = window * window;
    const int plane = s->out_rows * s->out_columns, filter = s->in_channels * taps;
    for (int c = 0; c < s->in_channels; c++) {
        for (int r = 0; r < s->in_rows; r++) {
            for (int q = 0; q < s->in_columns; q++, dx++) {
                float sum = 0.0f;
                if (!mask || !(*mask <= 0.0f)) {
                    for (int i = (r + padding) % stride; i < window; i += stride) {
                        const int from_row = (r + padding - i) / stride;
                        if (r + padding < i || from_row >= s->out_rows)
                            continue;
                        for (int j = (q + padding) % stride; j < window; j += stride) {
                            const int from_column = (q + padding - j) / stride;
                            if (q + padding < j || from_column >= s->out_columns)
                                continue;
                            const float *g = dy + from_row * s->out_columns + from_column;
                            const float *v = w + c * taps + i * window + j;
                            for (int o = s->out_channels; o > 0; o--, g += plane, v += filter)
                                sum += *g * *v;
                        }
                    }
                }
                *dx = sum;
                if (mask)
                    mask++;
            }
        }
    }
}

/* sums += of all positions, for each channel. */
static inline void qs_sum_positions(const float *x, float *sums, int channels, int positions)
{
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < positions; i++)
            sums[c] += *x++;
}

/* The first maximum of each window (or what is not a number) and, if wanted, its place in the window. */
static inline void qs_max_pool(const float *x, float *y, uint8_t *places, const qs_conv_shape *s)
{
    for (int c = 0; c < s->in_channels; c++, x += s->in_rows * s->in_columns) {
        for (int r = 0; r < s->out_rows; r++) {
            const int top = r * s->stride - s->padding, i1 = qs_to(top, s->window, s->in_rows);
            for (int q = 0; q < s->out_columns; q++) {
                const int left = q * s->stride - s->padding, j1 = qs_to(left, s->window, s->in_columns);
                float best = -INFINITY;
                int place = qs_from(top) * s->window + qs_from(left);
                for (int i = qs_from(top); i < i1; i++) {
                    for (int j = qs_from(left); j < j1; j++) {
                        const float v = x[(top + i) * s->in_columns + left + j];
                        if (v > best || v != v) {
                            best = v;
                            place = i * s->window + j;
                        }
                    }
                }
                *y++ = best;
                if (places)
                    *places++ = (uint8_t)place;
            }
        }
    }
}

/* Each gradient goes to the place that was the maximum. */
static inline void qs_max_pool_gradient(const float *dy, const uint8_t *places, float *dx, const qs_conv_shape *s)
{
    memset(dx, 0, sizeof(float) * (size_t)(s->in_channels * s->in_rows * s->in_columns));
    for (int c = 0; c < s->in_channels; c++, dx += s->in_rows * s->in_columns)
        for (int r = 0; r < s->out_rows; r++)
            for (int q = 0; q < s->out_columns; q++, dy++, places++) {
                const int row = r * s->stride - s->padding + *places / s->window;
                const int column = q * s->stride - s->padding + *places % s->window;
                dx[row * s->in_columns + column] += *dy;
            }
}

#endif
