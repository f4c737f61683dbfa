// The first convolution in float32, straight from the bytes of the image.
//
// Bytes become floats, less their channel's offset, one row at a time in scratch memory, where columns outside the map
// are zeros; a window is then `kernel` contiguous stretches, and the product tile of pointwise.h does the rest.
#pragma once

#include "kernels.h"
#include "pointwise.h"

namespace mobilenets {
namespace {

constexpr int32_t kMostKernelRows = 16;
constexpr int kStemStride = 6;  // values from window to window in nearly every network: stride 2, three channels

// Sizes in floats. Packed memory: panels, then `in_channels` vectors that hold the offsets over and over, because the
// channel of a vector's first value repeats with that period.
struct StemLayout {
    Panels panels;
    int32_t left, inside, row, slots;

    explicit StemLayout(const Operation& op)
        : panels{op.kernel * op.kernel * op.in_channels, op.out_channels},
          left(op.pad_left * op.in_channels),
          inside(op.in_width * op.in_channels),
          row(round_up(((op.out_width - 1) * op.stride + op.kernel) * op.in_channels + 1, Vector::kWidth)),
          slots(op.kernel) {
        const int32_t converted = round_up(left + inside + Vector::kWidth, Vector::kWidth);
        if (row < converted) row = converted;
    }
};

size_t stem_packed_bytes(const Operation& op) {
    return (StemLayout(op).panels.floats() + static_cast<size_t>(op.in_channels) * Vector::kWidth) * sizeof(float);
}

// One row per kernel row, and one of zeros for rows outside the map.
size_t stem_scratch_bytes(const Operation& op) {
    const StemLayout layout(op);
    return static_cast<size_t>(layout.row) * static_cast<size_t>(layout.slots + 1) * sizeof(float);
}

void pack_offsets(const Operation& op, const float* offset, float* packed) {
    for (int32_t i = 0; i < op.in_channels * Vector::kWidth; ++i) packed[i] = offset[i % op.in_channels];
}

void stem_pack(const Operation& op, const Weights& weights, void* packed) {
    const StemLayout layout(op);
    auto* floats = static_cast<float*>(packed);
    const ptrdiff_t channels = op.in_channels, window = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    layout.panels.pack(
        static_cast<const float*>(weights.weight), static_cast<const float*>(weights.bias), floats,
        [=](ptrdiff_t out, ptrdiff_t k) { return (out * channels + k % channels) * window + k / channels; });
    pack_offsets(op, weights.offset, floats + layout.panels.floats());
}

void clear(float* to, int32_t count) {
    std::memset(to, 0, static_cast<size_t>(count) * sizeof(float));
}

void convert_row(const StemLayout& layout, int32_t channels, const uint8_t* bytes, const float* offsets, float* row) {
    clear(row, layout.left);
    float* out = row + layout.left;
    int32_t period = 0;
    for (int32_t i = 0; i < layout.inside; i += Vector::kWidth) {
        Vector::store(out + i,
                      Vector::subtract(Vector::load_bytes(bytes + i), Vector::load(offsets + period * Vector::kWidth)));
        period = period + 1 == channels ? 0 : period + 1;
    }
    clear(out + layout.inside, layout.row - layout.left - layout.inside);
}

// Calls make(segments, out) for each output row: the converted input rows of its windows, and its first pixel.
template <class MakeRow>
void for_each_stem_row(const Operation& op, const float* offsets, const Task& task, MakeRow make) {
    const StemLayout layout(op);
    auto* slots = static_cast<float*>(task.scratch);
    float* zeros = slots + static_cast<ptrdiff_t>(layout.row) * layout.slots;
    clear(zeros, layout.row);
    int32_t converted = 0;
    const float* segments[kMostKernelRows];
    for (int32_t y = 0; y < task.count; ++y) {
        const int32_t top = y * op.stride;
        if (converted < top) converted = top;
        for (; converted < top + op.kernel; ++converted)
            if (task.rows[converted] != nullptr)
                convert_row(layout, op.in_channels, static_cast<const uint8_t*>(task.rows[converted]), offsets,
                            slots + static_cast<ptrdiff_t>(converted % layout.slots) * layout.row);
        for (int32_t i = 0; i < op.kernel; ++i)
            segments[i] = task.rows[top + i] == nullptr
                              ? zeros
                              : slots + static_cast<ptrdiff_t>((top + i) % layout.slots) * layout.row;
        make(segments, reinterpret_cast<float*>(static_cast<char*>(task.out) + y * task.out_row_stride));
    }
}

// A product over the windows of one output row, but for its panel.
Product stem_product(const Operation& op, const Task& task, const float* const* segments, float* out) {
    Product product;
    product.in = segments;
    product.in_stride = op.stride * op.in_channels;
    product.segments = op.kernel;
    product.depth = op.kernel * op.in_channels;
    product.out = out;
    product.out_stride = task.out_stride / 4;
    product.low = op.low_real;
    product.high = op.high_real;
    return product;
}

void stem_run(const Operation& op, const void* packed, const Task& task) {
    const StemLayout layout(op);
    const float* panels = static_cast<const float*>(packed);
    for_each_stem_row(op, panels + layout.panels.floats(), task, [&](const float* const* segments, float* out) {
        for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += kPanelChannels) {
            Product product = stem_product(op, task, segments, out + channel);
            product.panel = panels + layout.panels.start(channel);
            product.channels = layout.panels.width(channel);
            Prefetch prefetch;
            prefetch.at = reinterpret_cast<const char*>(product.panel);
            if (Vector::kStrides && product.in_stride == kStemStride)
                product_panel<Vector::kStrides ? kStemStride : 0>(product, op.out_width, prefetch);
            else
                product_panel(product, op.out_width, prefetch);
        }
    });
}

bool fits_stem(const Operation& op) {
    return op.kernel <= kMostKernelRows;
}

Grain stem_grain(const Operation&) {
    return {1, kPanelChannels};
}

}  // namespace
}  // namespace mobilenets
