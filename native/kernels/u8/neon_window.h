// uint8 depthwise convolutions and pools for plain NEON.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels.h"
#include "kernels/simd/unroll.h"
#include "neon_requantize.h"

namespace mobilenets {
namespace {

// Depthwise weights are packed by eight channels: biases, multipliers, then eight int16 for each tap.
ptrdiff_t depthwise_block_bytes(const Operation& op) {
    return 64 + static_cast<ptrdiff_t>(op.kernel) * op.kernel * 16;
}

size_t depthwise_packed_bytes(const Operation& op) {
    return static_cast<size_t>((op.out_channels + 7) / 8) * static_cast<size_t>(depthwise_block_bytes(op));
}

void depthwise_pack(const Operation& op, const Weights& weights, void* packed) {
    const int32_t taps = op.kernel * op.kernel;
    for (int32_t c = 0; c < op.out_channels; ++c) {
        uint8_t* block = static_cast<uint8_t*>(packed) + c / 8 * depthwise_block_bytes(op);
        std::memcpy(block + 4 * (c % 8), static_cast<const int32_t*>(weights.bias) + c, 4);
        std::memcpy(block + 32 + 4 * (c % 8), weights.multiplier + c, 4);
        auto* to = reinterpret_cast<int16_t*>(block + 64) + c % 8;
        const int8_t* from = static_cast<const int8_t*>(weights.weight) + static_cast<ptrdiff_t>(c) * taps;
        for (int32_t tap = 0; tap < taps; ++tap) to[8 * tap] = from[tap];
    }
}

Grain eight_channels(const Operation&) {
    return {1, 8};
}

// `Columns` neighbouring outputs of eight channels, all of whose windows lie inside the map. `rows` are the input rows;
// `offset` leads to the first column of the first window.
template <int Columns>
void depthwise_inside(const Operation& op, const uint8_t* block, const void* const* rows, ptrdiff_t offset,
                      uint8_t* out, ptrdiff_t out_stride, int32_t channels) {
    int32x4_t sums[Columns][2];
    for (int c = 0; c < Columns; ++c) {
        sums[c][0] = vld1q_s32(reinterpret_cast<const int32_t*>(block));
        sums[c][1] = vld1q_s32(reinterpret_cast<const int32_t*>(block) + 4);
    }
    const auto* weights = reinterpret_cast<const int16_t*>(block + 64);
    const ptrdiff_t step = static_cast<ptrdiff_t>(op.stride) * op.in_channels;
    for (int32_t i = 0; i < op.kernel; ++i) {
        const uint8_t* in = static_cast<const uint8_t*>(rows[i]) + offset;
        for (int32_t j = 0; j < op.kernel; ++j, in += op.in_channels, weights += 8) {
            const int16x8_t weight = vld1q_s16(weights);
            for (int c = 0; c < Columns; ++c) {
                const int16x8_t value = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(in + c * step)));
                sums[c][0] = vmlal_s16(sums[c][0], vget_low_s16(value), vget_low_s16(weight));
                sums[c][1] = vmlal_high_s16(sums[c][1], value, weight);
            }
        }
    }
    for (int c = 0; c < Columns; ++c)
        store_requantized(op, sums[c], reinterpret_cast<const float*>(block + 32), out + c * out_stride, channels);
}

// The same for the kernels and strides of nearly every network: a column is loaded and widened once for all windows
// that it lies in.
template <int Columns, int Kernel, int Stride>
void depthwise_inside(const Operation& op, const uint8_t* block, const void* const* rows, ptrdiff_t offset,
                      uint8_t* out, ptrdiff_t out_stride, int32_t channels) {
    constexpr int kSpan = (Columns - 1) * Stride + Kernel;
    int32x4_t sums[Columns][2];
    MOBILENETS_UNROLL
    for (int c = 0; c < Columns; ++c) {
        sums[c][0] = vld1q_s32(reinterpret_cast<const int32_t*>(block));
        sums[c][1] = vld1q_s32(reinterpret_cast<const int32_t*>(block) + 4);
    }
    const auto* weights = reinterpret_cast<const int16_t*>(block + 64);
    for (int32_t i = 0; i < Kernel; ++i, weights += 8 * Kernel) {
        const uint8_t* in = static_cast<const uint8_t*>(rows[i]) + offset;
        int16x8_t values[kSpan];
        MOBILENETS_UNROLL
        for (int x = 0; x < kSpan; ++x, in += op.in_channels) values[x] = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(in)));
        MOBILENETS_UNROLL
        for (int j = 0; j < Kernel; ++j) {
            const int16x8_t weight = vld1q_s16(weights + 8 * j);
            MOBILENETS_UNROLL
            for (int c = 0; c < Columns; ++c) {
                const int16x8_t value = values[c * Stride + j];
                sums[c][0] = vmlal_s16(sums[c][0], vget_low_s16(value), vget_low_s16(weight));
                sums[c][1] = vmlal_high_s16(sums[c][1], value, weight);
            }
        }
    }
    for (int c = 0; c < Columns; ++c)
        store_requantized(op, sums[c], reinterpret_cast<const float*>(block + 32), out + c * out_stride, channels);
}

