// float32 products of pixels and weights: pointwise and linear layers, and the tile that the stem shares with them.
//
// Written once over `Vector` (f32_vector_<set>.h) and included by the kernel file of every instruction set. Weights lie
// in panels of kPanelVectors vectors of output channels (the last panel may be narrower): the bias of the panel's
// channels, then for every input channel its weights to them. A tile keeps rows × vectors sums in registers while it
// walks down a panel, so that a weight is loaded once for all its rows and an input value once for all its channels.
#pragma once

#include "kernels.h"
#include "kernels/simd/unroll.h"

namespace mobilenets {
namespace {

// Two vectors: as fast as four where the weights are in the cache, and faster where they come from memory and there are
// few rows, because two tiles are enough then to fetch the whole next panel at an even pace.
constexpr int kPanelVectors = 2;
constexpr int kPanelChannels = kPanelVectors * Vector::kWidth;

// Rows of the largest tile for a number of vectors: sums, one load of each weight vector and one input value must fit
// into the registers (but where the product can take that straight from memory).
constexpr int most_rows(int vectors) {
    const int rows = (Vector::kRegisters - vectors - (Vector::kMultipliesByMemory ? 0 : 1)) / vectors;
    return rows > Vector::kMostRows ? Vector::kMostRows : rows;
}

constexpr int32_t round_up(int32_t value, int32_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

constexpr int vectors_for(int32_t channels) {
    return (channels + Vector::kWidth - 1) / Vector::kWidth;
}

// Memory that will be wanted soon, fetched into the second-level cache one line for every input value of a tile. (More
// lines at a time hold up the loads of the tile itself.)
struct Prefetch {
    const char* at = nullptr;
    const char* end = nullptr;
};

// What a tile reads and writes. The depth is cut into `segments` stretches of `depth` contiguous values: one for a
// pointwise layer, one per kernel row for the stem.
struct Product {
    const float* const* in = nullptr;  // first row of each segment
    ptrdiff_t in_offset = 0;           // floats to add to each of them
    ptrdiff_t in_stride = 0;           // floats from row to row
    int32_t segments = 1, depth = 0;
    const float* panel = nullptr;
    float* out = nullptr;
    ptrdiff_t out_stride = 0;  // floats from row to row
    int32_t channels = 0;      // that the panel really has; the last vector may be partly filled
    float low = 0, high = 0;
};

using Tile = void (*)(const Product&, Prefetch&);

// `Stride` is that of the input where it is known; it frees the registers that hold its multiples.
template <int Rows, int Vectors, int Stride>
void product_tile(const Product& product, Prefetch& prefetch) {
    Vector::Floats sums[Rows][Vectors];
    const float* weights = product.panel;
    MOBILENETS_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        const Vector::Floats bias = Vector::load(weights + v * Vector::kWidth);
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) sums[r][v] = bias;
    }
    weights += Vectors * Vector::kWidth;
    const char* ahead = prefetch.at;
    const ptrdiff_t ahead_step = ahead < prefetch.end ? 64 : 0;
    const ptrdiff_t stride = Stride ? Stride : product.in_stride;
    for (int32_t s = 0; s < product.segments; ++s) {
        const float* in = product.in[s] + product.in_offset;
        MOBILENETS_UNROLL_FOUR
        for (const float* end = in + product.depth; in != end; ++in) {
            Vector::Floats weight[Vectors];
            MOBILENETS_UNROLL
            for (int v = 0; v < Vectors; ++v) weight[v] = Vector::load(weights + v * Vector::kWidth);
            weights += Vectors * Vector::kWidth;
            Vector::prefetch(ahead);
            ahead += ahead_step;
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const Vector::Floats value = Vector::broadcast(in[r * stride]);
                MOBILENETS_UNROLL
                for (int v = 0; v < Vectors; ++v) sums[r][v] = Vector::multiply_add(value, weight[v], sums[r][v]);
            }
        }
    }
    if (ahead_step != 0) prefetch.at = ahead;
    // Without this g++ spills sums inside the loop in order to clamp them sooner after it.
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
    for (int v = 0; v < Vectors; ++v) Vector::pin(sums[r][v]);
    const Vector::Floats low = Vector::broadcast(product.low), high = Vector::broadcast(product.high);
    const int32_t last = product.channels - (Vectors - 1) * Vector::kWidth;
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) {
        float* out = product.out + r * product.out_stride;
        MOBILENETS_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const Vector::Floats result = Vector::min(Vector::max(sums[r][v], low), high);
            if (v == Vectors - 1 && last < Vector::kWidth)
                Vector::store_first(out + v * Vector::kWidth, result, last);
            else
                Vector::store(out + v * Vector::kWidth, result);
        }
    }
}

