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

// Values of one window: `count` segments of `groups` times four contiguous values; offset and stride, from row to row,
// in values.
struct Input {
    const void* const* segments = nullptr;
    ptrdiff_t offset = 0, stride = 0;
    int32_t count = 1, groups = 0;
};

// Bytes as they are, or as int16.
void copy_values(const uint8_t* from, int32_t count, uint8_t* to) {
    std::memcpy(to, from, static_cast<size_t>(count));
}
void copy_values(const uint8_t* from, int32_t count, int16_t* to) {
    int32_t i = 0;
    for (; i + 8 <= count; i += 8) wasm_v128_store(to + i, wasm_u16x8_load8x8(from + i));
    for (; i < count; ++i) to[i] = from[i];
}

// Weights of one panel to one segment after the other, four input channels at a time; what is missing is zero.
// weight(channel, segment, k)
template <class Weight>
void put_bytes(int8_t* to, int32_t channels, int32_t segments, int32_t depth, int32_t groups, Weight weight) {
    for (int32_t s = 0; s < segments; ++s)
        for (int32_t k = 0; k < depth; ++k)
            for (int32_t c = 0; c < channels; ++c)
                to[((s * groups + k / 4) * kPanelChannels + c) * 4 + k % 4] = weight(c, s, k);
}

// The same of a pointwise layer's rows of `depth` weights, a whole group at a time: a page packs millions of them
// before it shows anything.
void put_rows(int8_t* to, const int8_t* weights, int32_t channels, int32_t depth, int32_t groups) {
    for (int32_t c = 0; c < channels; ++c, weights += depth) {
        int8_t* at = to + 4 * c;
        for (int32_t g = 0; g < depth / 4; ++g, at += 4 * kPanelChannels) std::memcpy(at, weights + 4 * g, 4);
        if (depth / 4 < groups) std::memcpy(at, weights + depth / 4 * 4, static_cast<size_t>(depth % 4));
    }
}

// Both factors are 16 bits wide, the input by `widen` before it is multiplied, so that a load can repeat two values.
struct DotWide {
    using Value = int16_t;
    static int input_offset() { return 0; }
    static ptrdiff_t bytes(int32_t groups) { return static_cast<ptrdiff_t>(groups) * 64; }

