// uint8 depthwise 5×5, stride 1 and 2: the interleaved columns of a stretch of rows are made once, in scratch memory,
// and every output that lies over a column reads them from there.
//
// A column holds eight vectors: four of quads of rows 0 to 3, and four of what is left. At stride 1 two rows of output
// are made together, and what is left is rows 4 and 5 of a column and of the next one. At stride 2 it is row 4 of four
// columns side by side.
#pragma once

#include "depthwise.h"

namespace mobilenets {
namespace {

// Taps 0 to 4 meet the columns of rows 0 to 3, taps 5 to 7 the pairs of columns 0, 2 and 4; the lower row's follow.
struct Stride1Taps5x5 {
    static constexpr int kTaps = 16, kCount = 50, kPerRow = 8;
    static FilterTap at(int i) {
        const int lower = i / 25, row = i % 25 / 5, column = i % 5, from = row + lower;
        if (from < 4) return {8 * lower + column, from, row, column};
        return {8 * lower + 5 + column / 2, column % 2 * 2 + from - 4, row, column};
    }
    // Column of a tap, counted from the first of a window, and whether it is of the second four vectors.
    static constexpr int column_of(int tap) { return tap < 5 ? tap : 2 * (tap - 5); }
    static constexpr bool is_rest(int tap) { return tap >= 5; }
};

// Taps 0 to 4 meet the columns of rows 0 to 3, tap 5 columns 0 to 3 of row 4, and tap 6 its column 4.
struct Stride2Taps5x5 {
    static constexpr int kTaps = 7, kCount = 25, kPerRow = 7;
    static FilterTap at(int i) {
        const int row = i / 5, column = i % 5;
        if (row < 4) return {column, row, row, column};
        return {column < 4 ? 5 : 6, column % 4, row, column};
    }
    static constexpr int column_of(int tap) { return tap < 5 ? tap : 4 * (tap - 5); }
    static constexpr bool is_rest(int tap) { return tap >= 5; }
};

template <int kStride>
struct StrideTaps5x5 {
    using type = Stride1Taps5x5;
};
template <>
struct StrideTaps5x5<2> {
    using type = Stride2Taps5x5;
};

template <class S, int kStride>
struct Depthwise5x5 {
    using Taps = typename StrideTaps5x5<kStride>::type;
    using Block = DepthwiseBlock<S>;
    using Int = typename S::Int;
    static constexpr int kRows = kStride == 1 ? 2 : 1;       // of output at once
    static constexpr int kInputs = kStride == 1 ? 6 : 5;     // rows of input that they read
    static constexpr int kPixels = S::kBytes >= 64 ? 4 : 2;  // sums of kRows × kPixels outputs fit in registers
    static constexpr int kStretch = kStride == 1 ? 28 : 8;                      // outputs whose columns are made together
    static constexpr int kColumns = (kStretch - 1) * kStride + 5;
    static constexpr int kColumnBytes = 8 * S::kBytes;

    static bool fits(const Operation& op) { return !op.real_output && op.kernel == 5 && op.stride == kStride; }
    static size_t packed_bytes(const Operation& op) {
        return sizeof(Header) +
               static_cast<size_t>((op.in_channels + S::kBytes - 1) / S::kBytes) * Block::bytes(Taps::kTaps);
    }
    static size_t scratch_bytes(const Operation&) { return size_t{kColumns} * kColumnBytes; }
    static Grain grain(const Operation&) { return {kRows, S::kBytes}; }

    static void pack(const Operation& op, const Weights& weights, void* packed) {
        const Finish finish = static_cast<Header*>(packed)->finish = Block::finish(op, weights);
        for (int32_t c = 0; c < op.in_channels; ++c) {
            char* block = static_cast<char*>(packed) + sizeof(Header) +
                          static_cast<size_t>(c / S::kBytes) * Block::bytes(Taps::kTaps);
            pack_depthwise_position<S, Taps>(op, weights, block, c % S::kBytes, c, finish);
        }
    }

    // One block of channels of kRows rows of output.
    struct Strip {
        const uint8_t* row[kInputs];
        uint8_t* out[kRows];
        int channels;
    };

    // Interleaves `count` columns from `first` on, which may lie outside the map.
    static MOBILENETS_NOINLINE void make_columns(const Operation& op, const Strip& s, int first, int count,
                                                 const uint8_t* padding, char* columns) {
        const ptrdiff_t channels = op.in_channels;
        const auto width = static_cast<unsigned>(op.in_width);
        const auto at = [&](int row, int column) {
            return S::load(static_cast<unsigned>(column) < width ? s.row[row] + column * channels : padding);
        };
        const auto put = [&](Int a, Int b, Int c, Int d, char* to) {
            Int v[4];
            S::interleave(a, b, c, d, v);
            MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) S::store(to + m * S::kBytes, v[m]);
        };
        for (int i = 0; i < count; ++i, columns += kColumnBytes) {
            const int c = first + i;
            put(at(0, c), at(1, c), at(2, c), at(3, c), columns);
            char* const rest = columns + 4 * S::kBytes;
            if constexpr (kStride == 1)
                put(at(4, c), at(5, c), at(4, c + 1), at(5, c + 1), rest);
            else if (i % 2 == 0)  // a window begins at an even column, and its column 4 is even
                put(at(4, c), at(4, c + 1), at(4, c + 2), at(4, c + 3), rest);
        }
    }

