// uint8 first convolution, straight from interleaved pixel bytes.
#pragma once

#include "pointwise.h"

namespace mobilenets {
namespace {

// 3×3, stride 2, RGB: the lanes of a vector are pixels of output. The 27 bytes under the window of a pixel make seven
// quads, two of each row and one of the ninth bytes of all three; each is worth one dot product for every channel.
//
// Packed memory: Header, then for each group of 4 channels (an even number of groups) [bias, multiplier, offset of
// each][weights of each].
template <class S>
struct StemRgb {
    using Int = typename S::Int;
    static constexpr int kQuads = 7;
    static constexpr int kQuadBytes = S::kWeightBytes / S::kLanes;
    static constexpr int kGroupBytes = 4 * (3 * 4 + kQuads * kQuadBytes);

    static bool fits(const Operation& op) {
        return !op.real_output && op.kernel == 3 && op.stride == 2 && op.in_channels == 3;
    }
    static int groups_of(const Operation& op) { return (op.out_channels + 7) / 8 * 2; }
    static size_t packed_bytes(const Operation& op) {
        return sizeof(Header) + static_cast<size_t>(groups_of(op)) * kGroupBytes;
    }
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {1, 16}; }

    static int weight_of(const Weights& weights, int32_t c, int row, int byte) {
        const ptrdiff_t index = (static_cast<ptrdiff_t>(c) * 3 + byte % 3) * 9 + row * 3 + byte / 3;
        return static_cast<const int8_t*>(weights.weight)[index] - (weights.zero_point ? weights.zero_point[c] : 0);
    }

    static void pack(const Operation& op, const Weights& weights, void* packed) {
        auto* header = static_cast<Header*>(packed);
        header->finish = plain_finish(op);
        for (int32_t c = 0; c < op.out_channels && header->finish == Finish::kRelu; ++c) {
            const auto bias = static_cast<const int32_t*>(weights.bias)[c];
            Range range{bias, bias};
            for (int i = 0; i < 27; ++i) range.add(weight_of(weights, c, i / 9, i % 9));
            if (!relu_is_exact(range, weights.multiplier[c])) header->finish = Finish::kBytes;
        }
        for (int32_t c = 0; c < op.out_channels; ++c) {
            char* group = static_cast<char*>(packed) + sizeof(Header) + static_cast<size_t>(c / 4) * kGroupBytes;
            put_parameters(group + 12 * (c % 4), static_cast<const int32_t*>(weights.bias)[c], weights.multiplier[c],
                           header->finish);
            char* quads = group + 48 + c % 4 * kQuads * kQuadBytes;
            for (int row = 0; row < 3; ++row)
                for (int byte = 0; byte < 9; ++byte)
                    S::put_broadcast_weight(quads + (byte < 8 ? 2 * row + byte / 4 : 6) * kQuadBytes,
                                            byte < 8 ? byte % 4 : row, weight_of(weights, c, row, byte));
        }
    }

    static void put_parameters(char* at, int32_t bias, float multiplier, Finish finish) {
        const bool relu = finish == Finish::kRelu;
        const auto start = static_cast<uint32_t>(bias) + (relu ? uint32_t{kTwoTo23Bits} : 0u);
        const float offset = relu ? -kTwoTo23 * multiplier : 0.0f;
        std::memcpy(at, &start, 4);
        std::memcpy(at + 4, &multiplier, 4);
        std::memcpy(at + 8, &offset, 4);
    }

    static MOBILENETS_INLINE int32_t read_int(const char* p) {
        int32_t value;
        std::memcpy(&value, p, 4);
        return value;
    }
    static MOBILENETS_INLINE float read_float(const char* p) {
        float value;
        std::memcpy(&value, p, 4);
        return value;
    }

    struct ReluFinish {
        explicit MOBILENETS_INLINE ReluFinish(const Operation&) {}
        static MOBILENETS_INLINE Int round(Int sum, const char* parameters) {
            return S::round(S::multiply_add(S::as_float(sum), S::fill_float(read_float(parameters + 4)),
                                            S::fill_float(read_float(parameters + 8))));
        }
        static MOBILENETS_INLINE Int pack(Int a, Int b, Int c, Int d) {
            return S::pack_bytes(S::pack_words(a, b), S::pack_words(c, d));
        }
    };
    struct ByteFinish {
        Int zero_point, low, high;
        explicit MOBILENETS_INLINE ByteFinish(const Operation& op)
            : zero_point(S::fill_words(op.out_zero_point)), low(S::fill_bytes(op.low)), high(S::fill_bytes(op.high)) {}
        static MOBILENETS_INLINE Int round(Int sum, const char* parameters) {
            return S::round(S::multiply(S::to_float(sum), S::fill_float(read_float(parameters + 4))));
        }
        MOBILENETS_INLINE Int pack(Int a, Int b, Int c, Int d) const {
            const Int ab = S::add_words(S::pack_words(a, b), zero_point);
            const Int cd = S::add_words(S::pack_words(c, d), zero_point);
            return S::clamp_bytes(S::pack_bytes(ab, cd), low, high);
        }
    };

