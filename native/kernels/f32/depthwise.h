// float32 depthwise convolutions, written once over `Vector`.
//
// Weights are packed by vector of channels: bias, then one vector for each tap in row-major order. Every output is the
// sum of bias and taps in that order, whichever tile computes it.
#pragma once

#include "kernels.h"
#include "kernels/simd/unroll.h"
#include "pointwise.h"

namespace mobilenets {
namespace {

constexpr int kTileColumns = Vector::kMostColumns, kTileRows = Vector::kRegisters >= 32 ? 2 : 1;

// Outputs of one tile: where its inputs, weights and outputs are. Strides are in floats.
struct DepthwiseTask {
    const void* const* rows = nullptr;  // input rows of the first output row
    ptrdiff_t in_offset = 0;            // of the first input column, which may lie outside the map
    ptrdiff_t in_stride = 0;            // from input column to column
    const float* packed = nullptr;
    float* out = nullptr;
    ptrdiff_t out_stride = 0, out_row_stride = 0;
    int32_t channel_begin = 0, channel_end = 0;
    float low = 0, high = 0;
};

// A number as a type.
template <int kValue>
struct Count {
    static constexpr int value = kValue;
};

using DepthwiseTile = void (*)(const DepthwiseTask&);

// 3×3 filters, `Rows` × `Columns` outputs, all channels of the task. `Left` and `Right` say that the first and the last
// input column are padding.
template <int Stride, int Rows, int Columns, bool Left, bool Right>
void depthwise_tile(const DepthwiseTask& task) {
    constexpr int kInputs = (Columns - 1) * Stride + 3;
    const Vector::Floats low = Vector::broadcast(task.low), high = Vector::broadcast(task.high);
    for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += Vector::kWidth) {
        const float* weights = task.packed + static_cast<ptrdiff_t>(channel) * 10;
        const Vector::Floats bias = Vector::load(weights);
        Vector::Floats sums[Rows][Columns];
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
        for (int c = 0; c < Columns; ++c) sums[r][c] = bias;
        MOBILENETS_UNROLL
        for (int i = 0; i < 3; ++i) {
            Vector::Floats weight[3];
            MOBILENETS_UNROLL
            for (int j = 0; j < 3; ++j) {
                weight[j] = Vector::load(weights + (1 + 3 * i + j) * Vector::kWidth);
                Vector::pin(weight[j]);
            }
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const float* row = static_cast<const float*>(task.rows[r * Stride + i]) + task.in_offset + channel;
                MOBILENETS_UNROLL
                for (int x = 0; x < kInputs; ++x) {
                    if ((Left && x == 0) || (Right && x == kInputs - 1)) continue;
                    const Vector::Floats value = Vector::load(row + x * task.in_stride);
                    MOBILENETS_UNROLL
                    for (int c = 0; c < Columns; ++c)
                        if (x >= c * Stride && x < c * Stride + 3)
                            sums[r][c] = Vector::multiply_add(value, weight[x - c * Stride], sums[r][c]);
                }
            }
        }
        const int32_t lanes = task.channel_end - channel;
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
        for (int c = 0; c < Columns; ++c) {
            const Vector::Floats result = Vector::min(Vector::max(sums[r][c], low), high);
            float* out = task.out + r * task.out_row_stride + c * task.out_stride + channel;
            if (lanes < Vector::kWidth)
                Vector::store_first(out, result, lanes);
            else
                Vector::store(out, result);
        }
    }
}

template <int Stride, int Rows, int Columns>
DepthwiseTile depthwise_tile_at(bool left, bool right) {
    if (left)
        return right ? depthwise_tile<Stride, Rows, Columns, true, true>
                     : depthwise_tile<Stride, Rows, Columns, true, false>;
    return right ? depthwise_tile<Stride, Rows, Columns, false, true>
                 : depthwise_tile<Stride, Rows, Columns, false, false>;
}

template <int Stride, int Rows, int Columns = kTileColumns>
DepthwiseTile depthwise_tile_of(int32_t columns, bool left, bool right) {
    if constexpr (Columns == 1)
        return depthwise_tile_at<Stride, Rows, 1>(left, right);
    else
        return columns == Columns ? depthwise_tile_at<Stride, Rows, Columns>(left, right)
                                  : depthwise_tile_of<Stride, Rows, Columns - 1>(columns, left, right);
}

size_t depthwise_packed_bytes(const Operation& op) {
    const auto taps = static_cast<size_t>(op.kernel) * static_cast<size_t>(op.kernel);
    return (taps + 1) * static_cast<size_t>(round_up(op.out_channels, Vector::kWidth)) * sizeof(float);
}