    // kCount pixels of output, whose windows begin at `columns`.
    template <int kCount, class Rounding>
    static MOBILENETS_INLINE void tile(const char* block, const Rounding& r, const char* columns, const Strip& s,
                                       ptrdiff_t to, ptrdiff_t out_stride) {
        constexpr int kSums = kRows * kCount;
        Results<S, kSums> results;
        MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) {
            auto start = S::load(block + m * S::kBytes);
            S::pin(start);
            Int sum[kSums];
            MOBILENETS_UNROLL for (int i = 0; i < kSums; ++i) sum[i] = start;
            MOBILENETS_UNROLL for (int tap = 0; tap < Taps::kPerRow; ++tap) {
                typename S::Quads weight[kRows];
                MOBILENETS_UNROLL for (int row = 0; row < kRows; ++row) weight[row] =
                    Block::weight(block, Taps::kTaps, m, Taps::kPerRow * row + tap);
                MOBILENETS_UNROLL for (int i = 0; i < kCount; ++i) {
                    const char* at = columns + (kStride * i + Taps::column_of(tap)) * kColumnBytes;
                    const auto x = S::quads(S::load(at + ((Taps::is_rest(tap) ? 4 : 0) + m) * S::kBytes));
                    MOBILENETS_UNROLL for (int row = 0; row < kRows; ++row)
                        S::dot(sum[kRows * i + row], x, weight[row]);
                }
            }
            MOBILENETS_UNROLL for (int i = 0; i < kSums; ++i) results.add(r, m, i, sum[i]);
        }
        MOBILENETS_UNROLL for (int i = 0; i < kCount; ++i) {
            // the upper row last: where there is no lower one, both are the same
            MOBILENETS_UNROLL for (int row = kRows - 1; row >= 0; --row)
                S::store_bytes(s.out[row] + to + i * out_stride,
                               r.bytes(results.low[kRows * i + row], results.high[kRows * i + row]), s.channels);
        }
    }

    template <class Rounding>
    static MOBILENETS_NOINLINE void strip(const Operation& op, const Task& task, const Strip& s, const char* block,
                                          const uint8_t* padding) {
        const Rounding r(block, op);
        char* const scratch = static_cast<char*>(task.scratch);
        const ptrdiff_t stride = task.out_stride;
        for (int x = 0; x < op.out_width; x += kStretch) {
            const int end = x + kStretch < op.out_width ? x + kStretch : op.out_width;
            make_columns(op, s, x * kStride - op.pad_left, (end - x - 1) * kStride + 5, padding, scratch);
            const auto columns = [&](int at) { return scratch + (at - x) * kStride * kColumnBytes; };
            int at = x;
            for (; at + kPixels <= end; at += kPixels) tile<kPixels>(block, r, columns(at), s, at * stride, stride);
            if (kPixels > 2 && at + 2 <= end) {
                tile<2>(block, r, columns(at), s, at * stride, stride);
                at += 2;
            }
            if (at < end) tile<1>(block, r, columns(at), s, at * stride, stride);
        }
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        uint8_t padding[S::kBytes];
        std::memset(padding, op.padding_value, sizeof padding);
        const bool relu = static_cast<const Header*>(packed)->finish == Finish::kRelu;
        const char* blocks = static_cast<const char*>(packed) + sizeof(Header);
        for (int first = task.channel_begin; first < task.channel_end; first += S::kBytes) {
            const char* block = blocks + static_cast<size_t>(first / S::kBytes) * Block::bytes(Taps::kTaps);
            for (int y = 0; y < task.count; y += kRows) {
                const bool both = y + kRows <= task.count;
                Strip s;
                for (int i = 0; i < kInputs; ++i)
                    s.row[i] = static_cast<const uint8_t*>(task.rows[y * kStride + (i < 5 || both ? i : 4)]) + first;
                s.out[0] = static_cast<uint8_t*>(task.out) + y * task.out_row_stride + first;
                if (kRows == 2) s.out[kRows - 1] = s.out[0] + (both ? task.out_row_stride : 0);
                s.channels = task.channel_end - first < S::kBytes ? task.channel_end - first : S::kBytes;
                if (relu)
                    strip<ReluRounding<S, 4>>(op, task, s, block, padding);
                else
                    strip<ByteRounding<S, 4>>(op, task, s, block, padding);
            }
        }
    }
};

}  // namespace
}  // namespace mobilenets
