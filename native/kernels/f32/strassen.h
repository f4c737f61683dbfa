// float32 pointwise layers with seven products in place of eight: one level of Strassen's recursion, in the form that
// has fifteen additions (Winograd 1971; Strassen, "Gaussian elimination is not optimal", 1969).
//
// Of two neighbouring pixels, two halves of the input channels and two panels of output channels, a matrix product
// makes 2 × 2 results from 2 × 2 × 2 products. With sums S of pixels and T of weights seven are enough:
//
//   P1 = A11 B11   P2 = A12 B21   P3 = S4 B22   P4 = A22 T4   P5 = S1 T1   P6 = S2 T2   P7 = S3 T3
//   S1 = A21 + A22   S2 = S1 − A11   S3 = A11 − A21   S4 = A12 − S2
//   T1 = B12 − B11   T2 = B22 − T1   T3 = B22 − B12   T4 = T2 − B21
//   C11 = P1 + P2   C12 = P1 + P6 + P5 + P3   C21 = P1 + P6 + P7 − P4   C22 = P1 + P6 + P7 + P5
//
// T are made when weights are packed, S once for a block of pixels. An eighth of the multiplications goes, additions
// come that cost next to nothing beside them, and rounding errors grow by a small factor. Neighbours share arithmetic:
// wherever work is cut, the same two must meet.
#pragma once

#include "kernels.h"
#include "kernels/simd/simd.h"
#include "pointwise.h"

namespace mobilenets {
namespace {

constexpr int kProducts = 7;
constexpr int32_t kGroupChannels = 2 * kPanelChannels;
constexpr int kPairs = most_rows(kPanelVectors);            // of pixels, in a tile
constexpr ptrdiff_t kTileFloats = kPairs * kPanelChannels;  // its sums
constexpr int kChunk = 16;                                  // values of a row of S that lie together
constexpr ptrdiff_t kBlockBytes = 320 * 1024;  // of S: beside two groups of panels in the second-level cache

// Where seven products and their additions take less time than eight products: few pixels leave few multiplications to
// each weight, of which there are seven quarters, unless rows are so long that those of a map get into each other's way
// in the first-level cache, and copies do not.
constexpr int32_t kLeastDepth = Vector::kRegisters >= 32 ? 96 : 256, kLeastPixels = 24;
constexpr int32_t kManyPixels = 65, kLongRow = 768;

bool fits_strassen(const Operation& op) {
    const int32_t pixels = op.out_height * op.out_width;
    return op.in_channels >= kLeastDepth && op.in_channels % (2 * kChunk) == 0 &&
           op.out_channels % kGroupChannels == 0 && pixels >= (op.in_channels >= kLongRow ? kLeastPixels : kManyPixels);
}

// Sizes in floats. Packed memory: groups of biases and seven panels. Scratch memory: tiles, each of seven matrices of
// [chunks][rows][kChunk], in which a loop walks from line to line, and three tiles of sums.
struct StrassenLayout {
    int32_t half;            // of the depth
    ptrdiff_t panel, group;  // packed
    int32_t tiles;           // that are prepared at a time