void depthwise_pack(const Operation& op, const Weights& weights, void* packed) {
    const ptrdiff_t taps = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    const auto* weight = static_cast<const float*>(weights.weight);
    const auto* bias = static_cast<const float*>(weights.bias);
    for (int32_t channel = 0; channel < op.out_channels; ++channel) {
        const int32_t lane = channel % Vector::kWidth;
        float* to = static_cast<float*>(packed) + (taps + 1) * (channel - lane) + lane;
        *to = bias[channel];
        for (ptrdiff_t tap = 0; tap < taps; ++tap) to[(tap + 1) * Vector::kWidth] = weight[channel * taps + tap];
    }
}

Grain depthwise_grain(const Operation&) {
    return {1, 64 > Vector::kWidth ? 64 : Vector::kWidth};
}

// Input columns that the last output column reads beyond the map.
int32_t missing_columns(const Operation& op) {
    return (op.out_width - 1) * op.stride - op.pad_left + op.kernel - op.in_width;
}

bool fits_depthwise_3x3(const Operation& op) {
    return op.kernel == 3 && op.stride <= 2 && op.pad_left <= 1 && missing_columns(op) <= 1;
}

// One or two rows of outputs, all columns, in tiles of nearly equal width.
template <int Stride, int Rows>
void depthwise_rows(const Operation& op, DepthwiseTask task) {
    const int32_t tiles = (op.out_width + kTileColumns - 1) / kTileColumns;
    const int32_t size = op.out_width / tiles, larger = op.out_width % tiles;
    const bool left = op.pad_left == 1, right = missing_columns(op) == 1;
    task.in_offset = -op.pad_left * task.in_stride;
    for (int32_t tile = 0; tile < tiles; ++tile) {
        const int32_t columns = tile < larger ? size + 1 : size;
        depthwise_tile_of<Stride, Rows>(columns, left && tile == 0, right && tile == tiles - 1)(task);
        task.in_offset += columns * Stride * task.in_stride;
        task.out += columns * task.out_stride;
    }
}

DepthwiseTask depthwise_task(const Operation& op, const void* packed, const Task& task) {
    DepthwiseTask all;
    all.rows = task.rows;
    all.in_stride = op.in_channels;
    all.packed = static_cast<const float*>(packed);
    all.out = static_cast<float*>(task.out);
    all.out_stride = task.out_stride / 4;
    all.out_row_stride = task.out_row_stride / 4;
    all.channel_begin = task.channel_begin;
    all.channel_end = task.channel_end;
    all.low = op.low_real;
    all.high = op.high_real;
    return all;
}

// 5×5 filters, `Rows` × `Columns` outputs, all channels of the task, whose windows begin at column `first`. `Edge` says
// that columns may lie outside the map: they count as zero.
template <int Stride, int Rows, int Columns, bool Edge>
void depthwise_5x5_tile(const DepthwiseTask& task, int32_t first, int32_t in_width) {
    constexpr int kInputs = (Columns - 1) * Stride + 5;
    const Vector::Floats low = Vector::broadcast(task.low), high = Vector::broadcast(task.high);
    for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += Vector::kWidth) {
        const float* weights = task.packed + static_cast<ptrdiff_t>(channel) * 26;
        const Vector::Floats bias = Vector::load(weights);
        Vector::Floats sums[Rows][Columns];
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
        for (int c = 0; c < Columns; ++c) sums[r][c] = bias;
        MOBILENETS_UNROLL
        for (int i = 0; i < 5; ++i) {
            Vector::Floats weight[5];
            MOBILENETS_UNROLL
            for (int j = 0; j < 5; ++j) {
                weight[j] = Vector::load(weights + (1 + 5 * i + j) * Vector::kWidth);
                Vector::pin(weight[j]);
            }
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const float* row =
                    static_cast<const float*>(task.rows[r * Stride + i]) + first * task.in_stride + channel;
                MOBILENETS_UNROLL
                for (int x = 0; x < kInputs; ++x) {
                    if (Edge && (first + x < 0 || first + x >= in_width)) continue;
                    const Vector::Floats value = Vector::load(row + x * task.in_stride);
                    MOBILENETS_UNROLL
                    for (int c = 0; c < Columns; ++c)
                        if (x >= c * Stride && x < c * Stride + 5)
                            sums[r][c] = Vector::multiply_add(value, weight[x - c * Stride], sums[r][c]);
                }
            }
        }
        const int32_t lanes = task.channel_end - channel;
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
        for (int c = 0; c < Columns; ++c) {
            const Vector::Floats result = Vector::min(Vector::max(sums[r][c], low), high);
            float* out = task.out + r * task.out_row_stride + c * task.out_stride + channel;
            if (lanes < Vector::kWidth)
                Vector::store_first(out, result, lanes);
            else
                Vector::store(out, result);
        }
    }
}

using Depthwise5x5Tile = void (*)(const DepthwiseTask&, int32_t, int32_t);

