// Dense convolutions in float32, straight from the rows of a map.
//
// The windows of neighbouring pixels of one row of output begin at equal distances in every row of input, and are
// `kernel` contiguous stretches: the product tile of pointwise.h needs nothing else. Only windows that reach beyond the
// left or right edge are gathered, those of several rows of output together. Sums are made in one order everywhere.
#pragma once

#include "kernels.h"
#include "pointwise.h"

namespace mobilenets {
namespace {

constexpr int32_t kMostWindowRows = 7;  // of a kernel
constexpr int32_t kRowsTogether = 14;   // of output, whose windows at an edge are gathered at a time

struct ConvolutionLayout {
    Panels panels;
    int32_t depth;                // values of a window
    int32_t left, inside, right;  // pixels of a row of output: at the left edge, beyond no edge, at the right

    explicit ConvolutionLayout(const Operation& op)
        : panels{op.kernel * op.kernel * op.in_channels, op.out_channels}, depth(panels.depth) {
        left = (op.pad_left + op.stride - 1) / op.stride;
        if (left > op.out_width) left = op.out_width;
        const int32_t room = op.in_width + op.pad_left - op.kernel;
        int32_t end = room < 0 ? 0 : room / op.stride + 1;  // the first pixel whose window passes the right edge
        if (end > op.out_width) end = op.out_width;
        inside = end > left ? end - left : 0;
        right = op.out_width - left - inside;
    }
};

bool fits_convolution(const Operation& op) {
    return op.kernel <= kMostWindowRows;
}

size_t convolution_packed_bytes(const Operation& op) {
    return ConvolutionLayout(op).panels.floats() * sizeof(float);
}

size_t convolution_scratch_bytes(const Operation& op) {
    return static_cast<size_t>(kRowsTogether) * static_cast<size_t>(ConvolutionLayout(op).depth) * sizeof(float);
}

void convolution_pack(const Operation& op, const Weights& weights, void* packed) {
    const ptrdiff_t channels = op.in_channels, window = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    ConvolutionLayout(op).panels.pack(
        static_cast<const float*>(weights.weight), static_cast<const float*>(weights.bias), static_cast<float*>(packed),
        [=](ptrdiff_t out, ptrdiff_t k) { return (out * channels + k % channels) * window + k / channels; });
}

Grain convolution_grain(const Operation&) {
    return {1, kPanelChannels};
}

// One window, zeros outside the row.
void gather_window(const Operation& op, const void* const* rows, int32_t column, float* to) {
    const ptrdiff_t channels = op.in_channels;
    for (int32_t i = 0; i < op.kernel; ++i)
        for (int32_t j = 0; j < op.kernel; ++j, to += channels) {
            const bool outside = column + j < 0 || column + j >= op.in_width;
            const auto* row = static_cast<const float*>(rows[i]);
            const auto bytes = static_cast<size_t>(channels) * sizeof(float);
            if (outside)
                std::memset(to, 0, bytes);
            else
                std::memcpy(to, row + (column + j) * channels, bytes);
        }
}

// Every panel over so many rows of the product.
void convolution_products(const ConvolutionLayout& layout, const void* packed, const Task& task, int32_t rows,
                          Product product) {
    float* const out = product.out;
    for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += kPanelChannels) {
        product.panel = static_cast<const float*>(packed) + layout.panels.start(channel);
        product.channels = layout.panels.width(channel);
        product.out = out + channel;
        Prefetch prefetch;
        prefetch.at = reinterpret_cast<const char*>(product.panel);
        product_panel(product, rows, prefetch);
    }
}

void convolution_run(const Operation& op, const void* packed, const Task& task) {
    const ConvolutionLayout layout(op);
    const auto pixel = [&](int32_t y, int32_t x) {
        return reinterpret_cast<float*>(static_cast<char*>(task.out) + y * task.out_row_stride + x * task.out_stride);
    };
    Product product;
    product.low = op.low_real;
    product.high = op.high_real;
    const auto* gathered = static_cast<const float*>(task.scratch);
    for (int32_t first = 0; first < task.count; first += kRowsTogether) {
        const int32_t rows = task.count - first < kRowsTogether ? task.count - first : kRowsTogether;
        product.segments = 1;
        product.in = &gathered;
        product.in_stride = product.depth = layout.depth;
        product.out_stride = task.out_row_stride / 4;
        for (int32_t edge = 0; edge < layout.left + layout.right; ++edge) {
            const int32_t x = edge < layout.left ? edge : edge + layout.inside;
            for (int32_t y = 0; y < rows; ++y)
                gather_window(op, task.rows + (first + y) * op.stride, x * op.stride - op.pad_left,
                              static_cast<float*>(task.scratch) + static_cast<ptrdiff_t>(y) * layout.depth);
            product.out = pixel(first, x);
            convolution_products(layout, packed, task, rows, product);
        }
        if (layout.inside == 0) continue;
        const float* segments[kMostWindowRows];
        product.segments = op.kernel;
        product.in = segments;
        product.in_stride = op.stride * op.in_channels;
        product.depth = op.kernel * op.in_channels;
        product.out_stride = task.out_stride / 4;
        for (int32_t y = first; y < first + rows; ++y) {
            for (int32_t i = 0; i < op.kernel; ++i)
                segments[i] = static_cast<const float*>(task.rows[y * op.stride + i]) +
                              static_cast<ptrdiff_t>(layout.left * op.stride - op.pad_left) * op.in_channels;
            product.out = pixel(y, layout.left);
            convolution_products(layout, packed, task, layout.inside, product);
        }
    }
}

}  // namespace
}  // namespace mobilenets
