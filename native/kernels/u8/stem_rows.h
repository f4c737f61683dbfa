// uint8 first convolution 3×3 where there are no dot products of bytes: the tiles of pointwise.h on windows that lie
// in three rows of 16-bit words, each widened once for a row of output. A window's values in one row are contiguous, so
// nothing is gathered; the pair that a row of odd length ends in has a weight of zero.
//
// Packed memory is a pointwise layer's, whose input channels are the values of the window, row by row, each row padded
// to whole steps.
#pragma once

#include "pointwise.h"

namespace mobilenets {
namespace {

template <class S, int kRows, int kVectors>
struct StemRows {
    static constexpr int kKernel = 3;
    using P = Pointwise<S, kRows, kVectors, DirectProduct, kKernel>;
    static_assert(S::kStep == 2, "values are widened to words");

    static int row_values(const Operation& op) { return (kKernel * op.in_channels + 1) / 2 * 2; }
    static Operation product(const Operation& op) {
        Operation product = op;
        product.kind = Kind::kPointwise;
        product.in_channels = kKernel * row_values(op);
        return product;
    }
    // Bytes of a widened row: padding before, the row, and padding behind as far as the last window reaches.
    static ptrdiff_t row_bytes(const Operation& op) {
        const int32_t reached = (op.out_width - 1) * op.stride + kKernel, inside = op.pad_left + op.in_width;
        const ptrdiff_t values = static_cast<ptrdiff_t>(reached > inside ? reached : inside) * op.in_channels;
        return (2 * values + 2 * S::kBytes + 63) / 64 * 64;
    }

    static bool fits(const Operation& op) { return op.kernel == kKernel; }
    static size_t packed_bytes(const Operation& op) { return P::packed_bytes(product(op)); }
    static size_t scratch_bytes(const Operation& op) { return kKernel * static_cast<size_t>(row_bytes(op)); }
    static Grain grain(const Operation&) { return {1, P::kPanel}; }

    // Weights come by channel, row, column; windows lie by row, column, channel.
    static void pack(const Operation& op, const Weights& weights, void* packed) {
        const Operation values = product(op);
        const int length = kKernel * op.in_channels;
        auto* reordered = new int8_t[static_cast<size_t>(values.in_channels) * static_cast<size_t>(op.out_channels)];
        for (ptrdiff_t c = 0; c < op.out_channels; ++c) {
            const auto* from = static_cast<const int8_t*>(weights.weight) + c * length * kKernel;
            int8_t* to = reordered + c * values.in_channels;
            for (int row = 0; row < kKernel; ++row) {
                for (int k = 0; k < length; ++k)
                    *to++ = from[(k % op.in_channels * kKernel + row) * kKernel + k / op.in_channels];
                // A value that is not the window's: what its weight is worth must be zero.
                if (length % 2) *to++ = weights.zero_point ? weights.zero_point[c] : int8_t{0};
            }
        }
        Weights as_values = weights;
        as_values.weight = reordered;
        P::pack(values, as_values, packed);
        delete[] reordered;
    }

    static void widen(const Operation& op, const uint8_t* from, uint8_t* to) {
        const int left = op.pad_left * op.in_channels, inside = op.in_width * op.in_channels;
        const auto padding = S::fill_words(op.padding_value);
        const auto end = static_cast<int>(row_bytes(op) - S::kBytes);
        for (int i = 0; 2 * i < 2 * left; i += S::kBytes / 2) S::store(to + 2 * i, padding);
        for (int i = 0; i < inside; i += S::kBytes / 2) S::store(to + 2 * (left + i), S::widen(from + i));
        for (int i = 2 * (left + inside); i <= end; i += S::kBytes) S::store(to + i, padding);
        if (2 * (left + inside) <= end) S::store(to + end, padding);
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const Operation values = product(op);
        auto* rows = static_cast<uint8_t*>(task.scratch);
        Task part = task;
        part.in = rows;
        part.in_stride = static_cast<ptrdiff_t>(2) * op.stride * op.in_channels;
        part.count = op.out_width;
        for (int y = 0; y < task.count; ++y) {
            for (int i = 0; i < kKernel; ++i)
                widen(op, static_cast<const uint8_t*>(task.rows[y * op.stride + i]), rows + i * row_bytes(op));
            part.out = static_cast<char*>(task.out) + y * task.out_row_stride;
            const uint8_t* const segments[] = {rows, rows + row_bytes(op), rows + 2 * row_bytes(op)};
            P::multiply_segments(values, packed, part, segments);
        }
    }
};

}  // namespace
}  // namespace mobilenets
