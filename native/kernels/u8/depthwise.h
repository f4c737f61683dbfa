// uint8 depthwise convolution on dot products of quads.
//
// Rows are interleaved byte by byte, so that the quads of a column hold three or four rows of one channel, and a dot
// product takes a whole column of a filter. Results leave by saturating packs, which undo the interleaving.
//
// Packed memory: Header, then blocks of kBytes channels: [parameters of 4 vectors][for each of the 4 vectors: kTaps
// vectors of weights]. Vector m of a block holds channels 16 g + 4 m + e in lane 4 g + e.
#pragma once

#include "requantize.h"

namespace mobilenets {
namespace {

// Where a filter's weights lie in the taps of a block: tap t, byte b of the quads holds weight (row, column), or none.
struct FilterTap {
    int tap, byte, row, column;
};

// The block of channels that all formulations here share.
template <class S>
struct DepthwiseBlock {
    static size_t bytes(int taps) {
        return Parameters<S>::bytes(4) + size_t{4} * static_cast<size_t>(taps * S::kWeightBytes);
    }

    static int weight_of(const Operation& op, const Weights& weights, int32_t c, int row, int column) {
        const ptrdiff_t index = (static_cast<ptrdiff_t>(c) * op.kernel + row) * op.kernel + column;
        return static_cast<const int8_t*>(weights.weight)[index] - (weights.zero_point ? weights.zero_point[c] : 0);
    }

    static Finish finish(const Operation& op, const Weights& weights) {
        Finish finish = plain_finish(op);
        for (int32_t c = 0; c < op.out_channels && finish == Finish::kRelu; ++c) {
            const auto bias = static_cast<const int32_t*>(weights.bias)[c];
            Range range{bias, bias};
            for (int i = 0; i < op.kernel; ++i)
                for (int j = 0; j < op.kernel; ++j) range.add(weight_of(op, weights, c, i, j));
            if (!relu_is_exact(range, weights.multiplier[c])) finish = Finish::kBytes;
        }
        return finish;
    }

    // Byte `position` of the block is channel c.
    static void put_parameters(const Weights& weights, char* block, int position, int32_t c, Finish finish) {
        const int index = position % 16 / 4 * S::kLanes + position / 16 * 4 + position % 4;
        Parameters<S>::put(block, 4, index, static_cast<const int32_t*>(weights.bias)[c], weights.multiplier[c],
                           finish);
    }
    static void put_weight(char* block, int taps, int position, int tap, int byte, int weight) {
        char* vectors = block + Parameters<S>::bytes(4) + (position % 16 / 4 * taps + tap) * S::kWeightBytes;
        S::put_weight(vectors, position / 16 * 4 + position % 4, byte, weight);
    }
    // In a register from here on: the compiler would load it again for every use.
    static MOBILENETS_INLINE typename S::Quads weight(const char* block, int taps, int vector, int tap) {
        auto quads = S::load_weights(block + Parameters<S>::bytes(4) + (vector * taps + tap) * S::kWeightBytes);
        S::pin(quads);
        return quads;
    }
};

// 3×3, stride 1: four rows interleaved serve two rows of output. Taps: column j for the upper row (rows 0 to 2 of the
// quad) and for the lower (rows 1 to 3).
struct Stride1Taps {
    static constexpr int kTaps = 6, kCount = 18;
    static FilterTap at(int i) {
        const int lower = i / 9, row = i % 9 / 3, column = i % 3;
        return {2 * column + lower, row + lower, row, column};
    }
};

// 3×3, stride 2. Quads A hold a left column and the top of the middle one, (0,0) (1,0) (2,0) (0,1), and serve a second
// time as the right column of the pixel before. Quads B hold the rest of the middle column for two pixels of output.
struct Stride2Taps {
    static constexpr int kTaps = 4, kCount = 11;
    static FilterTap at(int i) {
        constexpr FilterTap taps[] = {{0, 0, 0, 0}, {0, 1, 1, 0}, {0, 2, 2, 0}, {0, 3, 0, 1},
                                      {1, 0, 1, 1}, {1, 1, 2, 1}, {2, 2, 1, 1}, {2, 3, 2, 1},
                                      {3, 0, 0, 2}, {3, 1, 1, 2}, {3, 2, 2, 2}};
        return taps[i];
    }
};

template <int kStride>
struct StrideTaps {
    using type = Stride1Taps;
};
template <>
struct StrideTaps<2> {
    using type = Stride2Taps;
};

template <class S, class Taps>
void pack_depthwise_position(const Operation& op, const Weights& weights, char* block, int position, int32_t c,
                             Finish finish) {
    using Block = DepthwiseBlock<S>;
    Block::put_parameters(weights, block, position, c, finish);
    for (int i = 0; i < Taps::kCount; ++i) {
        const FilterTap t = Taps::at(i);
        Block::put_weight(block, Taps::kTaps, position, t.tap, t.byte,
                          Block::weight_of(op, weights, c, t.row, t.column));
    }
}

// Four rows of one block, four vectors of quads.
template <class S>
using Column = typename S::Quads[4];

template <class S>
MOBILENETS_INLINE void make_column(typename S::Int a, typename S::Int b, typename S::Int c, typename S::Int d,
                                   Column<S>& out) {
    typename S::Int v[4];
    S::interleave(a, b, c, d, v);
    MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) out[m] = S::quads(v[m]);
}

template <class S>
MOBILENETS_INLINE void copy_column(const Column<S>& from, Column<S>& to) {
    MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) to[m] = from[m];
}