    explicit StrassenLayout(const Operation& op)
        : half(op.in_channels / 2),
          panel(static_cast<ptrdiff_t>(half) * kPanelChannels),
          group(kGroupChannels + kProducts * panel),
          tiles(static_cast<int32_t>(kBlockBytes / (tile() * 4))) {
        if (tiles < 1) tiles = 1;
    }
    ptrdiff_t matrix() const { return static_cast<ptrdiff_t>(half) * kPairs; }
    ptrdiff_t tile() const { return kProducts * matrix(); }
};

size_t strassen_packed_bytes(const Operation& op) {
    return static_cast<size_t>(StrassenLayout(op).group) * static_cast<size_t>(op.out_channels / kGroupChannels) *
           sizeof(float);
}

size_t strassen_scratch_bytes(const Operation& op) {
    const StrassenLayout layout(op);
    return static_cast<size_t>(layout.tiles * layout.tile() + 3 * kTileFloats) * sizeof(float);
}

Grain strassen_grain(const Operation&) {
    return {2 * kPairs, kGroupChannels, 2};
}

void strassen_pack(const Operation& op, const Weights& weights, void* packed) {
    const StrassenLayout layout(op);
    const auto* weight = static_cast<const float*>(weights.weight);
    for (int32_t first = 0; first < op.out_channels; first += kGroupChannels) {
        float* to = static_cast<float*>(packed) + first / kGroupChannels * layout.group;
        std::memcpy(to, static_cast<const float*>(weights.bias) + first, kGroupChannels * sizeof(float));
        to += kGroupChannels;
        for (int32_t k = 0; k < layout.half; k += kChunk) {
            float part[4][kChunk][kPanelChannels];  // of B11, B12, B21 and B22
            for (int32_t c = 0; c < kPanelChannels; ++c) {
                const float* one = weight + static_cast<ptrdiff_t>(first + c) * op.in_channels + k;
                const float* two = one + static_cast<ptrdiff_t>(kPanelChannels) * op.in_channels;
                for (int i = 0; i < kChunk; ++i) {
                    part[0][i][c] = one[i];
                    part[1][i][c] = two[i];
                    part[2][i][c] = one[layout.half + i];
                    part[3][i][c] = two[layout.half + i];
                }
            }
            for (int i = 0; i < kChunk; ++i)
                for (int32_t c = 0; c < kPanelChannels; ++c) {
                    const double b11 = part[0][i][c], b12 = part[1][i][c], b21 = part[2][i][c], b22 = part[3][i][c];
                    const double t1 = b12 - b11, t2 = b22 - t1;
                    float* at = to + (k + i) * kPanelChannels + c;  // in the order in which the products are made
                    at[0] = part[0][i][c];
                    at[layout.panel] = part[2][i][c];
                    at[2 * layout.panel] = static_cast<float>(t2);
                    at[3 * layout.panel] = static_cast<float>(b22 - b12);
                    at[4 * layout.panel] = static_cast<float>(b21 - t2);
                    at[5 * layout.panel] = static_cast<float>(t1);
                    at[6 * layout.panel] = part[3][i][c];
                }
        }
    }
}

// The matrices of one tile, in the order of the products. Of an odd number of pixels the last is its own neighbour.
void strassen_prepare(const StrassenLayout& layout, const char* in, ptrdiff_t in_stride, int32_t pixels, float* tile) {
    const ptrdiff_t matrix = layout.matrix(), rows = (pixels + 1) / 2;
    for (ptrdiff_t r = 0; r < rows; ++r) {
        const auto* even = reinterpret_cast<const float*>(in + 2 * r * in_stride);
        const auto* odd = 2 * r + 1 < pixels ? reinterpret_cast<const float*>(in + (2 * r + 1) * in_stride) : even;
        for (int32_t k = 0; k < layout.half; k += Vector::kWidth) {
            const Vector::Floats a11 = Vector::load(even + k), a12 = Vector::load(even + layout.half + k);
            const Vector::Floats a21 = Vector::load(odd + k), a22 = Vector::load(odd + layout.half + k);
            const Vector::Floats s1 = Vector::add(a21, a22), s2 = Vector::subtract(s1, a11);
            float* to = tile + (k / kChunk * rows + r) * kChunk + k % kChunk;
            Vector::store(to, a11);
            Vector::store(to + matrix, a12);
            Vector::store(to + 2 * matrix, s2);
            Vector::store(to + 3 * matrix, Vector::subtract(a11, a21));
            Vector::store(to + 4 * matrix, a22);
            Vector::store(to + 5 * matrix, s1);
            Vector::store(to + 6 * matrix, Vector::subtract(a12, s2));
        }
    }
}

// One of the seven products for a tile. Sums that are kept lie row after row.
struct StrassenProduct {
    const float *in = nullptr, *panel = nullptr;
    int32_t chunks = 0;
    const float *start = nullptr, *second_start = nullptr;  // what the sums begin with; null: with zero
    float* keep = nullptr;                                  // where the sums stay, or null
    const float* more = nullptr;                            // added to what leaves, or null
    float* out = nullptr;                                   // where results leave to, or null
    ptrdiff_t out_stride = 0;                               // floats from row to row
    int32_t out_rows = 0;
    const float* bias = nullptr;
    float low = 0, high = 0;
};

using StrassenTile = void (*)(const StrassenProduct&, Prefetch&);

template <int Rows>
using StrassenSums = Vector::Floats[Rows][kPanelVectors];

constexpr int kept_at(int row, int vector) {
    return row * kPanelChannels + vector * Vector::kWidth;
}

template <int Rows>
MOBILENETS_INLINE void start_sums(const StrassenProduct& product, StrassenSums<Rows>& sums) {
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
    for (int v = 0; v < kPanelVectors; ++v) {
        sums[r][v] = product.start ? Vector::load(product.start + kept_at(r, v)) : Vector::zero();
        if (product.second_start)
            sums[r][v] = Vector::add(sums[r][v], Vector::load(product.second_start + kept_at(r, v)));
    }
}

template <int Rows>
MOBILENETS_INLINE void add_products(const StrassenProduct& product, Prefetch& prefetch, StrassenSums<Rows>& sums) {
    const float* weights = product.panel;
    const char* ahead = prefetch.at;
    const ptrdiff_t ahead_step = ahead < prefetch.end ? 64 : 0;
    const float* chunk = product.in;
    for (int32_t left = product.chunks; left > 0; --left, chunk += Rows * kChunk) {
        const float* in = chunk;
        for (const float* end = in + kChunk; in != end; ++in) {
            Vector::Floats weight[kPanelVectors];
            MOBILENETS_UNROLL
            for (int v = 0; v < kPanelVectors; ++v) weight[v] = Vector::load(weights + v * Vector::kWidth);
            weights += kPanelChannels;
            Vector::prefetch(ahead);
            ahead += ahead_step;
            MOBILENETS_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const Vector::Floats value = Vector::broadcast(in[r * kChunk]);
                MOBILENETS_UNROLL
                for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = Vector::multiply_add(value, weight[v], sums[r][v]);
            }
        }
    }
    if (ahead_step != 0) prefetch.at = ahead;
}

// Results of the rows that exist: bias and what else is added, clamped.
template <int Rows>
MOBILENETS_INLINE void store_results(const StrassenProduct& product, const StrassenSums<Rows>& sums) {
    const Vector::Floats low = Vector::broadcast(product.low), high = Vector::broadcast(product.high);
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) {
        if (r >= product.out_rows) break;
        MOBILENETS_UNROLL
        for (int v = 0; v < kPanelVectors; ++v) {
            Vector::Floats result = Vector::add(sums[r][v], Vector::load(product.bias + v * Vector::kWidth));
            if (product.more) result = Vector::add(result, Vector::load(product.more + kept_at(r, v)));
            Vector::store(product.out + r * product.out_stride + v * Vector::kWidth,
                          Vector::min(Vector::max(result, low), high));
        }
    }
}

