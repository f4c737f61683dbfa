// uint8 pointwise convolution (and linear layers): a matrix product with requantization.
//
// Output channels are cut into panels of kVectors vectors. A tile of kRows pixels × one panel keeps its sums in
// registers while it walks the input channels by steps, of which a Product (product.h) knows how they multiply.
//
// Packed memory: Header, then panels of [parameters][steps of input channels][weights of kVectors vectors]. Channels
// within a panel are permuted so that packing to bytes puts them back in order; for float32 results they are not.
#pragma once

#include "product.h"
#include "requantize.h"

namespace mobilenets {
namespace {

//
// A pixel's values may lie in kSegments equal stretches, as those of a window do (stem_rows.h).
template <class S, int kMaxRows, int kVectors, template <class> class ProductOf = DirectProduct, int kSegments = 1>
struct Pointwise {
    using Int = typename S::Int;
    using Product = ProductOf<S>;
    static constexpr int kPanel = kVectors * S::kLanes;
    static constexpr int kStepBytes = kVectors * Product::kWeightBytes;

    // Tiles of one height below each other, in one panel.
    struct Tiles {
        int count;
        const uint8_t* in[kSegments];  // the first pixel's values in each stretch
        ptrdiff_t in_stride;
        const char* panel;
        int steps;  // of all segments
        void* out;
        ptrdiff_t out_stride;
        int columns;        // of the panel that exist
        const char* ahead;  // what is wanted next, and how much of it to fetch for every tile
        ptrdiff_t ahead_bytes;
        const Operation* op;
        Finish finish;
    };
    using TileFunction = void (*)(const Tiles&);

    static int steps_of(const Operation& op) { return (op.in_channels + Product::kInputs - 1) / Product::kInputs; }
    static int panels_of(const Operation& op) { return (op.out_channels + kPanel - 1) / kPanel; }
    static size_t panel_bytes(const Operation& op) {
        return Parameters<S>::bytes(kVectors) + static_cast<size_t>(steps_of(op)) * kStepBytes;
    }
    static size_t packed_bytes(const Operation& op) {
        return sizeof(Header) + static_cast<size_t>(panels_of(op)) * panel_bytes(op);
    }
    // Where the product wants pixels in another form, they are prepared in scratch memory, so many at once: all weights
    // pass over them, so many that this is rare, and few enough to stay in the second-level cache beside a panel.
    static constexpr int kPreparedBytes = 256 * 1024;
    static int prepared_rows(const Operation& op) {
        const auto rows = static_cast<int>(kPreparedBytes / Product::prepared_bytes(op.in_channels));
        return rows < kMaxRows ? kMaxRows : rows / kMaxRows * kMaxRows;
    }
    static size_t scratch_bytes(const Operation& op) {
        if constexpr (!Product::kPrepares) return 0;
        return static_cast<size_t>(prepared_rows(op) * Product::prepared_bytes(op.in_channels));
    }
    static constexpr int kFewTiles = 4;  // below which so much would have to be fetched at once that it is in the way
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
        const auto weight = [&](int32_t k) { return k < op.in_channels ? weight_of(op, weights, c, k) : 0; };
        const auto bias = static_cast<uint32_t>(static_cast<const int32_t*>(weights.bias)[c]);
        Parameters<S>::put(panel, kVectors, vector * S::kLanes + lane,
                           static_cast<int32_t>(bias - Product::weights_alone(op.in_channels, weight)),
                           weights.multiplier[c], finish);
        char* steps = panel + Parameters<S>::bytes(kVectors) + vector * Product::kWeightBytes;
        int32_t k = 0;
        if constexpr (Product::kInputs == 4 &&
                      !Product::kPrepares) {  // bytes as they are: most of all time to a Session
            const auto* row = static_cast<const int8_t*>(weights.weight) + static_cast<ptrdiff_t>(c) * op.in_channels;
            for (; !weights.zero_point && k + 4 <= op.in_channels; k += 4)
                std::memcpy(steps + static_cast<ptrdiff_t>(k / 4) * kStepBytes + 4 * lane, row + k, 4);
        }
        for (; k < op.in_channels; ++k)
            Product::put_weight(steps + static_cast<ptrdiff_t>(k / Product::kInputs) * kStepBytes, lane,
                                k % Product::kInputs, weight(k));
    }