// What becomes of the four sums of kResults results, vector by vector.
template <class S, int kResults>
struct Results {
    typename S::Int even[kResults], low[kResults], high[kResults];

    template <class Rounding>
    MOBILENETS_INLINE void add(const Rounding& r, int vector, int result, typename S::Int sum) {
        const auto rounded = r.round(sum, vector);
        if (vector % 2 == 0)
            even[result] = rounded;
        else
            (vector == 1 ? low : high)[result] = r.words(even[result], rounded);
    }
};

// Two rows of kPixels pixels of output from columns [0, kPixels + 2), which `quads(column, vector)` gives.
template <class S, int kPixels, class Rounding, class Source>
MOBILENETS_INLINE void stride1_results(const char* block, const Rounding& r, const Source& quads,
                                       typename S::Int (&upper)[kPixels], typename S::Int (&lower)[kPixels]) {
    using Block = DepthwiseBlock<S>;
    Results<S, 2 * kPixels> results;
    MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) {
        auto start = S::load(block + m * S::kBytes);
        S::pin(start);
        typename S::Int sum[2 * kPixels];
        MOBILENETS_UNROLL for (int i = 0; i < 2 * kPixels; ++i) sum[i] = start;
        MOBILENETS_UNROLL for (int j = 0; j < 3; ++j) {
            const auto above = Block::weight(block, Stride1Taps::kTaps, m, 2 * j);
            const auto below = Block::weight(block, Stride1Taps::kTaps, m, 2 * j + 1);
            MOBILENETS_UNROLL for (int i = 0; i < kPixels; ++i) {
                const auto x = quads(i, j, m);
                S::dot(sum[2 * i], x, above);
                S::dot(sum[2 * i + 1], x, below);
            }
        }
        MOBILENETS_UNROLL for (int i = 0; i < 2 * kPixels; ++i) results.add(r, m, i, sum[i]);
    }
    MOBILENETS_UNROLL for (int i = 0; i < kPixels; ++i) {
        upper[i] = r.bytes(results.low[2 * i], results.high[2 * i]);
        lower[i] = r.bytes(results.low[2 * i + 1], results.high[2 * i + 1]);
    }
}

// Two pixels of output from the left and right quads A of each, and the quads B of both.
template <class S, class Rounding, class Source>
MOBILENETS_INLINE void stride2_results(const char* block, const Rounding& r, const Column<S>& b, const Source& quads,
                                       typename S::Int (&out)[2]) {
    using Block = DepthwiseBlock<S>;
    Results<S, 2> results;
    MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) {
        auto start = S::load(block + m * S::kBytes);
        S::pin(start);
        const auto left = Block::weight(block, Stride2Taps::kTaps, m, 0);
        const auto right = Block::weight(block, Stride2Taps::kTaps, m, 3);
        MOBILENETS_UNROLL for (int i = 0; i < 2; ++i) {
            auto sum = start;
            S::dot(sum, quads(i, 0, m), left);
            S::dot(sum, b[m], Block::weight(block, Stride2Taps::kTaps, m, 1 + i));
            S::dot(sum, quads(i, 1, m), right);
            results.add(r, m, i, sum);
        }
    }
    MOBILENETS_UNROLL for (int i = 0; i < 2; ++i) out[i] = r.bytes(results.low[i], results.high[i]);
}