    // Four channels of kBlocks vectors of pixels: group g, dword j of a result is four channels of pixel 4 g + j.
    template <int kBlocks, class Rounding>
    static MOBILENETS_INLINE void four_channels(const typename S::Quads (&x)[kBlocks][kQuads], const char* group,
                                                const Rounding& finish, Int (&four)[kBlocks][4], int index) {
        Int sum[kBlocks][4];
        MOBILENETS_UNROLL for (int i = 0; i < 4; ++i) MOBILENETS_UNROLL for (int b = 0; b < kBlocks; ++b) sum[b][i] =
            S::fill(read_int(group + 12 * i));
        MOBILENETS_UNROLL for (int k = 0; k < kQuads; ++k) MOBILENETS_UNROLL for (int i = 0; i < 4; ++i) {
            const auto weights = S::broadcast_weights(group + 48 + (i * kQuads + k) * kQuadBytes);
            MOBILENETS_UNROLL for (int b = 0; b < kBlocks; ++b) S::dot(sum[b][i], x[b][k], weights);
        }
        MOBILENETS_UNROLL for (int b = 0; b < kBlocks; ++b) {
            MOBILENETS_UNROLL for (int i = 0; i < 4; ++i) sum[b][i] = finish.round(sum[b][i], group + 12 * i);
            four[b][index] = S::transpose_bytes(finish.pack(sum[b][0], sum[b][1], sum[b][2], sum[b][3]));
        }
    }

    // Which pixel lane 4 g + d of a vector is. The results of the others lie side by side in memory after they are
    // transposed, for eight channels and for sixteen; only some instruction sets order pixels at no cost.
    enum Order { kInOrder, kForEight, kForSixteen };

    template <Order kOrder>
    static MOBILENETS_INLINE void load_windows(const uint8_t* p, Int& first, Int& second, Int& ninth) {
        if constexpr (kOrder == kInOrder)
            S::load_windows(p, first, second, ninth);
        else
            S::template load_ordered_windows<kOrder == kForEight>(S::load(p), S::load(p + S::kBytes), first, second,
                                                                  ninth);
    }
    template <Order kOrder>
    static MOBILENETS_INLINE void load_windows_between(const uint8_t* p, int begin, int end, int fill_value, Int& first,
                                                       Int& second, Int& ninth) {
        if constexpr (kOrder == kInOrder) {
            S::load_windows_between(p, begin, end, fill_value, first, second, ninth);
        } else {
            const Int fill = S::fill_bytes(fill_value);
            S::template load_ordered_windows<kOrder == kForEight>(
                S::load_some(p, begin, end, fill),
                S::load_some(p + S::kBytes, begin - S::kBytes, end - S::kBytes, fill), first, second, ninth);
        }
    }

    struct Row {
        const uint8_t* source[3];
        uint8_t* out;
        ptrdiff_t out_stride;
        const char* groups;
        int in_bytes, pad_bytes, out_width, padding_value, channel_begin, channel_end;
    };

