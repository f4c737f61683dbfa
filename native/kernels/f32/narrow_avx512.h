// float32 kernels for layers of at most eight channels, which would leave half of every AVX-512 register empty: the
// first layers of the narrowest networks, where the maps are largest.
#pragma once

#include "depthwise.h"
#include "kernels.h"
#include "kernels/simd/unroll.h"
#include "pointwise.h"
#include "stem.h"

namespace mobilenets {
namespace {

constexpr int kNarrowChannels = 8;

// Stem: two taps at a time. Lane 2c holds the sum of channel c over the even values of each stretch of a window, lane
// 2c + 1 that over the odd ones, so that one 64-bit broadcast serves both; at the end neighbours are added. A stretch
// of odd length is followed by a weight of zero.
constexpr int kNarrowRows = 16;

int32_t narrow_pairs(const Operation& op) {
    return (op.kernel * op.in_channels + 1) / 2;
}

// Packed memory: bias, one vector of weights for every pair of taps, offsets as in stem.h.
ptrdiff_t narrow_offsets(const Operation& op) {
    return (1 + static_cast<ptrdiff_t>(op.kernel) * narrow_pairs(op)) * Vector::kWidth;
}

bool fits_narrow_stem(const Operation& op) {
    return fits_stem(op) && op.out_channels <= kNarrowChannels;
}

size_t narrow_stem_packed_bytes(const Operation& op) {
    return static_cast<size_t>(narrow_offsets(op) + op.in_channels * Vector::kWidth) * sizeof(float);
}

void narrow_stem_pack(const Operation& op, const Weights& weights, void* packed) {
    auto* floats = static_cast<float*>(packed);
    const auto* weight = static_cast<const float*>(weights.weight);
    const ptrdiff_t channels = op.in_channels, window = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    for (ptrdiff_t out = 0; out < op.out_channels; ++out) {
        floats[2 * out] = static_cast<const float*>(weights.bias)[out];
        for (ptrdiff_t i = 0; i < op.kernel; ++i) {
            float* pairs = floats + (1 + i * narrow_pairs(op)) * Vector::kWidth;
            for (ptrdiff_t k = 0; k < op.kernel * channels; ++k)
                pairs[k / 2 * Vector::kWidth + 2 * out + k % 2] =
                    weight[(out * channels + k % channels) * window + i * op.kernel + k / channels];
        }
    }
    pack_offsets(op, weights.offset, floats + narrow_offsets(op));
}

// Even and odd lanes of two registers added: channels of one pixel, then of the next.
__m512 add_neighbours(__m512 first, __m512 second) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_add_ps(_mm512_permutex2var_ps(first, even, second), _mm512_permutex2var_ps(first, odd, second));
}

// Windows of neighbouring rows overlap; g++ would keep what they share in general registers instead of loading it again
// as a broadcast, which costs nothing.
void forget_origin(const float*& pointer) {
#if defined(__GNUC__)
    __asm__("" : "+r"(pointer));
#else
    (void)pointer;
#endif
}

template <int Rows, int Stride>
void narrow_tile(const Product& product, Prefetch&) {
    const ptrdiff_t in_stride = Stride ? Stride : product.in_stride;
    __m512 sums[Rows];
    const float* weights = product.panel;
    // A plain broadcast of 64 bits takes one of the multipliers' ports on Zen 4; as an operand of OR it takes none.
    __m512 zero = _mm512_setzero_ps();
    Vector::pin(zero);
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) sums[r] = _mm512_loadu_ps(weights);
    for (int32_t s = 0; s < product.segments; ++s) {
        const float* in = product.in[s] + product.in_offset;
        for (int32_t pair = 0; pair < product.depth; ++pair, in += 2) {
            forget_origin(in);
            weights += Vector::kWidth;
            const __m512 weight = _mm512_loadu_ps(weights);
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) {
                long long two;
                std::memcpy(&two, in + r * in_stride, sizeof two);
                const __m512i both = _mm512_or_epi64(_mm512_castps_si512(zero), _mm512_set1_epi64(two));
                sums[r] = _mm512_fmadd_ps(_mm512_castsi512_ps(both), weight, sums[r]);
            }
        }
    }
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) Vector::pin(sums[r]);
    const __m512 low = _mm512_set1_ps(product.low), high = _mm512_set1_ps(product.high);
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; r += 2) {
        const __m512 both = add_neighbours(sums[r], sums[r + 1 < Rows ? r + 1 : r]);
        const __m512 result = _mm512_min_ps(_mm512_max_ps(both, low), high);
        float* out = product.out + r * product.out_stride;
        if (product.out_stride == kNarrowChannels && product.channels == kNarrowChannels && r + 1 < Rows) {
            _mm512_storeu_ps(out, result);
            continue;
        }
        const auto lanes = static_cast<__mmask8>((1u << product.channels) - 1);
        _mm256_mask_storeu_ps(out, lanes, _mm512_castps512_ps256(result));
        if (r + 1 < Rows) _mm256_mask_storeu_ps(out + product.out_stride, lanes, _mm512_extractf32x8_ps(result, 1));
    }
}

