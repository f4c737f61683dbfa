// uint8 depthwise convolutions and pools in WebAssembly.
//
// Two rows of a window are multiplied at a time: their values stand beside each other as 16-bit pairs. Weights are
// packed by eight channels: biases, multipliers, then for every pair of rows and every column sixteen int16, those of a
// last single row with zeros.
#pragma once

#include <wasm_simd128.h>

#include <cstring>

#include "kernels.h"
#include "kernels/simd/unroll.h"
#include "wasm_requantize.h"

namespace mobilenets {
namespace {

int32_t row_pairs(const Operation& op) {
    return (op.kernel + 1) / 2;
}

ptrdiff_t depthwise_block_bytes(const Operation& op) {
    return 64 + static_cast<ptrdiff_t>(row_pairs(op)) * op.kernel * 32;
}

size_t depthwise_packed_bytes(const Operation& op) {
    return static_cast<size_t>((op.out_channels + 7) / 8) * static_cast<size_t>(depthwise_block_bytes(op));
}

void depthwise_pack(const Operation& op, const Weights& weights, void* packed) {
    for (int32_t c = 0; c < op.out_channels; ++c) {
        uint8_t* block = static_cast<uint8_t*>(packed) + c / 8 * depthwise_block_bytes(op);
        std::memcpy(block + 4 * (c % 8), static_cast<const int32_t*>(weights.bias) + c, 4);
        std::memcpy(block + 32 + 4 * (c % 8), weights.multiplier + c, 4);
        auto* to = reinterpret_cast<int16_t*>(block + 64) + 2 * (c % 8);
        const int8_t* from =
            static_cast<const int8_t*>(weights.weight) + static_cast<ptrdiff_t>(c) * op.kernel * op.kernel;
        for (int32_t i = 0; i < op.kernel; ++i)
            for (int32_t j = 0; j < op.kernel; ++j) to[(i / 2 * op.kernel + j) * 16 + i % 2] = from[i * op.kernel + j];
    }
}

Grain eight_channels(const Operation&) {
    return {1, 8};
}

// Eight channels of two rows, or of one, as two vectors of pairs.
struct RowPair {
    v128_t low, high;

    explicit RowPair(v128_t first) {
        low = wasm_u32x4_extend_low_u16x8(first);
        high = wasm_u32x4_extend_high_u16x8(first);
    }
    RowPair(v128_t first, v128_t second) {
        low = wasm_i16x8_shuffle(first, second, 0, 8, 1, 9, 2, 10, 3, 11);
        high = wasm_i16x8_shuffle(first, second, 4, 12, 5, 13, 6, 14, 7, 15);
    }
    void multiply(v128_t (&sums)[2], const int16_t* weights) const {
        sums[0] = wasm_i32x4_add(sums[0], wasm_i32x4_dot_i16x8(low, wasm_v128_load(weights)));
        sums[1] = wasm_i32x4_add(sums[1], wasm_i32x4_dot_i16x8(high, wasm_v128_load(weights + 8)));
    }
};

constexpr int kColumns = 4;

// kColumns neighbouring outputs of eight channels, all of whose windows lie inside the map. `offset` leads to the first
// column of the first window.
template <int Kernel, int Stride>
void depthwise_inside(const Operation& op, const Requantize& requantize, const uint8_t* block, const void* const* rows,
                      ptrdiff_t offset, uint8_t* out, ptrdiff_t out_stride, int32_t channels) {
    constexpr int kSpan = (kColumns - 1) * Stride + Kernel;
    v128_t sums[kColumns][2];
    MOBILENETS_UNROLL
    for (int c = 0; c < kColumns; ++c) {
        sums[c][0] = wasm_v128_load(block);
        sums[c][1] = wasm_v128_load(block + 16);
    }
    const auto* weights = reinterpret_cast<const int16_t*>(block + 64);
    MOBILENETS_UNROLL
    for (int i = 0; i < Kernel; i += 2, weights += 16 * Kernel) {
        const uint8_t* first = static_cast<const uint8_t*>(rows[i]) + offset;
        const uint8_t* second = i + 1 < Kernel ? static_cast<const uint8_t*>(rows[i + 1]) + offset : nullptr;
        MOBILENETS_UNROLL
        for (int x = 0; x < kSpan; ++x) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(x) * op.in_channels;
            const v128_t upper = wasm_u16x8_load8x8(first + at);
            const RowPair pair = i + 1 < Kernel ? RowPair(upper, wasm_u16x8_load8x8(second + at)) : RowPair(upper);
            MOBILENETS_UNROLL
            for (int c = 0; c < kColumns; ++c) {
                const int j = x - c * Stride;
                if (j >= 0 && j < Kernel) pair.multiply(sums[c], weights + 16 * j);
            }
        }
    }
    MOBILENETS_UNROLL
    for (int c = 0; c < kColumns; ++c)
        requantize.store(sums[c][0], sums[c][1], reinterpret_cast<const float*>(block + 32), out + c * out_stride,
                         channels);
}

// One output of any window, which may reach beyond the map to the left and right.
void depthwise_single(const Operation& op, const Requantize& requantize, const uint8_t* block, const void* const* rows,
                      int32_t column, int32_t channel, uint8_t* out, int32_t channels) {
    v128_t sums[2] = {wasm_v128_load(block), wasm_v128_load(block + 16)};
    const v128_t padding = wasm_i16x8_splat(static_cast<int16_t>(op.padding_value));
    const auto* weights = reinterpret_cast<const int16_t*>(block + 64);
    for (int32_t i = 0; i < op.kernel; i += 2) {
        const auto* first = static_cast<const uint8_t*>(rows[i]);
        const auto* second = static_cast<const uint8_t*>(rows[i + 1 < op.kernel ? i + 1 : i]);  // of weights 0
        for (int32_t j = 0; j < op.kernel; ++j, weights += 16) {
            const int32_t x = column + j;
            const bool inside = x >= 0 && x < op.in_width;
            const ptrdiff_t at = static_cast<ptrdiff_t>(inside ? x : 0) * op.in_channels + channel;
            const RowPair pair = inside ? RowPair(wasm_u16x8_load8x8(first + at), wasm_u16x8_load8x8(second + at))
                                        : RowPair(padding, padding);
            pair.multiply(sums, weights);
        }
    }
    requantize.store(sums[0], sums[1], reinterpret_cast<const float*>(block + 32), out, channels);
}

// Several windows that lie inside the map, or null.
using DepthwiseTile = void (*)(const Operation&, const Requantize&, const uint8_t*, const void* const*, ptrdiff_t,
                               uint8_t*, ptrdiff_t, int32_t);

void depthwise_rows(const Operation& op, const void* packed, const Task& task, DepthwiseTile tile) {
    const Requantize requantize(op);
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
                const bool inside = column >= 0 && x + kColumns <= op.out_width &&
                                    column + (kColumns - 1) * op.stride + op.kernel <= op.in_width;
                int32_t made = 1;
                if (tile != nullptr && inside) {
                    tile(op, requantize, block, rows, offset, out, task.out_stride, channels);
                    made = kColumns;
                } else {
                    depthwise_single(op, requantize, block, rows, column, channel, out, channels);
                }
                x += made;
                out += made * task.out_stride;
            }
        }
    }
}