template <int Stride, int Rows, int Columns = kTileColumns>
Depthwise5x5Tile depthwise_5x5_tile_of(int32_t columns, bool edge) {
    if constexpr (Columns > 1)
        if (columns < Columns) return depthwise_5x5_tile_of<Stride, Rows, Columns - 1>(columns, edge);
    return edge ? depthwise_5x5_tile<Stride, Rows, Columns, true> : depthwise_5x5_tile<Stride, Rows, Columns, false>;
}

// One or two rows of outputs, all columns, in tiles of nearly equal width.
template <int Stride, int Rows>
void depthwise_5x5_rows(const Operation& op, DepthwiseTask task) {
    const int32_t tiles = (op.out_width + kTileColumns - 1) / kTileColumns;
    const int32_t size = op.out_width / tiles, larger = op.out_width % tiles;
    int32_t first = -op.pad_left;
    for (int32_t tile = 0; tile < tiles; ++tile) {
        const int32_t columns = tile < larger ? size + 1 : size;
        const bool edge = first < 0 || first + (columns - 1) * Stride + 5 > op.in_width;
        depthwise_5x5_tile_of<Stride, Rows>(columns, edge)(task, first, op.in_width);
        first += columns * Stride;
        task.out += columns * task.out_stride;
    }
}

bool fits_depthwise_5x5(const Operation& op) {
    return op.kernel == 5 && op.stride <= 2;
}

// Channels are taken in groups so narrow that the input rows of a tile stay in the first-level cache from one tile to
// the next, to the right and below.
template <int Kernel, int Stride>
void depthwise_grouped(const Operation& op, const void* packed, const Task& task) {
    constexpr int32_t kFirstLevelFloats = 6 * 1024;
    constexpr int kRows = Kernel == 5 && Stride == 2 ? 1 : kTileRows;  // g++ spills the sums of two such rows
    const int32_t fitting = kFirstLevelFloats / (op.in_width * (Stride + Kernel)) / 64 * 64,
                  group = fitting < 64 ? 64 : fitting;
    const auto rows = [&](auto count, const DepthwiseTask& part) {
        if constexpr (Kernel == 3)
            depthwise_rows<Stride, decltype(count)::value>(op, part);
        else
            depthwise_5x5_rows<Stride, decltype(count)::value>(op, part);
    };
    for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += group) {
        DepthwiseTask part = depthwise_task(op, packed, task);
        part.channel_begin = channel;
        part.channel_end = task.channel_end - channel < group ? task.channel_end : channel + group;
        for (int32_t y = 0; y < task.count; y += kRows) {
            part.rows = task.rows + y * Stride;
            part.out = static_cast<float*>(task.out) + y * part.out_row_stride;
            if (task.count - y >= kRows)
                rows(Count<kRows>(), part);
            else
                rows(Count<1>(), part);
        }
    }
}

void depthwise_3x3_run(const Operation& op, const void* packed, const Task& task) {
    (op.stride == 1 ? depthwise_grouped<3, 1> : depthwise_grouped<3, 2>)(op, packed, task);
}

void depthwise_5x5_run(const Operation& op, const void* packed, const Task& task) {
    (op.stride == 1 ? depthwise_grouped<5, 1> : depthwise_grouped<5, 2>)(op, packed, task);
}

// Filters of any size: one output at a time.
void depthwise_run(const Operation& op, const void* packed, const Task& task) {
    const DepthwiseTask all = depthwise_task(op, packed, task);
    const ptrdiff_t taps = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    const Vector::Floats low = Vector::broadcast(all.low), high = Vector::broadcast(all.high);
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            const int32_t column = x * op.stride - op.pad_left;
            const int32_t first = column < 0 ? -column : 0;
            const int32_t last = op.in_width - column < op.kernel ? op.in_width - column : op.kernel;
            float* out = all.out + y * all.out_row_stride + x * all.out_stride;
            for (int32_t channel = all.channel_begin; channel < all.channel_end; channel += Vector::kWidth) {
                const float* weights = all.packed + (taps + 1) * channel;
                Vector::Floats sum = Vector::load(weights);
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const auto* row = static_cast<const float*>(task.rows[y * op.stride + i]) + channel;
                    for (int32_t j = first; j < last; ++j)
                        sum =
                            Vector::multiply_add(Vector::load(row + (column + j) * all.in_stride),
                                                 Vector::load(weights + (1 + i * op.kernel + j) * Vector::kWidth), sum);
                }
                const int32_t lanes = all.channel_end - channel;
                Vector::store_first(out + channel, Vector::min(Vector::max(sum, low), high),
                                    lanes < Vector::kWidth ? lanes : Vector::kWidth);
            }
        }
    }
}

}  // namespace
}  // namespace mobilenets