    // All channels of kBlocks vectors of pixels from x on.
    template <int kBlocks, Order kOrder, class Rounding>
    static MOBILENETS_INLINE void pixels_from(const Row& r, const Rounding& finish, int x) {
        typename S::Quads quads[kBlocks][kQuads];
        MOBILENETS_UNROLL for (int b = 0; b < kBlocks; ++b) {
            const int offset = 6 * (x + b * S::kLanes) - r.pad_bytes;
            const bool inside = offset >= 0 && offset + 6 * S::kLanes + 3 <= r.in_bytes;
            Int first[3], second[3], ninth[3];
            MOBILENETS_UNROLL for (int i = 0; i < 3; ++i) {
                if (inside)
                    load_windows<kOrder>(r.source[i] + offset, first[i], second[i], ninth[i]);
                else
                    load_windows_between<kOrder>(r.source[i] + offset, -offset, r.in_bytes - offset, r.padding_value,
                                                 first[i], second[i], ninth[i]);
                quads[b][2 * i] = S::quads(first[i]);
                quads[b][2 * i + 1] = S::quads(second[i]);
            }
            if constexpr (kOrder == kInOrder)
                quads[b][6] = S::quads(S::join_low_bytes(ninth[0], ninth[1], ninth[2]));
            else
                quads[b][6] = S::quads(S::join_ordered_ninths(ninth[0], ninth[1], ninth[2]));
        }
        for (int c = r.channel_begin; c < r.channel_end; c += 16) {
            const char* group = r.groups + static_cast<size_t>(c / 4) * kGroupBytes;
            const int channels = r.channel_end - c < 16 ? r.channel_end - c : 16;
            Int four[kBlocks][4];
            four_channels<kBlocks>(quads, group, finish, four, 0);
            four_channels<kBlocks>(quads, group + kGroupBytes, finish, four, 1);
            if (channels > 8) {
                four_channels<kBlocks>(quads, group + 2 * kGroupBytes, finish, four, 2);
                four_channels<kBlocks>(quads, group + 3 * kGroupBytes, finish, four, 3);
            }
            MOBILENETS_UNROLL for (int b = 0; b < kBlocks; ++b) {
                const int begin = x + b * S::kLanes, rest = r.out_width - begin;
                const int pixels = rest < S::kLanes ? rest : S::kLanes;
                uint8_t* to = r.out + begin * r.out_stride + c;
                if constexpr (kOrder == kForEight)
                    store_eight_in_a_row(to, four[b], pixels);
                else if constexpr (kOrder == kForSixteen)
                    store_sixteen_in_a_row(to, r.out_stride, four[b], channels, pixels);
                else if (channels > 8)
                    store_sixteen(to, r.out_stride, four[b], channels, pixels);
                else
                    store_eight(to, r.out_stride, four[b], channels, pixels);
            }
        }
    }

    template <Order kOrder, class Rounding>
    static MOBILENETS_NOINLINE void ordered_row(const Operation& op, const Row& r) {
        const Rounding finish(op);
        int x = 0;
        if constexpr (S::kStemBlocks == 2)  // every weight that is loaded serves two vectors of pixels
            for (; x + 2 * S::kLanes <= r.out_width; x += 2 * S::kLanes) pixels_from<2, kOrder>(r, finish, x);
        for (; x < r.out_width; x += S::kLanes) pixels_from<1, kOrder>(r, finish, x);
    }
    template <class Rounding>
    static MOBILENETS_INLINE void row(const Operation& op, const Row& r) {
        if constexpr (S::kOrdersPixels) {
            const int channels = r.channel_end - r.channel_begin;
            if (channels == 8 && r.out_stride == 8) return ordered_row<kForEight, Rounding>(op, r);
            if (channels % 16 == 0) return ordered_row<kForSixteen, Rounding>(op, r);
        }
        ordered_row<kInOrder, Rounding>(op, r);
    }

    static MOBILENETS_INLINE void store_eight_in_a_row(uint8_t* to, const Int (&four)[4], int pixels) {
        Int pair[2];
        S::interleave_dwords(four[0], four[1], pair);
        S::store_bytes(to, pair[0], 8 * pixels);
        if (pixels > S::kLanes / 2) S::store_bytes(to + S::kBytes, pair[1], 8 * pixels - S::kBytes);
    }
    static MOBILENETS_INLINE void store_sixteen_in_a_row(uint8_t* to, ptrdiff_t stride, const Int (&four)[4],
                                                         int channels, int pixels) {
        Int sixteen[4];
        S::transpose_dwords(four, sixteen);
        MOBILENETS_UNROLL for (int j = 0; j < 4; ++j) {
            const int left = pixels - j * S::kGroups;
            if (left <= 0) break;
            uint8_t* const place = to + j * S::kGroups * stride;
            if (stride == 16)
                S::store_bytes(place, sixteen[j], 16 * left);
            else
                S::store_groups(place, stride, sixteen[j], left < S::kGroups ? left : S::kGroups, channels);
        }
    }

    static MOBILENETS_INLINE void store_sixteen(uint8_t* to, ptrdiff_t stride, const Int (&four)[4], int channels,
                                                int pixels) {
        Int sixteen[4];
        S::transpose_dwords(four, sixteen);
        MOBILENETS_UNROLL for (int j = 0; j < 4; ++j)
            S::store_groups(to + j * stride, 4 * stride, sixteen[j], (pixels - j + 3) / 4, channels);
    }