void depthwise_any_run(const Operation& op, const void* packed, const Task& task) {
    depthwise_rows(op, packed, task, nullptr);
}

template <int Kernel, int Stride>
bool fits_depthwise(const Operation& op) {
    return op.kernel == Kernel && op.stride == Stride;
}

template <int Kernel, int Stride>
void depthwise_run(const Operation& op, const void* packed, const Task& task) {
    depthwise_rows(op, packed, task, depthwise_inside<Kernel, Stride>);
}

size_t packs_nothing(const Operation&) {
    return 0;
}

void pack_nothing(const Operation&, const Weights&, void*) {}

void store_bytes(uint8_t* to, v128_t bytes, int32_t count) {
    if (count >= 16) {
        wasm_v128_store(to, bytes);
        return;
    }
    uint8_t values[16];
    wasm_v128_store(values, bytes);
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
                v128_t largest = wasm_i32x4_splat(0);
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const uint8_t* in = static_cast<const uint8_t*>(task.rows[y * op.stride + i]) +
                                        static_cast<ptrdiff_t>(first) * op.in_channels + c;
                    for (int32_t j = first; j < last; ++j, in += op.in_channels)
                        largest = wasm_u8x16_max(largest, wasm_v128_load(in));
                }
                store_bytes(out + c, largest, task.channel_end - c);
            }
        }
    }
}

// Packed memory: bias and multiplier.
size_t average_packed_bytes(const Operation&) {
    return 8;
}

void average_pack(const Operation&, const Weights& weights, void* packed) {
    std::memcpy(packed, weights.bias, 4);
    std::memcpy(static_cast<uint8_t*>(packed) + 4, weights.multiplier, 4);
}

void average_pool_run(const Operation& op, const void* packed, const Task& task) {
    const Requantize requantize(op);
    int32_t bias;
    float multipliers[8];
    std::memcpy(&bias, packed, 4);
    std::memcpy(multipliers, static_cast<const uint8_t*>(packed) + 4, 4);
    for (float& multiplier : multipliers) multiplier = multipliers[0];
    const ptrdiff_t value_bytes = op.real_output ? 4 : 1;
    for (int32_t c = task.channel_begin; c < task.channel_end; c += 8) {
        v128_t low = wasm_i32x4_splat(bias), high = low;
        const uint8_t* in = static_cast<const uint8_t*>(task.in) + c;
        for (int32_t pixel = 0; pixel < task.count; ++pixel, in += task.in_stride) {
            const v128_t values = wasm_u16x8_load8x8(in);
            low = wasm_i32x4_add(low, wasm_u32x4_extend_low_u16x8(values));
            high = wasm_i32x4_add(high, wasm_u32x4_extend_high_u16x8(values));
        }
        const int32_t channels = task.channel_end - c < 8 ? task.channel_end - c : 8;
        requantize.store(low, high, multipliers, static_cast<uint8_t*>(task.out) + c * value_bytes, channels);
    }
}

}  // namespace
}  // namespace mobilenets