    // The first two values of eight channels, then the other two.
    static void pack(const int8_t* weights, int32_t groups, uint8_t* to) {
        for (; groups > 0; --groups, weights += 4 * kPanelChannels, to += 64) {
            const v128_t low = wasm_v128_load(weights), high = wasm_v128_load(weights + 16);
            const v128_t first =
                wasm_i8x16_shuffle(low, high, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29);
            const v128_t second =
                wasm_i8x16_shuffle(low, high, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
            wasm_v128_store(to, wasm_i16x8_extend_low_i8x16(first));
            wasm_v128_store(to + 16, wasm_i16x8_extend_high_i8x16(first));
            wasm_v128_store(to + 32, wasm_i16x8_extend_low_i8x16(second));
            wasm_v128_store(to + 48, wasm_i16x8_extend_high_i8x16(second));
        }
    }

    template <int Rows>
    static void multiply(v128_t (&sums)[Rows][2], const Input& input, const uint8_t* weights) {
        for (int32_t s = 0; s < input.count; ++s) {
            const auto* in = static_cast<const int16_t*>(input.segments[s]) + input.offset;
            for (int32_t pairs = 2 * input.groups; pairs > 0; --pairs, in += 2, weights += 32) {
                const v128_t first = wasm_v128_load(weights), second = wasm_v128_load(weights + 16);
                MOBILENETS_UNROLL
                for (int r = 0; r < Rows; ++r) {
                    const v128_t values = wasm_v128_load32_splat(in + r * input.stride);
                    sums[r][0] = wasm_i32x4_add(sums[r][0], wasm_i32x4_dot_i16x8(values, first));
                    sums[r][1] = wasm_i32x4_add(sums[r][1], wasm_i32x4_dot_i16x8(values, second));
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
            const int32_t tap = segment * op.kernel + k / op.in_channels;
            return weight[(filter * op.in_channels + k % op.in_channels) * window + tap];
        };
        std::memset(plain, 0, static_cast<size_t>(plain_bytes));
        if (op.kind == Kind::kStem) {
            put_bytes(plain, channels, panels.segments, panels.depth, panels.groups, weight_of);
        } else {
            put_rows(plain, weight + static_cast<ptrdiff_t>(first) * op.in_channels, channels, panels.depth,
                     panels.groups);
        }
        for (int32_t c = 0; c < channels; ++c) {
            uint32_t sum = 0;
            if (Dot::input_offset() != 0)
                for (int32_t i = 4 * c; i < plain_bytes; i += 4 * kPanelChannels)
                    for (int32_t k = i; k < i + 4; ++k) sum += static_cast<uint32_t>(plain[k]);
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
template <class Dot, int Rows = kMostRows>
void product_rows(const Requantize& requantize, const ProductTile& tile, int32_t rows) {
    if constexpr (Rows > 1)
        if (rows != Rows) return product_rows<Dot, Rows - 1>(requantize, tile, rows);
    product_tile<Dot, Rows>(requantize, tile);
}

template <class Dot>
void product_panel(const Requantize& requantize, ProductTile tile, int32_t rows) {
    for (int32_t tiles = (rows + kMostRows - 1) / kMostRows; tiles > 0; --tiles) {
        const int32_t step = (rows + tiles - 1) / tiles;
        product_rows<Dot>(requantize, tile, step);
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

// Pixels that are widened at a time stay in the first- or second-level cache while every panel passes over them.
constexpr int32_t kBlockBytes = 48 * 1024;

int32_t padded_depth(const Operation& op) {
    return (op.in_channels + 7) / 8 * 8;
}

int32_t block_pixels(const Operation& op) {
    const int32_t fitting = kBlockBytes / 2 / padded_depth(op) / kMostRows * kMostRows;
    return fitting < kMostRows ? kMostRows : fitting;
}

size_t wide_scratch_bytes(const Operation& op) {
    return static_cast<size_t>(block_pixels(op)) * static_cast<size_t>(padded_depth(op)) * 2;
}

template <class Dot>
void pointwise_run(const Operation& op, const void* packed, const Task& task) {
    const auto* in = static_cast<const uint8_t*>(task.in);
    auto* out = static_cast<uint8_t*>(task.out);
    Input input;
    const void* first = in;
    input.segments = &first;
    input.stride = task.in_stride;
    if constexpr (sizeof(typename Dot::Value) == 1) return product_of<Dot>(op, packed, task, input, task.count, out);
    auto* const wide = static_cast<int16_t*>(task.scratch);
    input.stride = padded_depth(op);
    first = wide;
    const int32_t most = block_pixels(op);
    for (int32_t done = 0; done < task.count; done += most) {
        const int32_t pixels = task.count - done < most ? task.count - done : most;
        // What lies between two pixels is multiplied by zero.
        for (int32_t p = 0; p < pixels; ++p)
            copy_values(in + (done + p) * task.in_stride, op.in_channels, wide + p * input.stride);
        product_of<Dot>(op, packed, task, input, pixels, out + done * task.out_stride);
    }
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

size_t stem_row_values(const Operation& op) {
    const int32_t columns = op.pad_left + op.in_width;
    const int32_t read = (op.out_width - 1) * op.stride + op.kernel;
    return static_cast<size_t>((columns > read ? columns : read) * op.in_channels + 15) / 16 * 16;
}

template <class Dot>
size_t stem_scratch_bytes(const Operation& op) {
    // The last group of four reads past its window.
    return (static_cast<size_t>(op.kernel) * stem_row_values(op) + 16) * sizeof(typename Dot::Value);
}

template <class Dot>
void stem_run(const Operation& op, const void* packed, const Task& task) {
    using Value = typename Dot::Value;
    const size_t row = stem_row_values(op);
    auto* const scratch = static_cast<Value*>(task.scratch);
    for (size_t i = 0; i < stem_scratch_bytes<Dot>(op) / sizeof(Value); ++i)
        scratch[i] = static_cast<Value>(op.padding_value);
    const void* segments[kMostKernelRows];
    Input input;
    input.segments = segments;
    input.stride = op.stride * op.in_channels;
    int32_t copied = 0;
    for (int32_t y = 0; y < task.count; ++y) {
        const int32_t top = y * op.stride;
        if (copied < top) copied = top;
        for (; copied < top + op.kernel; ++copied)
            copy_values(static_cast<const uint8_t*>(task.rows[copied]), op.in_width * op.in_channels,
                        scratch + static_cast<size_t>(copied % op.kernel) * row + op.pad_left * op.in_channels);
        for (int32_t i = 0; i < op.kernel; ++i)
            segments[i] = scratch + static_cast<size_t>((top + i) % op.kernel) * row;
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