template <int Stride, int Rows = kNarrowRows>
Tile narrow_tile_of(int32_t rows) {
    if constexpr (Rows == 1)
        return narrow_tile<1, Stride>;
    else
        return rows == Rows ? narrow_tile<Rows, Stride> : narrow_tile_of<Stride, Rows - 1>(rows);
}

void narrow_stem_run(const Operation& op, const void* packed, const Task& task) {
    const auto* floats = static_cast<const float*>(packed);
    const int32_t tiles = (op.out_width + kNarrowRows - 1) / kNarrowRows;
    const int32_t size = op.out_width / tiles, larger = op.out_width % tiles;
    const bool usual = op.stride * op.in_channels == kStemStride;
    const auto tile_of = usual ? narrow_tile_of<kStemStride> : narrow_tile_of<0>;
    const Tile large = tile_of(larger ? size + 1 : size), small = tile_of(size);
    for_each_stem_row(op, floats + narrow_offsets(op), task, [&](const float* const* segments, float* out) {
        Product product = stem_product(op, task, segments, out);
        product.depth = narrow_pairs(op);
        product.panel = floats;
        product.channels = op.out_channels;
        Prefetch none;
        for (int32_t tile = 0; tile < tiles; ++tile) {
            const int32_t step = tile < larger ? size + 1 : size;
            (tile < larger ? large : small)(product, none);
            product.in_offset += step * product.in_stride;
            product.out += step * product.out_stride;
        }
    });
}

// Depthwise, eight channels: a register holds two neighbouring pixels, and with stride 1 the same two pixels a column
// to the left and to the right are one load away. What lies to the right of two outputs is to the left of the next.
bool fits_narrow_depthwise(const Operation& op) {
    return fits_depthwise_3x3(op) && op.stride == 1 && op.out_channels == kNarrowChannels;
}

size_t narrow_depthwise_packed_bytes(const Operation&) {
    return 10 * Vector::kWidth * sizeof(float);
}

void narrow_depthwise_pack(const Operation&, const Weights& weights, void* packed) {
    auto* floats = static_cast<float*>(packed);
    for (int32_t lane = 0; lane < Vector::kWidth; ++lane) {
        const int32_t channel = lane % kNarrowChannels;
        floats[lane] = static_cast<const float*>(weights.bias)[channel];
        for (int32_t tap = 0; tap < 9; ++tap)
            floats[(tap + 1) * Vector::kWidth + lane] = static_cast<const float*>(weights.weight)[channel * 9 + tap];
    }
}

Grain narrow_grain(const Operation&) {
    return {1, kNarrowChannels};
}

// Two pixels of `Rows` rows, where some of the columns that they read may be padding, or the second lie outside.
template <int Rows>
void narrow_depthwise_tile(const Operation& op, const __m512 (&weight)[10], const void* const* in, int32_t x,
                           const DepthwiseTask& task) {
    const __m512 low = _mm512_set1_ps(task.low), high = _mm512_set1_ps(task.high);
    __mmask16 inside[3];
    for (int j = 0; j < 3; ++j) {
        const int32_t column = x - op.pad_left + j;
        inside[j] = static_cast<__mmask16>((column >= 0 && column < op.in_width ? 0x00FF : 0) |
                                           (column + 1 >= 0 && column + 1 < op.in_width ? 0xFF00 : 0));
    }
    __m512 sums[Rows];
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) sums[r] = weight[0];
    MOBILENETS_UNROLL
    for (int i = 0; i < Rows + 2; ++i) {
        const float* row = static_cast<const float*>(in[i]) + (x - op.pad_left) * kNarrowChannels;
        MOBILENETS_UNROLL
        for (int j = 0; j < 3; ++j) {
            const __m512 value = _mm512_maskz_loadu_ps(inside[j], row + j * kNarrowChannels);
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r)
                if (i >= r && i < r + 3) sums[r] = _mm512_fmadd_ps(value, weight[1 + 3 * (i - r) + j], sums[r]);
        }
    }
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) {
        const __m512 result = _mm512_min_ps(_mm512_max_ps(sums[r], low), high);
        float* to = task.out + r * task.out_row_stride + x * task.out_stride;
        _mm256_storeu_ps(to, _mm512_castps512_ps256(result));
        if (x + 1 < op.out_width) _mm256_storeu_ps(to + task.out_stride, _mm512_extractf32x8_ps(result, 1));
    }
}