template <int Rows>
void strassen_tile(const StrassenProduct& product, Prefetch& prefetch) {
    StrassenSums<Rows> sums;
    start_sums<Rows>(product, sums);
    add_products<Rows>(product, prefetch, sums);
    MOBILENETS_UNROLL
    for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
    for (int v = 0; v < kPanelVectors; ++v) Vector::pin(sums[r][v]);
    if (product.keep != nullptr) {
        MOBILENETS_UNROLL
        for (int r = 0; r < Rows; ++r) MOBILENETS_UNROLL
        for (int v = 0; v < kPanelVectors; ++v) Vector::store(product.keep + kept_at(r, v), sums[r][v]);
    }
    if (product.out != nullptr) store_results<Rows>(product, sums);
}

template <int Rows = kPairs>
StrassenTile strassen_tile_of(int32_t rows) {
    if constexpr (Rows == 1)
        return strassen_tile<1>;
    else
        return rows == Rows ? strassen_tile<Rows> : strassen_tile_of<Rows - 1>(rows);
}

// What one tile and one group of channels read and write.
struct StrassenGroup {
    const float *tile = nullptr, *packed = nullptr;
    float* kept = nullptr;                  // room for three tiles of sums
    float *even = nullptr, *odd = nullptr;  // results of the first pair of pixels
    ptrdiff_t out_stride = 0;               // floats from pair to pair
    int32_t even_rows = 0, odd_rows = 0;
    float low = 0, high = 0;
};

