// Products of pixels and weights over uint8 in WebAssembly: pointwise and linear layers, and the first convolution.
//
// Written once over `Dot`, how bytes are multiplied. Weights lie in panels of eight output channels: their biases,
// their multipliers, then what Dot makes of the weights. A tile keeps rows × 8 sums in registers.
#pragma once

#include <wasm_simd128.h>

#include <cstring>

#include "kernels.h"
#include "kernels/simd/unroll.h"
#include "wasm_requantize.h"

namespace mobilenets {
namespace {

constexpr int kMostRows = 4, kPanelChannels = 8;

// Values of one window: `segments` stretches of `depth` contiguous bytes each, `in_stride` bytes from row to row.
struct Input {
    const uint8_t* const* segments = nullptr;
    ptrdiff_t offset = 0, stride = 0;
    int32_t count = 1, groups = 0;  // segments; groups of four bytes of each
};

// Weights of one panel to one segment after the other, four input channels at a time; what is missing is zero.
// weight(channel, segment, k)
template <class Weight>
void put_bytes(int8_t* to, int32_t channels, int32_t segments, int32_t depth, int32_t groups, Weight weight) {
    for (int32_t s = 0; s < segments; ++s)
        for (int32_t k = 0; k < depth; ++k)
            for (int32_t c = 0; c < channels; ++c)
                to[((s * groups + k / 4) * kPanelChannels + c) * 4 + k % 4] = weight(c, s, k);
}

// Both factors become 16 bits wide.
struct DotWide {
    static int input_offset() { return 0; }
    static ptrdiff_t bytes(int32_t groups) { return static_cast<ptrdiff_t>(groups) * 64; }

    static void pack(const int8_t* weights, int32_t groups, uint8_t* to) {
        auto* const wide = reinterpret_cast<int16_t*>(to);
        for (int32_t g = 0; g < groups; ++g)
            for (int32_t pair = 0; pair < 2; ++pair)
                for (int32_t c = 0; c < kPanelChannels; ++c)
                    for (int32_t i = 0; i < 2; ++i)
                        wide[((g * 2 + pair) * kPanelChannels + c) * 2 + i] =
                            weights[(g * kPanelChannels + c) * 4 + 2 * pair + i];
    }

    template <int Rows>
    static void multiply(v128_t (&sums)[Rows][2], const Input& input, const uint8_t* weights) {
        for (int32_t s = 0; s < input.count; ++s) {
            const uint8_t* in = input.segments[s] + input.offset;
            for (int32_t g = 0; g < input.groups; ++g, in += 4, weights += 64) {
                const v128_t first = wasm_v128_load(weights), second = wasm_v128_load(weights + 16);
                const v128_t third = wasm_v128_load(weights + 32), fourth = wasm_v128_load(weights + 48);
                MOBILENETS_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    const v128_t values = wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(in + r * input.stride));
                    const v128_t low = wasm_i32x4_shuffle(values, values, 0, 0, 0, 0);
                    sums[r][0] = wasm_i32x4_add(sums[r][0], wasm_i32x4_dot_i16x8(low, first));
                    sums[r][1] = wasm_i32x4_add(sums[r][1], wasm_i32x4_dot_i16x8(low, second));
                    const v128_t high = wasm_i32x4_shuffle(values, values, 1, 1, 1, 1);
                    sums[r][0] = wasm_i32x4_add(sums[r][0], wasm_i32x4_dot_i16x8(high, third));
                    sums[r][1] = wasm_i32x4_add(sums[r][1], wasm_i32x4_dot_i16x8(high, fourth));
                }
            }
        }
    }
};

// Of one operation: how its weights lie in memory, whether its windows are one stretch of bytes or several.
template <class Dot>
struct Panels {
    int32_t segments, depth, groups;