template <int Stride, int Vectors, int Rows = most_rows(Vectors)>
Tile tile_of_rows(int rows) {
    if constexpr (Rows == 1)
        return product_tile<1, Vectors, Stride>;
    else
        return rows == Rows ? product_tile<Rows, Vectors, Stride> : tile_of_rows<Stride, Vectors, Rows - 1>(rows);
}

template <int Stride>
Tile tile_of(int vectors, int rows) {
    return vectors == 1 ? tile_of_rows<Stride, 1>(rows) : tile_of_rows<Stride, kPanelVectors>(rows);
}

// All rows against one panel, in tiles of nearly equal size.
template <int Stride = 0>
void product_panel(Product product, int32_t rows, Prefetch& prefetch) {
    const int vectors = vectors_for(product.channels);
    const int32_t most = most_rows(vectors), tiles = (rows + most - 1) / most;
    const int32_t size = rows / tiles, larger = rows % tiles;
    const Tile large = tile_of<Stride>(vectors, size + 1 > most ? most : size + 1),
               small = tile_of<Stride>(vectors, size);
    for (int32_t tile = 0; tile < tiles; ++tile) {
        const int32_t step = tile < larger ? size + 1 : size;
        (tile < larger ? large : small)(product, prefetch);
        product.in_offset += step * product.in_stride;
        product.out += step * product.out_stride;
    }
}

// Panels of `depth` values for each of `channels` outputs; weight(c, k) says where in `weight` they are.
struct Panels {
    int32_t depth, channels;

    size_t floats() const {
        return (static_cast<size_t>(depth) + 1) * static_cast<size_t>(round_up(channels, Vector::kWidth));
    }
    // First float of the panel that begins at a multiple of kPanelChannels.
    ptrdiff_t start(int32_t channel) const { return static_cast<ptrdiff_t>(depth + 1) * channel; }
    int32_t width(int32_t channel) const {
        return channels - channel < kPanelChannels ? channels - channel : kPanelChannels;
    }

    size_t bytes(int32_t channel) const {
        return sizeof(float) * (static_cast<size_t>(depth) + 1) *
               static_cast<size_t>(round_up(width(channel), Vector::kWidth));
    }

    template <class WeightIndex>
    void pack(const float* weight, const float* bias, float* packed, WeightIndex index) const {
        for (int32_t first = 0; first < channels; first += kPanelChannels) {
            const int32_t count = width(first), padded = round_up(count, Vector::kWidth);
            float* row = packed + start(first);
            for (int32_t c = 0; c < count; ++c) row[c] = bias[first + c];
            for (int32_t k = 0; k < depth; ++k) {
                row += padded;
                for (int32_t c = 0; c < count; ++c) row[c] = weight[index(first + c, k)];
            }
        }
    }
};

bool fits_all(const Operation&) {
    return true;
}

size_t no_scratch(const Operation&) {
    return 0;
}

Panels pointwise_panels(const Operation& op) {
    return {op.in_channels, op.out_channels};
}

size_t pointwise_packed_bytes(const Operation& op) {
    return pointwise_panels(op).floats() * sizeof(float);
}

void pointwise_pack(const Operation& op, const Weights& weights, void* packed) {
    const ptrdiff_t depth = op.in_channels;
    pointwise_panels(op).pack(static_cast<const float*>(weights.weight), static_cast<const float*>(weights.bias),
                              static_cast<float*>(packed),
                              [depth](ptrdiff_t channel, ptrdiff_t k) { return channel * depth + k; });
}

Grain pointwise_grain(const Operation& op) {
    return {most_rows(op.out_channels >= kPanelChannels ? kPanelVectors : vectors_for(op.out_channels)),
            kPanelChannels};
}

