/* Integer kernels: activations are bytes in [0, 255] with zero point 0, weights signed bytes, one scale per output channel, sums 32 bits.
   Images are [row][column][channel]. No floating point, no division but that of a prototype. */
#ifndef QS_INT8_H
#define QS_INT8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#endif

#include "hot.h"

typedef struct {
    int16_t in_rows, in_columns, in_channels, out_rows, out_columns, out_channels; /* out: after pooling */
    int16_t window, stride, padding, pool, taps; /* pool: 1 or 2; taps: of one output, rounded up to a multiple of 4 */
    const int8_t *weights; /* [out_channels][taps] */
    const int32_t *bias, *multiplier; /* [out_channels] */
    const int8_t *shift; /* [out_channels] */
} qs_layer;

static inline uint32_t qs_word(const void *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* Four bytes as four 16-bit numbers, in the order 0 2 1 3, in which signed bytes are widened fastest. */
static inline void qs_widen(const uint8_t *from, int16_t *to)
{
#if defined(__ARM_FEATURE_SIMD32)
    const uint32_t word = qs_word(from);
    const uint32_t even = (uint32_t)__uxtb16(word), odd = (uint32_t)__uxtb16((word >> 8) | (word << 24));
    memcpy(to, &even, 4);
    memcpy(to + 2, &odd, 4);
#else
    to[0] = from[0], to[1] = from[2], to[2] = from[1], to[3] = from[3];
#endif
}

/* Where `qs_widen` puts a number. */
static inline int qs_place(int at) { return (at & ~3) << 2 | (at & 1) << 1 | (at >> 1 & 1); }

/* The inputs of one output, row by row, with zeros outside of the image. Four of them lie in 16 places, since those of four outputs are
   interleaved: one pointer then serves all. */
static inline void qs_gather(const uint8_t *x, const qs_layer *layer, int row, int column, int16_t *patch)
{
    const int channels = layer->in_channels, columns = layer->in_columns, run = layer->window * channels;
    const int top = row * layer->stride - layer->padding, left = (column * layer->stride - layer->padding) * channels;
    if (channels % 4 == 0) {
        for (int i = top; i < top + layer->window; i++) {
            const uint8_t *line = x + i * columns * channels;
            for (int k = left; k < left + run; k += 4, patch += 16) {
                if (i >= 0 && i < layer->in_rows && k >= 0 && k < columns * channels)
                    qs_widen(line + k, patch);
                else
                    memset(patch, 0, 4 * sizeof *patch);
            }
        }
        return;
    }
    int at = 0;
    for (int i = top; i < top + layer->window; i++) {
        const uint8_t *line = x + i * columns * channels;
        for (int k = left; k < left + run; k++, at++) {
            const int inside = i >= 0 && i < layer->in_rows && k >= 0 && k < columns * channels;
            patch[qs_place(at)] = inside ? line[k] : 0;
        }
    }
    for (; at < layer->taps; at++)
        patch[qs_place(at)] = 0;
}

/* Weighted sums of four interleaved patches with the same weights. */
static inline void qs_dot4(const int16_t *restrict p, const int8_t *restrict weights, int taps, int32_t bias, int32_t sums[4])
{
    int32_t a = bias, b = bias, c = bias, d = bias;
    for (const int8_t *end = weights + taps; weights < end; weights += 4, p += 16) {
#if defined(__ARM_FEATURE_SIMD32)
        const uint32_t word = qs_word(weights);
        const int16x2_t even = __sxtb16((int8x4_t)word), odd = __sxtb16((int8x4_t)((word >> 8) | (word << 24)));
        a = __smlad((int16x2_t)qs_word(p), even, __smlad((int16x2_t)qs_word(p + 2), odd, a));
        b = __smlad((int16x2_t)qs_word(p + 4), even, __smlad((int16x2_t)qs_word(p + 6), odd, b));
        c = __smlad((int16x2_t)qs_word(p + 8), even, __smlad((int16x2_t)qs_word(p + 10), odd, c));
        d = __smlad((int16x2_t)qs_word(p + 12), even, __smlad((int16x2_t)qs_word(p + 14), odd, d));
#else
        const int32_t w0 = weights[0], w1 = weights[2], w2 = weights[1], w3 = weights[3];
        a += p[0] * w0 + p[1] * w1 + p[2] * w2 + p[3] * w3;
        b += p[4] * w0 + p[5] * w1 + p[6] * w2 + p[7] * w3;
        c += p[8] * w0 + p[9] * w1 + p[10] * w2 + p[11] * w3;
        d += p[12] * w0 + p[13] * w1 + p[14] * w2 + p[15] * w3;
#endif
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* round(sum * multiplier * 2^-31 * 2^-shift), cut to a byte. ReLU is the cut at 0. */
static inline uint8_t qs_scaled(int32_t sum, int32_t multiplier, int shift)
{
    if (sum <= 0)
        return 0;
    const int places = 31 + shift;
    const int64_t scaled = ((int64_t)sum * multiplier + ((int64_t)1 << (places - 1))) >> places;
    return scaled > 255 ? 255 : (uint8_t)scaled;
}

static inline int32_t qs_larger(int32_t a, int32_t b) { return a > b ? a : b; }

/* Convolution, bias, 2x2 max-pooling or none, ReLU. Four outputs at a time: those that are pooled, or neighbours in a row.
   Maximum and ReLU may come before scaling, since scales are positive. */
static QS_HOT void qs_convolve(const uint8_t *restrict x, const qs_layer *layer, uint8_t *restrict y, int16_t *restrict patch)
{
    const int taps = layer->taps, channels = layer->out_channels, pooled = layer->pool == 2, step = pooled ? 1 : 4;
    for (int row = 0; row < layer->out_rows; row++) {
        for (int column = 0; column < layer->out_columns; column += step) {
            const int some = layer->out_columns - column < step ? layer->out_columns - column : step;
            for (int k = 0; k < 4; k++) {
                const int i = pooled ? 2 * row + k / 2 : row, j = pooled ? 2 * column + k % 2 : column + k;
                if (pooled || k < some)
                    qs_gather(x, layer, i, j, patch + 4 * k);
            }
            const int8_t *weights = layer->weights;
            uint8_t *out = y + (row * layer->out_columns + column) * channels;
            for (int o = 0; o < channels; o++, out++, weights += taps) {
                int32_t sums[4];
                qs_dot4(patch, weights, taps, layer->bias[o], sums);
                if (pooled) {
                    const int32_t best = qs_larger(qs_larger(sums[0], sums[1]), qs_larger(sums[2], sums[3]));
                    *out = qs_scaled(best, layer->multiplier[o], layer->shift[o]);
                } else {
                    for (int k = 0; k < some; k++)
                        out[k * channels] = qs_scaled(sums[k], layer->multiplier[o], layer->shift[o]);
                }
            }
        }
    }
}

#endif