    explicit Panels(const Operation& op)
        : segments(op.kind == Kind::kStem ? op.kernel : 1),
          depth(op.kind == Kind::kStem ? op.kernel * op.in_channels : op.in_channels),
          groups((depth + 3) / 4) {}
    ptrdiff_t bytes() const { return 8 * kPanelChannels + (Dot::bytes(segments * groups) + 15) / 16 * 16; }
    static int32_t count(const Operation& op) { return (op.out_channels + kPanelChannels - 1) / kPanelChannels; }
};

template <class Dot>
size_t product_packed_bytes(const Operation& op) {
    const Panels<Dot> panels(op);
    const auto plain = static_cast<size_t>(panels.segments * panels.groups) * 4 * kPanelChannels;  // see product_pack
    return static_cast<size_t>(panels.count(op)) * static_cast<size_t>(panels.bytes()) + plain;
}

template <class Dot>
void product_pack(const Operation& op, const Weights& weights, void* packed) {
    const Panels<Dot> panels(op);
    const auto* weight = static_cast<const int8_t*>(weights.weight);
    const int32_t window = op.kernel * op.kernel;
    auto* panel = static_cast<uint8_t*>(packed);
    auto* const plain = reinterpret_cast<int8_t*>(panel + panels.count(op) * panels.bytes());
    const int32_t plain_bytes = panels.segments * panels.groups * 4 * kPanelChannels;
    for (int32_t first = 0; first < op.out_channels; first += kPanelChannels, panel += panels.bytes()) {
        const int32_t channels = op.out_channels - first < kPanelChannels ? op.out_channels - first : kPanelChannels;
        const auto weight_of = [&](int32_t c, int32_t segment, int32_t k) -> int8_t {
            const ptrdiff_t filter = first + c;
            if (op.kind != Kind::kStem) return weight[filter * op.in_channels + k];
            const int32_t tap = segment * op.kernel + k / op.in_channels;
            return weight[(filter * op.in_channels + k % op.in_channels) * window + tap];
        };
        std::memset(plain, 0, static_cast<size_t>(plain_bytes));
        put_bytes(plain, channels, panels.segments, panels.depth, panels.groups, weight_of);
        for (int32_t c = 0; c < channels; ++c) {
            uint32_t sum = 0;
            for (int32_t s = 0; s < panels.segments; ++s)
                for (int32_t k = 0; k < panels.depth; ++k) sum += static_cast<uint32_t>(weight_of(c, s, k));
            const uint32_t whole = static_cast<const uint32_t*>(weights.bias)[first + c] +
                                   sum * static_cast<uint32_t>(Dot::input_offset());
            std::memcpy(panel + 4 * c, &whole, 4);
            std::memcpy(panel + 4 * (kPanelChannels + c), &weights.multiplier[first + c], 4);
        }
        Dot::pack(plain, panels.segments * panels.groups, panel + 8 * kPanelChannels);
    }
}

struct ProductTile {
    Input input;
    const uint8_t* panel = nullptr;
    uint8_t* out = nullptr;
    ptrdiff_t out_stride = 0;
    int32_t channels = 0;  // that the panel really has
};

template <class Dot, int Rows>
void product_tile(const Requantize& requantize, const ProductTile& tile) {
    v128_t sums[Rows][2];
    const v128_t first = wasm_v128_load(tile.panel), second = wasm_v128_load(tile.panel + 16);
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) {
        sums[r][0] = first;
        sums[r][1] = second;
    }
    Dot::template multiply<Rows>(sums, tile.input, tile.panel + 64);
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r)
        requantize.store(sums[r][0], sums[r][1], reinterpret_cast<const float*>(tile.panel + 32),
                         tile.out + r * tile.out_stride, tile.channels);
}