// One output whose window reaches beyond the map.
void depthwise_edge(const Operation& op, const uint8_t* block, const void* const* rows, int32_t column, int32_t channel,
                    uint8_t* out, int32_t channels) {
    int32x4_t sums[2] = {vld1q_s32(reinterpret_cast<const int32_t*>(block)),
                         vld1q_s32(reinterpret_cast<const int32_t*>(block) + 4)};
    const auto* weights = reinterpret_cast<const int16_t*>(block + 64);
    for (int32_t i = 0; i < op.kernel; ++i) {
        for (int32_t j = 0; j < op.kernel; ++j, weights += 8) {
            const int32_t x = column + j;
            const bool inside = x >= 0 && x < op.in_width;
            const uint8_t* in =
                static_cast<const uint8_t*>(rows[i]) + static_cast<ptrdiff_t>(inside ? x : 0) * op.in_channels;
            const uint8x8_t bytes = inside ? vld1_u8(in + channel) : vdup_n_u8(static_cast<uint8_t>(op.padding_value));
            const int16x8_t value = vreinterpretq_s16_u16(vmovl_u8(bytes)), weight = vld1q_s16(weights);
            sums[0] = vmlal_s16(sums[0], vget_low_s16(value), vget_low_s16(weight));
            sums[1] = vmlal_high_s16(sums[1], value, weight);
        }
    }
    store_requantized(op, sums, reinterpret_cast<const float*>(block + 32), out, channels);
}

constexpr int32_t kColumns = 4;

// Several windows that lie inside the map.
using DepthwiseTile = void (*)(const Operation&, const uint8_t*, const void* const*, ptrdiff_t, uint8_t*, ptrdiff_t,
                               int32_t);

void depthwise_rows(const Operation& op, const void* packed, const Task& task, DepthwiseTile tile) {
    const ptrdiff_t value_bytes = op.real_output ? 4 : 1;
    for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += 8) {
        const uint8_t* block = static_cast<const uint8_t*>(packed) + channel / 8 * depthwise_block_bytes(op);
        const int32_t channels = task.channel_end - channel < 8 ? task.channel_end - channel : 8;
        for (int32_t y = 0; y < task.count; ++y) {
            const void* const* rows = task.rows + static_cast<ptrdiff_t>(y) * op.stride;
            uint8_t* out = static_cast<uint8_t*>(task.out) + y * task.out_row_stride + channel * value_bytes;
            for (int32_t x = 0; x < op.out_width;) {
                const int32_t column = x * op.stride - op.pad_left;
                const ptrdiff_t offset = static_cast<ptrdiff_t>(column) * op.in_channels + channel;
                const auto inside = [&](int32_t columns) {
                    return column >= 0 && x + columns <= op.out_width &&
                           column + (columns - 1) * op.stride + op.kernel <= op.in_width;
                };
                int32_t made = 1;
                if (inside(kColumns)) {
                    tile(op, block, rows, offset, out, task.out_stride, channels);
                    made = kColumns;
                } else if (inside(1)) {
                    depthwise_inside<1>(op, block, rows, offset, out, task.out_stride, channels);
                } else {
                    depthwise_edge(op, block, rows, column, channel, out, channels);
                }
                x += made;
                out += made * task.out_stride;
            }
        }
    }
}

void depthwise_run(const Operation& op, const void* packed, const Task& task) {
    depthwise_rows(op, packed, task, depthwise_inside<kColumns>);
}

template <int Kernel, int Stride>
bool fits_depthwise(const Operation& op) {
    return op.kernel == Kernel && op.stride == Stride;
}

template <int Kernel, int Stride>
void depthwise_run(const Operation& op, const void* packed, const Task& task) {
    depthwise_rows(op, packed, task, depthwise_inside<kColumns, Kernel, Stride>);
}

size_t packs_nothing(const Operation&) {
    return 0;
}

void pack_nothing(const Operation&, const Weights&, void*) {}

void store_bytes(uint8_t* to, uint8x16_t bytes, int32_t count) {
    if (count >= 16) {
        vst1q_u8(to, bytes);
        return;
    }
    uint8_t values[16];
    vst1q_u8(values, bytes);
    std::memcpy(to, values, static_cast<size_t>(count));
}

Grain sixteen_channels(const Operation&) {
    return {1, 16};
}

void max_pool_run(const Operation& op, const void*, const Task& task) {
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            const int32_t column = x * op.stride - op.pad_left;
            const int32_t first = column < 0 ? 0 : column;
            const int32_t last = op.in_width - column < op.kernel ? op.in_width : column + op.kernel;
            uint8_t* out = static_cast<uint8_t*>(task.out) + y * task.out_row_stride + x * task.out_stride;
            for (int32_t c = task.channel_begin; c < task.channel_end; c += 16) {
                uint8x16_t largest = vdupq_n_u8(0);
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const uint8_t* in = static_cast<const uint8_t*>(task.rows[y * op.stride + i]) +
                                        static_cast<ptrdiff_t>(first) * op.in_channels + c;
                    for (int32_t j = first; j < last; ++j, in += op.in_channels)
                        largest = vmaxq_u8(largest, vld1q_u8(in));
                }
                store_bytes(out + c, largest, task.channel_end - c);
            }
        }
    }
}

}  // namespace
}  // namespace mobilenets