// Whether columns of the padding are to be expected.
template <bool kEdge>
struct Edge {
    static constexpr bool value = kEdge;
};

// Vectors hold kBytes channels of one pixel. The last block may hold fewer.
template <class S, int kStride>
struct DepthwiseWide {
    using Taps = typename StrideTaps<kStride>::type;
    using Block = DepthwiseBlock<S>;

    static bool fits(const Operation& op) { return !op.real_output && op.kernel == 3 && op.stride == kStride; }
    static int blocks_of(const Operation& op) { return (op.in_channels + S::kBytes - 1) / S::kBytes; }
    static size_t packed_bytes(const Operation& op) {
        return sizeof(Header) + static_cast<size_t>(blocks_of(op)) * Block::bytes(Taps::kTaps);
    }
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {kStride == 1 ? 2 : 1, S::kBytes}; }

    static void pack(const Operation& op, const Weights& weights, void* packed) {
        const Finish finish = static_cast<Header*>(packed)->finish = Block::finish(op, weights);
        for (int32_t c = 0; c < op.in_channels; ++c) {
            char* block = static_cast<char*>(packed) + sizeof(Header) +
                          static_cast<size_t>(c / S::kBytes) * Block::bytes(Taps::kTaps);
            pack_depthwise_position<S, Taps>(op, weights, block, c % S::kBytes, c, finish);
        }
    }

    // One block of one row of output (or of two).
    struct Strip {
        const uint8_t* row[4];
        uint8_t* out[2];
        int channels;

        // Field by field, so that the copy lives in registers.
        MOBILENETS_INLINE Strip copy() const { return {{row[0], row[1], row[2], row[3]}, {out[0], out[1]}, channels}; }
    };

    // Where the bytes of a column lie, or those of the padding.
    struct Columns {
        const uint8_t* padding;
        int width;
        ptrdiff_t channels;
        template <bool kEdge>
        MOBILENETS_INLINE const uint8_t* at(const uint8_t* row, int column) const {
            if constexpr (kEdge)
                if (static_cast<unsigned>(column) >= static_cast<unsigned>(width)) return padding;
            return row + column * channels;
        }
        MOBILENETS_INLINE bool all_inside(int first, int last) const { return first >= 0 && last < width; }
    };

    template <class Rounding>
    static MOBILENETS_INLINE void strip(const Operation& op, const Task& task, const Strip& s, const char* block,
                                        const Columns& columns) {
        const Rounding rounding(block, op);
        if constexpr (kStride == 1)
            stride1(op, task, s, block, columns, rounding);
        else
            stride2(op, task, s, block, columns, rounding);
    }

    template <class Rounding>
    static MOBILENETS_NOINLINE void stride1(const Operation& op, const Task& task, const Strip& strip_of,
                                            const char* block, const Columns& columns_of, const Rounding& rounding) {
        const Strip s = strip_of.copy();  // because bytes that are stored may lie anywhere for the compiler
        const Columns columns = columns_of;
        const Rounding r = rounding;
        const ptrdiff_t out_stride = task.out_stride;
        const int out_width = op.out_width;
        Column<S> v[4];
        const auto load = [&](auto edge, int column, Column<S>& out) {
            constexpr bool kEdge = decltype(edge)::value;
            make_column<S>(S::load(columns.template at<kEdge>(s.row[0], column)),
                           S::load(columns.template at<kEdge>(s.row[1], column)),
                           S::load(columns.template at<kEdge>(s.row[2], column)),
                           S::load(columns.template at<kEdge>(s.row[3], column)), out);
        };
        const auto quads = [&](int pixel, int column, int m) { return v[pixel + column][m]; };
        int column = -op.pad_left, x = 0;
        load(Edge<true>(), column, v[0]);
        load(Edge<true>(), column + 1, v[1]);
        for (column += 2; x + 2 <= out_width; x += 2, column += 2) {
            if (columns.all_inside(column, column + 1)) {
                load(Edge<false>(), column, v[2]);
                load(Edge<false>(), column + 1, v[3]);
            } else {
                load(Edge<true>(), column, v[2]);
                load(Edge<true>(), column + 1, v[3]);
            }
            typename S::Int upper[2], lower[2];
            stride1_results<S, 2>(block, r, quads, upper, lower);
            MOBILENETS_UNROLL for (int i = 0; i < 2; ++i) {
                // the upper row last: where there is no lower one, both are the same
                S::store_bytes(s.out[1] + (x + i) * out_stride, lower[i], s.channels);
                S::store_bytes(s.out[0] + (x + i) * out_stride, upper[i], s.channels);
            }
            copy_column<S>(v[2], v[0]);
            copy_column<S>(v[3], v[1]);
        }
        if (x < out_width) {
            load(Edge<true>(), column, v[2]);
            typename S::Int upper[1], lower[1];
            stride1_results<S, 1>(block, r, quads, upper, lower);
            S::store_bytes(s.out[1] + x * out_stride, lower[0], s.channels);
            S::store_bytes(s.out[0] + x * out_stride, upper[0], s.channels);
        }
    }

    template <class Rounding>
    static MOBILENETS_NOINLINE void stride2(const Operation& op, const Task& task, const Strip& strip_of,
                                            const char* block, const Columns& columns_of, const Rounding& rounding) {
        const Strip s = strip_of.copy();
        const Columns columns = columns_of;
        const Rounding r = rounding;
        const ptrdiff_t out_stride = task.out_stride;
        const int out_width = op.out_width;
        Column<S> a[3], b;
        const auto quads = [&](int pixel, int side, int m) { return a[pixel + side][m]; };
        const auto load = [&](auto edge, int column) {
            constexpr bool kEdge = decltype(edge)::value;
            const auto at = [&](int row, int offset) {
                return S::load(columns.template at<kEdge>(s.row[row], column + offset));
            };
            make_column<S>(at(0, 2), at(1, 2), at(2, 2), at(0, 3), a[1]);
            make_column<S>(at(0, 4), at(1, 4), at(2, 4), at(0, 5), a[2]);
            make_column<S>(at(1, 1), at(2, 1), at(1, 3), at(2, 3), b);
        };
        int column = -op.pad_left;
        load(Edge<true>(), column - 4);
        copy_column<S>(a[2], a[0]);
        for (int x = 0; x < out_width; x += 2, column += 4) {
            if (columns.all_inside(column + 1, column + 5))
                load(Edge<false>(), column);
            else
                load(Edge<true>(), column);
            typename S::Int out[2];
            stride2_results<S>(block, r, b, quads, out);
            S::store_bytes(s.out[0] + x * out_stride, out[0], s.channels);
            if (x + 1 < out_width) S::store_bytes(s.out[0] + (x + 1) * out_stride, out[1], s.channels);
            copy_column<S>(a[2], a[0]);
        }
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        uint8_t padding[S::kBytes];
        std::memset(padding, op.padding_value, sizeof padding);
        const Columns columns{padding, op.in_width, op.in_channels};
        const bool relu = static_cast<const Header*>(packed)->finish == Finish::kRelu;
        const char* blocks = static_cast<const char*>(packed) + sizeof(Header);
        constexpr int kStep = kStride == 1 ? 2 : 1;  // rows of output at once
        for (int first = task.channel_begin; first < task.channel_end; first += S::kBytes) {
            const char* block = blocks + static_cast<size_t>(first / S::kBytes) * Block::bytes(Taps::kTaps);
            for (int y = 0; y < task.count; y += kStep) {
                const bool both = y + kStep <= task.count;
                Strip s;
                for (int i = 0; i < 4; ++i) {
                    const int row = y * kStride + (i < 3 || (kStep == 2 && both) ? i : 2);
                    s.row[i] = static_cast<const uint8_t*>(task.rows[row]) + first;
                }
                s.out[0] = static_cast<uint8_t*>(task.out) + y * task.out_row_stride + first;
                s.out[1] = s.out[0] + (both ? task.out_row_stride : 0);
                s.channels = task.channel_end - first < S::kBytes ? task.channel_end - first : S::kBytes;
                if (relu)
                    strip<ReluRounding<S, 4>>(op, task, s, block, columns);
                else
                    strip<ByteRounding<S, 4>>(op, task, s, block, columns);
            }
        }
    }
};

}  // namespace
}  // namespace mobilenets