// All rows against one panel, in tiles of nearly equal size.
template <class Dot>
void product_panel(const Requantize& requantize, ProductTile tile, int32_t rows) {
    while (rows > 0) {
        const int32_t step = rows >= kMostRows + 2 || rows == kMostRows ? kMostRows : rows > 3 ? 3 : rows;
        switch (step) {
            case 1:
                product_tile<Dot, 1>(requantize, tile);
                break;
            case 2:
                product_tile<Dot, 2>(requantize, tile);
                break;
            case 3:
                product_tile<Dot, 3>(requantize, tile);
                break;
            default:
                product_tile<Dot, kMostRows>(requantize, tile);
        }
        rows -= step;
        tile.input.offset += step * tile.input.stride;
        tile.out += step * tile.out_stride;
    }
}

template <class Dot>
void product_of(const Operation& op, const void* packed, const Task& task, const Input& input, int32_t rows,
                uint8_t* out) {
    const Panels<Dot> panels(op);
    const Requantize requantize(op);
    const ptrdiff_t value_bytes = op.real_output ? 4 : 1;
    ProductTile tile;
    tile.input = input;
    tile.input.count = panels.segments;
    tile.input.groups = panels.groups;
    tile.out_stride = task.out_stride;
    for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += kPanelChannels) {
        tile.panel = static_cast<const uint8_t*>(packed) + channel / kPanelChannels * panels.bytes();
        tile.out = out + channel * value_bytes;
        tile.channels = task.channel_end - channel < kPanelChannels ? task.channel_end - channel : kPanelChannels;
        product_panel<Dot>(requantize, tile, rows);
    }
}

template <class Dot>
void pointwise_run(const Operation& op, const void* packed, const Task& task) {
    const auto* in = static_cast<const uint8_t*>(task.in);
    Input input;
    input.segments = &in;
    input.stride = task.in_stride;
    product_of<Dot>(op, packed, task, input, task.count, static_cast<uint8_t*>(task.out));
}

Grain product_grain(const Operation&) {
    return {kMostRows, kPanelChannels};
}

// The first convolution: rows of the image with their padding are copied to scratch memory, and a window is `kernel`
// stretches of them.
constexpr int32_t kMostKernelRows = 16;

bool fits_stem(const Operation& op) {
    return op.kernel <= kMostKernelRows;
}

size_t stem_row_bytes(const Operation& op) {
    const int32_t columns = op.pad_left + op.in_width;
    const int32_t read = (op.out_width - 1) * op.stride + op.kernel;
    return static_cast<size_t>((columns > read ? columns : read) * op.in_channels + 15) / 16 * 16;
}

size_t stem_scratch_bytes(const Operation& op) {
    return static_cast<size_t>(op.kernel) * stem_row_bytes(op) + 16;  // the last group reads past its window
}

template <class Dot>
void stem_run(const Operation& op, const void* packed, const Task& task) {
    const size_t row_bytes = stem_row_bytes(op), left = static_cast<size_t>(op.pad_left * op.in_channels);
    auto* const scratch = static_cast<uint8_t*>(task.scratch);
    std::memset(scratch, op.padding_value, stem_scratch_bytes(op));
    const uint8_t* segments[kMostKernelRows];
    Input input;
    input.segments = segments;
    input.stride = op.stride * op.in_channels;
    int32_t copied = 0;
    for (int32_t y = 0; y < task.count; ++y) {
        const int32_t top = y * op.stride;
        if (copied < top) copied = top;
        for (; copied < top + op.kernel; ++copied)
            std::memcpy(scratch + static_cast<size_t>(copied % op.kernel) * row_bytes + left, task.rows[copied],
                        static_cast<size_t>(op.in_width * op.in_channels));
        for (int32_t i = 0; i < op.kernel; ++i)
            segments[i] = scratch + static_cast<size_t>((top + i) % op.kernel) * row_bytes;
        product_of<Dot>(op, packed, task, input, op.out_width,
                        static_cast<uint8_t*>(task.out) + y * task.out_row_stride);
    }
}

Grain stem_grain(const Operation&) {
    return {1, kPanelChannels};
}

bool fits_all(const Operation&) {
    return true;
}

size_t no_scratch(const Operation&) {
    return 0;
}

}  // namespace
}  // namespace mobilenets