// Pairs of columns from x until `end`, none of which reads padding.
template <int Rows>
int32_t narrow_depthwise_inside(const Operation& op, const __m512 (&weight)[10], const void* const* in, int32_t x,
                                int32_t end, const DepthwiseTask& task) {
    const __m512 low = _mm512_set1_ps(task.low), high = _mm512_set1_ps(task.high);
    const float* rows[Rows + 2];
    __m512 left[Rows + 2];
    for (int i = 0; i < Rows + 2; ++i) {
        rows[i] = static_cast<const float*>(in[i]) + (x - op.pad_left + 1) * kNarrowChannels;
        left[i] = _mm512_loadu_ps(rows[i] - kNarrowChannels);
    }
    float* out = task.out + x * task.out_stride;
    ptrdiff_t at = 0;
    for (; x < end; x += 2, at += 2 * kNarrowChannels, out += 2 * task.out_stride) {
        __m512 sums[Rows];
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) sums[r] = weight[0];
        MOBILENETS_UNROLL
        for (int i = 0; i < Rows + 2; ++i) {
            const __m512 middle = _mm512_loadu_ps(rows[i] + at),
                         right = _mm512_loadu_ps(rows[i] + at + kNarrowChannels);
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) {
                if (i < r || i >= r + 3) continue;
                sums[r] = _mm512_fmadd_ps(left[i], weight[1 + 3 * (i - r)], sums[r]);
                sums[r] = _mm512_fmadd_ps(middle, weight[2 + 3 * (i - r)], sums[r]);
                sums[r] = _mm512_fmadd_ps(right, weight[3 + 3 * (i - r)], sums[r]);
            }
            left[i] = right;
        }
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) {
            const __m512 result = _mm512_min_ps(_mm512_max_ps(sums[r], low), high);
            float* to = out + r * task.out_row_stride;
            if (task.out_stride == kNarrowChannels) {
                _mm512_storeu_ps(to, result);
            } else {
                _mm256_storeu_ps(to, _mm512_castps512_ps256(result));
                _mm256_storeu_ps(to + task.out_stride, _mm512_extractf32x8_ps(result, 1));
            }
        }
    }
    return x;
}

template <int Rows>
void narrow_depthwise_rows(const Operation& op, const DepthwiseTask& task, const void* const* in) {
    __m512 weight[10];
    MOBILENETS_UNROLL
    for (int tap = 0; tap < 10; ++tap) {
        weight[tap] = _mm512_loadu_ps(task.packed + tap * Vector::kWidth);
        Vector::pin(weight[tap]);
    }
    const int32_t inside_end = op.in_width + op.pad_left - 3;  // last x whose two windows do not reach beyond the map
    int32_t x = 0;
    for (; x < op.pad_left; x += 2) narrow_depthwise_tile<Rows>(op, weight, in, x, task);
    x = narrow_depthwise_inside<Rows>(op, weight, in, x, inside_end < op.out_width - 1 ? inside_end : op.out_width - 1,
                                      task);
    for (; x < op.out_width; x += 2) narrow_depthwise_tile<Rows>(op, weight, in, x, task);
}

void narrow_depthwise_run(const Operation& op, const void* packed, const Task& task) {
    DepthwiseTask rows = depthwise_task(op, packed, task);
    for (int32_t y = 0; y < task.count; y += 2, rows.out += 2 * rows.out_row_stride) {
        if (y + 1 < task.count)
            narrow_depthwise_rows<2>(op, rows, task.rows + y);
        else
            narrow_depthwise_rows<1>(op, rows, task.rows + y);
    }
}

}  // namespace
}  // namespace mobilenets
