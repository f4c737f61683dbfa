// What the outside says about a layer, and the map that the layer makes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels.h"

namespace mobilenets {

constexpr int64_t kLargestMap = int64_t{1} << 31;  // bytes
constexpr int32_t kLargestSide = 1 << 24;          // channels, rows, columns

enum class LayerKind : uint8_t {
    kConvolution,
    kDepthwise,
    kPointwise,
    kLinear,
    kMaxPool,
    kAveragePool,
    kAdd,
    kMultiply,
    kConcatenate
};

// A contiguous array that the caller owns and keeps alive until its layer is packed (see Plan::add).
struct Array {
    const void* data = nullptr;
    size_t count = 0;  // values
};

// What the outside says about one layer. Weights are in PyTorch's layout, but for linear layers over a map, whose rows
// are in (row, column, channel) order. float32: batch norm is folded. uint8: bias holds −in_zero_point · Σ weight.
struct Layer {
    LayerKind kind = LayerKind::kConvolution;
    std::string name;
    std::vector<int32_t> inputs;  // maps by number
    int32_t kernel = 1, stride = 1, pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0, groups = 1;
    int32_t stride_down = 0;  // of rows; 0 where it is that of columns, `stride`
    int32_t out_channels = 0;
    Activation activation = Activation::kNone;
    bool real_output = false;  // of a quantized layer: float32, for nobody reads it but the caller
    bool bounded = true;       // see native/kernels.h
    int32_t in_zero_point = 0, out_zero_point = 0, low = 0, high = 255;
    Array weight, bias, multiplier, weight_zero_point;
    Array table;  // of a quantized layer whose activation is no clamp: 256 bytes, by the clamped byte that it makes; of
                  // a quantized concatenation: 256 bytes for each input, by the input's byte
};

// Rows from window to window.
inline int32_t stride_down(const Layer& layer) {
    return layer.stride_down ? layer.stride_down : layer.stride;
}

// One activation: the input or what a layer makes.
struct Map {
    int32_t channels = 0, height = 0, width = 0;
    Type type = Type::kUint8;
    size_t offset = 0;             // in the arena
    int32_t first = 0, last = -1;  // steps between which it lives; last < 0: nobody needs it as a whole map
    size_t value_bytes() const { return type == Type::kFloat32 ? 4 : 1; }
    size_t pixel_bytes() const { return static_cast<size_t>(channels) * value_bytes(); }
    size_t row_bytes() const { return static_cast<size_t>(width) * pixel_bytes(); }
    size_t bytes() const { return static_cast<size_t>(height) * row_bytes(); }
    int64_t pixels() const { return static_cast<int64_t>(height) * width; }
};

// The clamp that carries an activation; of one that is no clamp, none.
struct Bounds {
    float low, high;
};
Bounds bounds_of(Activation activation);
bool is_clamp(Activation activation);

bool is_stage(LayerKind kind);  // makes rows of a map out of rows of another (see plan.h)

// The map that a layer of a plan of a type makes out of those before it. Throws std::invalid_argument where anything
// does not fit: sizes, windows, groups, weights, ranges.
Map output_of(const Layer& layer, const std::vector<Map>& maps, Type type);

}  // namespace mobilenets