// One pixel against several whole panels at once: a single row of sums would wait for itself, and one stream of weights
// for the memory it comes from. Every sum is made in the order in which tiles make it.
constexpr int kPanelsAtOnce = Vector::kRegisters >= 32 ? 4 : 2;
constexpr int kStepsAhead = 8;  // of each panel, that are fetched from beyond the caches

void product_of_one_row(const Product& product, ptrdiff_t panel_floats) {
    Vector::Floats sums[kPanelsAtOnce][kPanelVectors];
    const float* weights = product.panel;
    const auto load = [&](int p, int v) { return Vector::load(weights + p * panel_floats + v * Vector::kWidth); };
    MOBILENETS_UNROLL
    for (int p = 0; p < kPanelsAtOnce; ++p) MOBILENETS_UNROLL
    for (int v = 0; v < kPanelVectors; ++v) sums[p][v] = load(p, v);
    const float* in = product.in[0];
    for (const float* end = in + product.depth; in != end; ++in) {
        weights += kPanelChannels;
        const Vector::Floats value = Vector::broadcast(*in);
        MOBILENETS_UNROLL
        for (int p = 0; p < kPanelsAtOnce; ++p) {
            const auto* ahead =
                reinterpret_cast<const char*>(weights + p * panel_floats + kStepsAhead * kPanelChannels);
            for (int line = 0; line < kPanelChannels * 4; line += 64) Vector::prefetch(ahead + line);
        }
        MOBILENETS_UNROLL
        for (int p = 0; p < kPanelsAtOnce; ++p) MOBILENETS_UNROLL
        for (int v = 0; v < kPanelVectors; ++v) sums[p][v] = Vector::multiply_add(value, load(p, v), sums[p][v]);
    }
    const Vector::Floats low = Vector::broadcast(product.low), high = Vector::broadcast(product.high);
    MOBILENETS_UNROLL
    for (int p = 0; p < kPanelsAtOnce; ++p) MOBILENETS_UNROLL
    for (int v = 0; v < kPanelVectors; ++v)
        Vector::store(product.out + p * kPanelChannels + v * Vector::kWidth,
                      Vector::min(Vector::max(sums[p][v], low), high));
}

// Pixels are taken in blocks that stay in the second-level cache while every panel passes over them; while one panel is
// at work the next is fetched.
void pointwise_run(const Operation& op, const void* packed, const Task& task) {
    constexpr ptrdiff_t kBlockBytes = 512 * 1024;
    const Panels panels = pointwise_panels(op);
    const ptrdiff_t fitting = kBlockBytes / (static_cast<ptrdiff_t>(op.in_channels) * 4) / 28 * 28;
    const auto block = static_cast<int32_t>(fitting < 28 ? 28 : fitting > task.count ? task.count : fitting);
    for (int32_t pixel = 0; pixel < task.count; pixel += block) {
        const auto* in = reinterpret_cast<const float*>(static_cast<const char*>(task.in) + pixel * task.in_stride);
        auto* out = reinterpret_cast<float*>(static_cast<char*>(task.out) + pixel * task.out_stride);
        for (int32_t channel = task.channel_begin; channel < task.channel_end;) {
            const bool one_row = task.count == 1 && task.channel_end - channel >= kPanelsAtOnce * kPanelChannels;
            const int32_t width = panels.width(channel), next = channel + (one_row ? kPanelsAtOnce : 1) * width;
            Product product;
            product.in = &in;
            product.in_stride = task.in_stride / 4;
            product.depth = op.in_channels;
            product.panel = static_cast<const float*>(packed) + panels.start(channel);
            product.out = out + channel;
            product.out_stride = task.out_stride / 4;
            product.channels = width;
            product.low = op.low_real;
            product.high = op.high_real;
            if (one_row) {
                product_of_one_row(product, panels.start(kPanelChannels));
                channel = next;
                continue;
            }
            Prefetch prefetch;
            prefetch.at = reinterpret_cast<const char*>(product.panel);
            if (pixel == 0 && next < task.channel_end) {
                prefetch.at = reinterpret_cast<const char*>(static_cast<const float*>(packed) + panels.start(next));
                prefetch.end = prefetch.at + panels.bytes(next);
            }
            product_panel(product, task.count - pixel < block ? task.count - pixel : block, prefetch);
            channel = next;
        }
    }
}

}  // namespace
}  // namespace mobilenets
