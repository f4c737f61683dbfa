// uint8 pointwise convolution (and linear layers): a matrix product with requantisation.
//
// Output channels are cut into panels of kVectors vectors. A tile of kRows pixels × one panel keeps its sums in
// registers while it walks the input channels by steps: one load of weights per vector, one broadcast per pixel.
//
// Packed memory: Header, then panels of [parameters][steps of input channels][kVectors vectors of weights]. Channels
// within a panel are permuted so that packing to bytes puts them back in order; for float32 results they are not.
#pragma once

#include "u8_requantize.h"

namespace mobilenets {
namespace {

template <class S, int kMaxRows, int kVectors>
struct Pointwise {
    using Int = typename S::Int;
    static constexpr int kPanel = kVectors * S::kLanes;

    // Tiles of one height below each other, in one panel.
    struct Tiles {
        int count;
        const uint8_t* in;
        ptrdiff_t in_stride;
        const char* panel;
        int steps;
        void* out;
        ptrdiff_t out_stride;
        int columns;  // of the panel that exist
        const Operation* op;
        Finish finish;
    };
    using TileFunction = void (*)(const Tiles&);

    static int steps_of(const Operation& op) { return (op.in_channels + S::kStep - 1) / S::kStep; }
    static int panels_of(const Operation& op) { return (op.out_channels + kPanel - 1) / kPanel; }
    static size_t panel_bytes(const Operation& op) {
        return Parameters<S>::bytes(kVectors) + static_cast<size_t>(steps_of(op)) * kVectors * S::kBytes;
    }
    static size_t packed_bytes(const Operation& op) {
        return sizeof(Header) + static_cast<size_t>(panels_of(op)) * panel_bytes(op);
    }
    // Without dot products of bytes, pixels are widened to 16 bits, so many at once.
    static constexpr int kWidened = 48 / kMaxRows * kMaxRows;
    static ptrdiff_t widened_stride(const Operation& op) {
        return (op.in_channels * 2 + S::kBytes - 1) / S::kBytes * S::kBytes;
    }
    static size_t scratch_bytes(const Operation& op) {
        return S::kStep == 4 ? 0 : static_cast<size_t>(kWidened * widened_stride(op));
    }
    static Grain grain(const Operation&) { return {kMaxRows, kPanel}; }

    static void pack(const Operation& op, const Weights& weights, void* packed) {
        auto* header = static_cast<Header*>(packed);
        header->finish = plain_finish(op);
        for (int32_t c = 0; c < op.out_channels && header->finish == Finish::kRelu; ++c)
            if (!relu_is_exact(sums(op, weights, c), weights.multiplier[c])) header->finish = Finish::kBytes;
        for (int32_t c = 0; c < op.out_channels; ++c) pack_channel(op, weights, c, header->finish, packed);
    }

    static Range sums(const Operation& op, const Weights& weights, int32_t c) {
        const auto bias = static_cast<const int32_t*>(weights.bias)[c];
        Range range{bias, bias};
        for (int32_t k = 0; k < op.in_channels; ++k) range.add(weight_of(op, weights, c, k));
        return range;
    }

    static int weight_of(const Operation& op, const Weights& weights, int32_t c, int32_t k) {
        const int weight = static_cast<const int8_t*>(weights.weight)[static_cast<ptrdiff_t>(c) * op.in_channels + k];
        return weights.zero_point ? weight - weights.zero_point[c] : weight;
    }

    static void pack_channel(const Operation& op, const Weights& weights, int32_t c, Finish finish, void* packed) {
        char* panel = static_cast<char*>(packed) + sizeof(Header) + static_cast<size_t>(c / kPanel) * panel_bytes(op);
        const int position = c % kPanel;
        int vector = position / S::kLanes, lane = position % S::kLanes;
        if (finish != Finish::kReal) {  // the inverse of packed_position
            const int group = position / (4 * kVectors);
            vector = position % (4 * kVectors) / 4;
            lane = 4 * group + position % 4;
        }
        Parameters<S>::put(panel, kVectors, vector * S::kLanes + lane, static_cast<const int32_t*>(weights.bias)[c],
                           weights.multiplier[c], finish);
        char* steps = panel + Parameters<S>::bytes(kVectors) + vector * S::kBytes;
        for (int32_t k = 0; k < op.in_channels; ++k)
            S::put_step_weight(steps + static_cast<ptrdiff_t>(k / S::kStep) * kVectors * S::kBytes, lane, k % S::kStep,
                               weight_of(op, weights, c, k));
    }

