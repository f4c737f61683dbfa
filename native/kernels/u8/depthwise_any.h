// uint8 depthwise convolution of any kernel size and stride: vectors hold kBytes channels of one pixel, quads four rows
// of one column of its window. Tap g · kernel + j is column j of rows 4 g to 4 g + 3.
#pragma once

#include "depthwise.h"

namespace mobilenets {
namespace {

template <class S>
struct DepthwiseAny {
    using Block = DepthwiseBlock<S>;

    static int taps_of(const Operation& op) { return (op.kernel + 3) / 4 * op.kernel; }
    static bool fits(const Operation& op) { return !op.real_output; }
    static size_t packed_bytes(const Operation& op) {
        return sizeof(Header) +
               static_cast<size_t>((op.in_channels + S::kBytes - 1) / S::kBytes) * Block::bytes(taps_of(op));
    }
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {1, S::kBytes}; }

    static void pack(const Operation& op, const Weights& weights, void* packed) {
        const Finish finish = static_cast<Header*>(packed)->finish = Block::finish(op, weights);
        const int taps = taps_of(op);
        for (int32_t c = 0; c < op.in_channels; ++c) {
            char* block =
                static_cast<char*>(packed) + sizeof(Header) + static_cast<size_t>(c / S::kBytes) * Block::bytes(taps);
            Block::put_parameters(weights, block, c % S::kBytes, c, finish);
            for (int i = 0; i < op.kernel; ++i)
                for (int j = 0; j < op.kernel; ++j)
                    Block::put_weight(block, taps, c % S::kBytes, i / 4 * op.kernel + j, i % 4,
                                      Block::weight_of(op, weights, c, i, j));
        }
    }

    template <class Rounding>
    static MOBILENETS_NOINLINE void row(const Operation& op, const Task& task, const void* const* rows, uint8_t* out,
                                        const char* block, int first, const uint8_t* padding) {
        const Rounding rounding(block, op);
        const int taps = taps_of(op);
        const ptrdiff_t channels = op.in_channels;
        for (int x = 0; x < op.out_width; ++x) {
            typename S::Int sum[4];
            MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) sum[m] = S::load(block + m * S::kBytes);
            for (int i = 0; i < op.kernel; i += 4) {
                const uint8_t* row[4];  // below the kernel the last row again: its weights are zero
                for (int k = 0; k < 4; ++k)
                    row[k] = static_cast<const uint8_t*>(rows[i + k < op.kernel ? i + k : op.kernel - 1]) + first;
                for (int j = 0; j < op.kernel; ++j) {
                    const int column = x * op.stride - op.pad_left + j;
                    const bool inside = column >= 0 && column < op.in_width;
                    const auto at = [&](int k) { return S::load(inside ? row[k] + column * channels : padding); };
                    Column<S> v;
                    make_column<S>(at(0), at(1), at(2), at(3), v);
                    MOBILENETS_UNROLL for (int m = 0; m < 4; ++m)
                        S::dot(sum[m], v[m], Block::weight(block, taps, m, i / 4 * op.kernel + j));
                }
            }
            MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) sum[m] = rounding.round(sum[m], m);
            S::store_bytes(out + x * task.out_stride,
                           rounding.bytes(rounding.words(sum[0], sum[1]), rounding.words(sum[2], sum[3])),
                           task.channel_end - first);
        }
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        uint8_t padding[S::kBytes];
        std::memset(padding, op.padding_value, sizeof padding);
        const bool relu = static_cast<const Header*>(packed)->finish == Finish::kRelu;
        const char* blocks = static_cast<const char*>(packed) + sizeof(Header);
        for (int first = task.channel_begin; first < task.channel_end; first += S::kBytes) {
            const char* block = blocks + static_cast<size_t>(first / S::kBytes) * Block::bytes(taps_of(op));
            for (int y = 0; y < task.count; ++y) {
                const void* const* rows = task.rows + y * op.stride;
                uint8_t* out = static_cast<uint8_t*>(task.out) + y * task.out_row_stride + first;
                if (relu)
                    row<ReluRounding<S, 4>>(op, task, rows, out, block, first, padding);
                else
                    row<ByteRounding<S, 4>>(op, task, rows, out, block, first, padding);
            }
        }
    }
};

}  // namespace
}  // namespace mobilenets
