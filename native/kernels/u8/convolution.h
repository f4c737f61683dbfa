// uint8 dense convolution 3×3 with dot products of bytes, straight from the rows of a map.
//
// The windows of neighbouring pixels of one row of output begin at equal distances in every row of input, and are three
// contiguous stretches: the tiles of pointwise.h need nothing else. Only windows that reach beyond the left or right
// edge are gathered, those of several rows of output together. Packed memory is a pointwise layer's, whose input
// channels are the values of the window by row, column and channel.
#pragma once

#include "pointwise.h"

namespace mobilenets {
namespace {

template <class S, int kRows, int kVectors>
struct Convolution {
    static constexpr int kKernel = 3;
    static constexpr int kTogether = kRows;  // rows of output whose windows at an edge are gathered at a time
    using P = Pointwise<S, kRows, kVectors, DirectProduct, kKernel>;
    using Gathered = Pointwise<S, kRows, kVectors>;

    static Operation product(const Operation& op) {
        Operation product = op;
        product.kind = Kind::kPointwise;
        product.in_channels = kKernel * kKernel * op.in_channels;
        return product;
    }

    // Stretches of whole steps: otherwise values of one would be multiplied by weights of the next.
    static bool fits(const Operation& op) { return op.kernel == kKernel && kKernel * op.in_channels % S::kStep == 0; }
    static size_t packed_bytes(const Operation& op) { return P::packed_bytes(product(op)); }
    static size_t scratch_bytes(const Operation& op) {
        return static_cast<size_t>(kTogether) * static_cast<size_t>(product(op).in_channels);
    }
    static Grain grain(const Operation&) { return {1, P::kPanel}; }

    // Weights come by channel, row, column.
    static void pack(const Operation& op, const Weights& weights, void* packed) {
        constexpr int kWindow = kKernel * kKernel;
        const ptrdiff_t length = product(op).in_channels;
        const auto* from = static_cast<const int8_t*>(weights.weight);
        auto* to = new int8_t[static_cast<size_t>(length) * static_cast<size_t>(op.out_channels)];
        for (ptrdiff_t c = 0; c < op.out_channels; ++c)
            for (ptrdiff_t k = 0; k < op.in_channels; ++k)
                for (ptrdiff_t i = 0; i < kWindow; ++i)
                    to[c * length + i * op.in_channels + k] = from[c * length + k * kWindow + i];
        Weights reordered = weights;
        reordered.weight = to;
        P::pack(product(op), reordered, packed);
        delete[] to;
    }

    static void gather(const Operation& op, const void* const* rows, int column, uint8_t* to) {
        const ptrdiff_t channels = op.in_channels;
        for (int i = 0; i < kKernel; ++i)
            for (int j = 0; j < kKernel; ++j, to += channels) {
                const bool outside = column + j < 0 || column + j >= op.in_width;
                if (outside)
                    std::memset(to, op.padding_value, static_cast<size_t>(channels));
                else
                    std::memcpy(to, static_cast<const uint8_t*>(rows[i]) + (column + j) * channels,
                                static_cast<size_t>(channels));
            }
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const Operation values = product(op);
        int left = (op.pad_left + op.stride - 1) / op.stride;
        if (left > op.out_width) left = op.out_width;
        const int room = op.in_width + op.pad_left - kKernel;
        int end = room < 0 ? 0 : room / op.stride + 1;  // the first pixel whose window passes the right edge
        if (end > op.out_width) end = op.out_width;
        if (end < left) end = left;
        for (int first = 0; first < task.count; first += kTogether) {
            const int rows = task.count - first < kTogether ? task.count - first : kTogether;
            for (int x = 0; x < op.out_width; ++x)
                if (x < left || x >= end) column(op, values, packed, task, first, rows, x);
            for (int y = first; y < first + rows && left < end; ++y) {
                Task part = task;
                part.in_stride = static_cast<ptrdiff_t>(op.stride) * op.in_channels;
                part.count = end - left;
                part.out = static_cast<char*>(task.out) + y * task.out_row_stride + left * task.out_stride;
                const uint8_t* segments[kKernel];
                for (int i = 0; i < kKernel; ++i)
                    segments[i] = static_cast<const uint8_t*>(task.rows[y * op.stride + i]) +
                                  static_cast<ptrdiff_t>(left * op.stride - op.pad_left) * op.in_channels;
                P::multiply_segments(values, packed, part, segments);
            }
        }
    }

    // Pixel x of so many rows of output, whose windows reach beyond an edge.
    static void column(const Operation& op, const Operation& values, const void* packed, const Task& task, int first,
                       int rows, int x) {
        Task part = task;
        part.in = task.scratch;
        part.in_stride = values.in_channels;
        part.count = rows;
        part.out = static_cast<char*>(task.out) + first * task.out_row_stride + x * task.out_stride;
        part.out_stride = task.out_row_stride;
        for (int y = 0; y < rows; ++y)
            gather(op, task.rows + (first + y) * op.stride, x * op.stride - op.pad_left,
                   static_cast<uint8_t*>(task.scratch) + y * part.in_stride);
        Gathered::multiply(values, packed, part);
    }
};

}  // namespace
}  // namespace mobilenets