    template <int kRows>
    static MOBILENETS_NOINLINE void multiply_tiles(const Tiles& t) {
        const ptrdiff_t in_stride = t.in_stride, out_stride = t.out_stride;
        const char* const panel = t.panel;
        const char* const first = panel + Parameters<S>::bytes(kVectors);
        const ptrdiff_t segment_bytes = static_cast<ptrdiff_t>(t.steps / kSegments) * kStepBytes;
        const ReluRounding<S, kVectors> rounding(panel, *t.op);
        const uint8_t* rows[kSegments];
        for (int segment = 0; segment < kSegments; ++segment) rows[segment] = t.in[segment];
        auto* out = static_cast<uint8_t*>(t.out);
        const int columns = t.columns;
        const Finish finish = t.finish;
        const char* ahead = t.ahead;
        for (int count = t.count; count > 0; --count, out += kRows * out_stride) {
            if constexpr (Product::kPrefetches)
                for (const char* const end = ahead + t.ahead_bytes; ahead < end; ahead += 64) S::prefetch(ahead);
            Int sum[kRows][kVectors];
            MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n) {
                const Int start = S::load(panel + n * S::kBytes);
                MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) sum[m][n] =
                    Product::start(start, rows[0] + m * in_stride);
            }
            const char* weights = first;
            for (int segment = 0; segment < kSegments; ++segment) {
                const uint8_t* in = rows[segment] + Product::kFirstStep;
                rows[segment] += kRows * in_stride;
                for (const char* const end = weights + segment_bytes; weights != end;
                     weights += kStepBytes, in += Product::kStepBytes)
                    Product::step(sum, in, in_stride, weights);
                // Without this the compiler keeps sums in memory from one stretch, or tile, to the next.
                MOBILENETS_UNROLL for (int m = 0; m < kRows; ++m) MOBILENETS_UNROLL for (int n = 0; n < kVectors; ++n)
                    S::pin(sum[m][n]);
            }
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
        if constexpr (!Product::kPrepares) {
            multiply(op, packed, task);
        } else {
            // Equal parts, for every part walks through all weights.
            const int32_t most = prepared_rows(op), parts = (task.count + most - 1) / most;
            const ptrdiff_t stride = Product::prepared_bytes(op.in_channels);
            Task part = task;
            part.in = task.scratch;
            part.in_stride = stride;
            for (int32_t first = 0, left = parts; left > 0; first += part.count, --left) {
                part.count = ((task.count - first + left - 1) / left + kMaxRows - 1) / kMaxRows * kMaxRows;
                if (part.count > task.count - first) part.count = task.count - first;
                part.out = static_cast<char*>(task.out) + first * task.out_stride;
                for (int32_t i = 0; i < part.count; ++i)
                    Product::prepare(static_cast<const uint8_t*>(task.in) + (first + i) * task.in_stride,
                                     op.in_channels, static_cast<uint8_t*>(task.scratch) + i * stride);
                multiply(op, packed, part);
            }
        }
    }

    // Pixels are cut into tiles of nearly equal height, so that no short one is left over: first the higher ones. All
    // tiles of one panel come before the next, so that the panel stays in the first cache.
    static void multiply(const Operation& op, const void* packed, const Task& task) {
        static_assert(kSegments == 1, "the stretches must be named");
        const auto* const in = static_cast<const uint8_t*>(task.in);
        multiply_segments(op, packed, task, &in);
    }
    static void multiply_segments(const Operation& op, const void* packed, const Task& task, const uint8_t* const* in) {
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
        // The next panel comes to the second-level cache while this one is at work.
        t.ahead_bytes = tiles < kFewTiles ? 0 : (static_cast<ptrdiff_t>(panel_bytes(op)) / tiles + 63) / 64 * 64;
        for (int first = task.channel_begin / kPanel * kPanel; first < task.channel_end; first += kPanel) {
            t.panel = static_cast<const char*>(packed) + sizeof(Header) +
                      static_cast<size_t>(first / kPanel) * panel_bytes(op);
            t.columns = task.channel_end - first < kPanel ? task.channel_end - first : kPanel;
            t.ahead = t.panel + panel_bytes(op);
            for (int segment = 0; segment < kSegments; ++segment) t.in[segment] = in[segment];
            t.out = static_cast<char*>(task.out) + static_cast<size_t>(first) * value;
            if (higher > 0) {
                t.count = higher;
                AllHeights<kMaxRows>::type::functions[height](t);
                for (const uint8_t*& at : t.in) at += higher * (height + 1) * task.in_stride;
                t.ahead += higher * t.ahead_bytes;
                t.out = static_cast<char*>(t.out) + higher * (height + 1) * task.out_stride;
            }
            t.count = tiles - higher;
            AllHeights<kMaxRows>::type::functions[height - 1](t);
        }
    }
};

}  // namespace
}  // namespace mobilenets