    template <int kRows>
    static MOBILENETS_NOINLINE void multiply_tiles(const Tiles& t) {
        const ptrdiff_t in_stride = t.in_stride, out_stride = t.out_stride;
        const char* const panel = t.panel;
        const char* const first = panel + Parameters<S>::bytes(kVectors);
        const char* const end = first + static_cast<ptrdiff_t>(t.steps) * kVectors * S::kBytes;
        const ReluRounding<S, kVectors> rounding(panel, *t.op);
        const uint8_t* row = t.in;
        auto* out = static_cast<uint8_t*>(t.out);
        const int columns = t.columns;
        const Finish finish = t.finish;
        for (int count = t.count; count > 0; --count, row += kRows * in_stride, out += kRows * out_stride) {
            Int sum[kRows][kVectors];
            MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) {
                const Int start = S::load(panel + n * S::kBytes);
                MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) sum[m][n] = start;
            }
            const uint8_t* in = row;
            for (const char* weights = first; weights != end; weights += kVectors * S::kBytes, in += 4) {
                Int w[kVectors];
                MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) w[n] = S::load(weights + n * S::kBytes);
                MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) {
                    const Int x = S::broadcast_step(in + m * in_stride);
                    MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) S::step(sum[m][n], x, w[n]);
                }
            }
            MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n)
                S::pin(sum[m][n]);
            if (finish == Finish::kRelu) {
                store_tile<S, kRows, kVectors>(sum, rounding, out, out_stride, columns);
            } else {
                Int sums[kRows][kVectors];
                MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n)
                    S::store(&sums[m][n], sum[m][n]);
                finish_tile(sums, kRows, t, out);
            }
        }
    }

    // The rarer finishes, once for all heights of tile.
    static MOBILENETS_NOINLINE void finish_tile(const Int (*sums)[kVectors], int rows, const Tiles& t, uint8_t* out) {
        if (t.finish == Finish::kReal) return finish_real(sums, rows, t, out);
        const ByteRounding<S, kVectors> rounding(t.panel, *t.op);
        for (int m = 0; m < rows; ++m) {
            Int row[1][kVectors];
            MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) row[0][n] = sums[m][n];
            store_tile<S, 1, kVectors>(row, rounding, out + m * t.out_stride, t.out_stride, t.columns);
        }
    }

    static void finish_real(const Int (*sums)[kVectors], int rows, const Tiles& t, uint8_t* rows_out) {
        const auto low = S::fill_float(t.op->low_real), high = S::fill_float(t.op->high_real);
        for (int m = 0; m < rows; ++m) {
            auto* out = reinterpret_cast<float*>(rows_out + m * t.out_stride);
            for (int n = 0; n < kVectors && n * S::kLanes < t.columns; ++n) {
                const auto multiplier = S::load_float(t.panel + (kVectors + n) * S::kBytes);
                const auto value = S::clamp(S::multiply(S::to_float(sums[m][n]), multiplier), low, high);
                S::store_floats(out + n * S::kLanes, value, t.columns - n * S::kLanes);
            }
        }
    }

    template <int... kHeights>
    struct Heights {
        static constexpr TileFunction functions[] = {multiply_tiles<kHeights + 1>...};
    };
    template <int kCount, int... kHeights>
    struct AllHeights : AllHeights<kCount - 1, kCount - 1, kHeights...> {};
    template <int... kHeights>
    struct AllHeights<0, kHeights...> {
        using type = Heights<kHeights...>;
    };

    static void run(const Operation& op, const void* packed, const Task& task) {
        if constexpr (S::kStep == 4) {
            multiply(op, packed, task);
        } else {
            Task part = task;
            part.in = task.scratch;
            part.in_stride = widened_stride(op);
            for (int32_t first = 0; first < task.count; first += kWidened) {
                part.count = task.count - first < kWidened ? task.count - first : kWidened;
                part.out = static_cast<char*>(task.out) + first * task.out_stride;
                for (int32_t i = 0; i < part.count; ++i) {
                    const auto* from = static_cast<const uint8_t*>(task.in) + (first + i) * task.in_stride;
                    auto* to = static_cast<uint8_t*>(task.scratch) + i * part.in_stride;
                    for (int32_t k = 0; k < op.in_channels; k += S::kBytes / 2)
                        S::store(to + 2 * k, S::widen(from + k));
                }
                multiply(op, packed, part);
            }
        }
    }

    // Pixels are cut into tiles of nearly equal height, so that no short one is left over: first the higher ones. All
    // tiles of one panel come before the next, so that the panel stays in the first cache.
    static void multiply(const Operation& op, const void* packed, const Task& task) {
        const int tiles = (task.count + kMaxRows - 1) / kMaxRows;
        if (tiles == 0) return;
        const int height = task.count / tiles, higher = task.count - height * tiles;
        const size_t value = op.real_output ? 4 : 1;
        Tiles t;
        t.in_stride = task.in_stride;
        t.steps = steps_of(op);
        t.out_stride = task.out_stride;
        t.op = &op;
        t.finish = static_cast<const Header*>(packed)->finish;
        for (int first = task.channel_begin / kPanel * kPanel; first < task.channel_end; first += kPanel) {
            t.panel = static_cast<const char*>(packed) + sizeof(Header) +
                      static_cast<size_t>(first / kPanel) * panel_bytes(op);
            t.columns = task.channel_end - first < kPanel ? task.channel_end - first : kPanel;
            t.in = static_cast<const uint8_t*>(task.in);
            t.out = static_cast<char*>(task.out) + static_cast<size_t>(first) * value;
            if (higher > 0) {
                t.count = higher;
                AllHeights<kMaxRows>::type::functions[height](t);
                t.in += higher * (height + 1) * task.in_stride;
                t.out = static_cast<char*>(t.out) + higher * (height + 1) * task.out_stride;
            }
            t.count = tiles - higher;
            AllHeights<kMaxRows>::type::functions[height - 1](t);
        }
    }
};

}  // namespace
}  // namespace mobilenets