    // Up to eight channels: two pixels at once where they lie side by side.
    static MOBILENETS_INLINE void store_eight(uint8_t* to, ptrdiff_t stride, const Int (&four)[4], int channels,
                                              int pixels) {
        Int pair[2];
        S::interleave_dwords(four[0], four[1], pair);
        if (stride == 8 && channels == 8 && pixels == S::kLanes) {
            S::store_groups(to, 32, pair[0], S::kGroups, 16);
            S::store_groups(to + 16, 32, pair[1], S::kGroups, 16);
            return;
        }
        MOBILENETS_UNROLL for (int j = 0; j < 2; ++j) {
            S::store_groups(to + 2 * j * stride, 4 * stride, pair[j], (pixels - 2 * j + 3) / 4, channels);
            S::store_groups(to + (2 * j + 1) * stride, 4 * stride, S::upper_halves(pair[j]), (pixels - 2 * j + 2) / 4,
                            channels);
        }
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const bool relu = static_cast<const Header*>(packed)->finish == Finish::kRelu;
        const char* groups = static_cast<const char*>(packed) + sizeof(Header);
        Row r;
        r.out_stride = task.out_stride;
        r.groups = groups;
        r.in_bytes = 3 * op.in_width;
        r.pad_bytes = 3 * op.pad_left;
        r.out_width = op.out_width;
        r.padding_value = op.padding_value;
        r.channel_begin = task.channel_begin;
        r.channel_end = task.channel_end;
        for (int y = 0; y < task.count; ++y) {
            for (int i = 0; i < 3; ++i) r.source[i] = static_cast<const uint8_t*>(task.rows[2 * y + i]);
            r.out = static_cast<uint8_t*>(task.out) + y * task.out_row_stride;
            if (relu)
                row<ReluFinish>(op, r);
            else
                row<ByteFinish>(op, r);
        }
    }
};

// Any other first convolution: the windows of one row are gathered, and multiplied like pixels.
template <class P>
struct StemGathered {
    static Operation product(const Operation& op) {
        Operation product = op;
        product.kind = Kind::kPointwise;
        product.in_channels = op.in_channels * op.kernel * op.kernel;
        return product;
    }
    static ptrdiff_t window_bytes(const Operation& op) { return (product(op).in_channels + 3) / 4 * 4; }

    static bool fits(const Operation&) { return true; }
    static size_t packed_bytes(const Operation& op) { return P::packed_bytes(product(op)); }
    static size_t windows_bytes(const Operation& op) {
        return (static_cast<size_t>(window_bytes(op) * op.out_width) + 63) / 64 * 64;
    }
    static size_t scratch_bytes(const Operation& op) { return windows_bytes(op) + P::scratch_bytes(product(op)); }
    static Grain grain(const Operation& op) { return {1, P::grain(op).channels}; }

    // Weights come by channel, row, column; windows are gathered by row, column, channel.
    static void pack(const Operation& op, const Weights& weights, void* packed) {
        const int window = op.kernel * op.kernel, length = window * op.in_channels;
        const auto* from = static_cast<const int8_t*>(weights.weight);
        auto* to = new int8_t[static_cast<size_t>(length) * static_cast<size_t>(op.out_channels)];
        for (ptrdiff_t c = 0; c < op.out_channels; ++c)
            for (ptrdiff_t k = 0; k < op.in_channels; ++k)
                for (ptrdiff_t i = 0; i < window; ++i)
                    to[c * length + i * op.in_channels + k] = from[c * length + k * window + i];
        Weights reordered = weights;
        reordered.weight = to;
        P::pack(product(op), reordered, packed);
        delete[] to;
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const Operation pixels = product(op);
        auto* windows = static_cast<uint8_t*>(task.scratch);
        Task row = task;
        row.in = windows;
        row.in_stride = window_bytes(op);
        row.count = op.out_width;
        row.scratch = windows + windows_bytes(op);
        for (int y = 0; y < task.count; ++y) {
            for (int x = 0; x < op.out_width; ++x)
                gather(op, task.rows + y * op.stride, x * op.stride - op.pad_left, windows + x * row.in_stride);
            row.out = static_cast<char*>(task.out) + y * task.out_row_stride;
            P::run(pixels, packed, row);
        }
    }

    static void gather(const Operation& op, const void* const* rows, int column, uint8_t* to) {
        const ptrdiff_t channels = op.in_channels;
        const int left = column < 0 ? (-column < op.kernel ? -column : op.kernel) : 0;
        const int end = op.in_width - column < op.kernel ? op.in_width - column : op.kernel;
        for (int i = 0; i < op.kernel; ++i, to += op.kernel * channels) {
            if (left > 0 || end < op.kernel)
                std::memset(to, op.padding_value, static_cast<size_t>(op.kernel * channels));
            if (end <= left) continue;
            std::memcpy(to + left * channels, static_cast<const uint8_t*>(rows[i]) + (column + left) * channels,
                        static_cast<size_t>((end - left) * channels));
        }
    }
};

}  // namespace
}  // namespace mobilenets