void strassen_products(const StrassenLayout& layout, const StrassenGroup& group, Prefetch& prefetch) {
    float *const x = group.kept, *const y = x + kTileFloats, *const z = y + kTileFloats;
    float *const even = group.even, *const odd = group.odd;
    const struct {
        const float *start, *second_start, *more;
        float *keep, *out;
    } steps[kProducts] = {
        {nullptr, nullptr, nullptr, x, nullptr},                // P1
        {x, nullptr, nullptr, nullptr, even},                   // + P2: C11
        {x, nullptr, nullptr, x, nullptr},                      // P1 + P6
        {nullptr, nullptr, nullptr, y, nullptr},                // P7
        {x, y, nullptr, nullptr, odd},                          // P1 + P6 + P7 − P4: C21
        {x, nullptr, y, z, odd + kPanelChannels},               // P1 + P6 + P5, and + P7: C22
        {z, nullptr, nullptr, nullptr, even + kPanelChannels},  // + P3: C12
    };
    const StrassenTile tile = strassen_tile_of(group.even_rows);
    StrassenProduct product;
    product.chunks = layout.half / kChunk;
    product.out_stride = group.out_stride;
    product.low = group.low;
    product.high = group.high;
    for (int p = 0; p < kProducts; ++p) {
        product.in = group.tile + p * layout.matrix();
        product.panel = group.packed + kGroupChannels + p * layout.panel;
        product.start = steps[p].start;
        product.second_start = steps[p].second_start;
        product.more = steps[p].more;
        product.keep = steps[p].keep;
        product.out = steps[p].out;
        product.out_rows = p == 4 || p == 5 ? group.odd_rows : group.even_rows;
        product.bias = group.packed + (p < 5 ? 0 : kPanelChannels);
        tile(product, prefetch);
    }
}

// Tiles of nearly equal size, in blocks of nearly as many tiles; every group of panels passes over a block while the
// next group is fetched.
void strassen_run(const Operation& op, const void* packed, const Task& task) {
    const StrassenLayout layout(op);
    const int32_t pairs = (task.count + 1) / 2, tiles = (pairs + kPairs - 1) / kPairs;
    const int32_t blocks = (tiles + layout.tiles - 1) / layout.tiles;
    auto* const scratch = static_cast<float*>(task.scratch);
    const auto* const groups = static_cast<const float*>(packed);
    const auto first_pair = [=](int32_t tile) { return pairs * tile / tiles; };
    StrassenGroup group;
    group.kept = scratch + layout.tiles * layout.tile();
    group.out_stride = task.out_stride / 4 * 2;
    group.low = op.low_real;
    group.high = op.high_real;
    for (int32_t block = 0; block < blocks; ++block) {
        const int32_t begin = tiles * block / blocks, end = tiles * (block + 1) / blocks;
        for (int32_t tile = begin; tile < end; ++tile) {
            const int32_t from = 2 * first_pair(tile), to = 2 * first_pair(tile + 1);
            strassen_prepare(layout, static_cast<const char*>(task.in) + from * task.in_stride, task.in_stride,
                             (to < task.count ? to : task.count) - from, scratch + (tile - begin) * layout.tile());
        }
        for (int32_t channel = task.channel_begin; channel < task.channel_end; channel += kGroupChannels) {
            const bool last = channel + kGroupChannels >= task.channel_end;
            const int32_t next = last ? task.channel_begin : channel + kGroupChannels;
            group.packed = groups + channel / kGroupChannels * layout.group;
            Prefetch prefetch;
            prefetch.at = reinterpret_cast<const char*>(groups + next / kGroupChannels * layout.group);
            prefetch.end = last && block + 1 == blocks ? prefetch.at : prefetch.at + layout.group * 4;
            for (int32_t tile = begin; tile < end; ++tile) {
                const int32_t from = first_pair(tile), to = first_pair(tile + 1);
                group.tile = scratch + (tile - begin) * layout.tile();
                group.even_rows = to - from;
                group.odd_rows = 2 * to > task.count ? to - from - 1 : to - from;
                group.even =
                    reinterpret_cast<float*>(static_cast<char*>(task.out) + 2 * from * task.out_stride) + channel;
                group.odd = group.even + task.out_stride / 4;
                strassen_products(layout, group, prefetch);
            }
        }
    }
}

}  // namespace
}  // namespace mobilenets
