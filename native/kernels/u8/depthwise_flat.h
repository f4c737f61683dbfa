// uint8 depthwise 3×3 for few channels: vectors run along a whole row of (pixel, channel) values.
//
// With C channels, a vector of the row holds several pixels, and the neighbours of its values are those C places
// before and after: after interleaving (depthwise.h) whole 128-bit groups away, in another of the four vectors of
// quads where C is not a multiple of 16. The channels of lane positions repeat every `kPhases` blocks.
#pragma once

#include "depthwise.h"

namespace mobilenets {
namespace {

constexpr int greatest_common_divisor(int a, int b) {
    return b == 0 ? a : greatest_common_divisor(b, a % b);
}

template <class S, int kChannels, int kStride>
struct DepthwiseFlat {
    static_assert(kChannels % (kStride == 1 ? 4 : 16) == 0, "pixels must begin at a quad, or at a group for stride 2");
    using Taps = typename StrideTaps<kStride>::type;
    using Block = DepthwiseBlock<S>;
    using Int = typename S::Int;
    static constexpr int kPhases = kChannels / greatest_common_divisor(kChannels, S::kBytes);

    static bool fits(const Operation& op) {
        return DepthwiseWide<S, kStride>::fits(op) && op.in_channels == kChannels &&
               (kStride == 1 ? op.pad_left == 1 : op.pad_left <= 1);
    }
    static size_t packed_bytes(const Operation&) { return sizeof(Header) + kPhases * Block::bytes(Taps::kTaps); }
    static Grain grain(const Operation&) { return {kStride == 1 ? 2 : 1, kChannels}; }

    static void pack(const Operation& op, const Weights& weights, void* packed) {
        const Finish finish = static_cast<Header*>(packed)->finish = Block::finish(op, weights);
        for (int i = 0; i < kPhases * S::kBytes; ++i) {
            char* block = static_cast<char*>(packed) + sizeof(Header) +
                          static_cast<size_t>(i / S::kBytes) * Block::bytes(Taps::kTaps);
            pack_depthwise_position<S, Taps>(op, weights, block, i % S::kBytes, i % kChannels, finish);
        }
    }

    // Rows of output where they cannot go straight to their place, because pixels lie further apart there.
    static size_t row_bytes(const Operation& op) {
        return (static_cast<size_t>(op.out_width) * kChannels + S::kBytes - 1) / S::kBytes * S::kBytes;
    }
    static size_t scratch_bytes(const Operation& op) { return 2 * row_bytes(op); }

    struct Strip {
        const uint8_t* row[4];
        uint8_t* out[2];
        int in_bytes, out_bytes;  // of a row
        int pad_bytes;            // before a row

        // Field by field, so that the copy lives in registers.
        MOBILENETS_INLINE Strip copy() const {
            return {{row[0], row[1], row[2], row[3]}, {out[0], out[1]}, in_bytes, out_bytes, pad_bytes};
        }
    };

    // kBytes of a row from `offset` on; padding outside.
    static MOBILENETS_INLINE Int load(const uint8_t* row, int offset, int in_bytes, Int padding) {
        if (offset >= 0 && offset + S::kBytes <= in_bytes) return S::load(row + offset);
        if (offset >= in_bytes || offset + S::kBytes <= 0) return padding;
        return S::load_between(row + offset, offset < 0 ? -offset : 0, in_bytes - offset, padding);
    }

    // Quads kChannels places after vector m of `current`, and before it.
    static MOBILENETS_INLINE typename S::Quads after(const Column<S>& current, const Column<S>& next, int m) {
        return shifted<0>(current, next, m);
    }
    static MOBILENETS_INLINE typename S::Quads before(const Column<S>& previous, const Column<S>& current, int m) {
        return shifted<1>(previous, current, m);
    }
    template <int kBefore>
    static MOBILENETS_INLINE typename S::Quads shifted(const Column<S>& low, const Column<S>& high, int m) {
        constexpr int kQuads = kChannels / 4 % 4, kGroups = kChannels / 16;
        const int from = kBefore ? (m + 4 - kQuads) % 4 : (m + kQuads) % 4;
        const bool carry = kBefore ? m < kQuads : m + kQuads >= 4;
        if (carry)
            return S::template slide_quads<kBefore ? S::kGroups - kGroups - 1 : kGroups + 1>(low[from], high[from]);
        return S::template slide_quads<kBefore ? S::kGroups - kGroups : kGroups>(low[from], high[from]);
    }

    template <class Rounding>
    static MOBILENETS_NOINLINE void stride1(const Operation& op, const Strip& strip, const char* blocks) {
        const Strip s = strip.copy();
        const Int padding = S::fill_bytes(op.padding_value);
        constexpr int kBlocks = kPhases == 1 ? 2 : 1;
        Column<S> v[4];
        make_column<S>(padding, padding, padding, padding, v[0]);
        make_column<S>(load(s.row[0], 0, s.in_bytes, padding), load(s.row[1], 0, s.in_bytes, padding),
                       load(s.row[2], 0, s.in_bytes, padding), load(s.row[3], 0, s.in_bytes, padding), v[1]);
        const auto quads = [&](int i, int column, int m) -> typename S::Quads {
            return column == 0 ? before(v[i], v[i + 1], m) : column == 1 ? v[i + 1][m] : after(v[i + 1], v[i + 2], m);
        };
        int phase = 0;
        for (int begin = 0; begin < s.out_bytes; begin += kBlocks * S::kBytes) {
            Int row[kBlocks][4];  // plain vectors: columns that two branches fill would stay in memory
            if (begin + (kBlocks + 1) * S::kBytes <= s.in_bytes) {
                MOBILENETS_UNROLL for (int i = 0; i < 4 * kBlocks; ++i) row[i / 4][i % 4] =
                    S::load(s.row[i % 4] + begin + (i / 4 + 1) * S::kBytes);
            } else {
                MOBILENETS_UNROLL for (int i = 0; i < 4 * kBlocks; ++i) row[i / 4][i % 4] =
                    load(s.row[i % 4], begin + (i / 4 + 1) * S::kBytes, s.in_bytes, padding);
            }
            MOBILENETS_UNROLL for (int i = 0; i < kBlocks; ++i)
                make_column<S>(row[i][0], row[i][1], row[i][2], row[i][3], v[i + 2]);
            const char* block = blocks + static_cast<size_t>(phase) * Block::bytes(Taps::kTaps);
            Int upper[kBlocks], lower[kBlocks];
            stride1_results<S, kBlocks>(block, Rounding(block, op), quads, upper, lower);
            MOBILENETS_UNROLL for (int i = 0; i < kBlocks; ++i) {
                const int to = begin + i * S::kBytes;
                if (i > 0 && to >= s.out_bytes) continue;
                S::store_bytes(s.out[1] + to, lower[i], s.out_bytes - to);
                S::store_bytes(s.out[0] + to, upper[i], s.out_bytes - to);
            }
            copy_column<S>(v[kBlocks], v[0]);
            copy_column<S>(v[kBlocks + 1], v[1]);
            phase = phase + 1 == kPhases ? 0 : phase + 1;
        }
    }

    template <class Rounding>
    static MOBILENETS_NOINLINE void stride2(const Operation& op, const Strip& strip, const char* block) {
        const Strip s = strip.copy();
        const Int padding = S::fill_bytes(op.padding_value);
        constexpr int kGroup = kChannels / 16;
        // Rows 0 to 2 of the input of the block of output at `begin`, in two halves each.
        const auto load_rows = [&](int begin, Int(&half)[6]) {
            const int offset = 2 * begin - s.pad_bytes;
            if (offset >= 0 && offset + 2 * S::kBytes <= s.in_bytes) {
                MOBILENETS_UNROLL for (int i = 0; i < 6; ++i) half[i] =
                    S::load(s.row[i / 2] + offset + i % 2 * S::kBytes);
            } else {
                MOBILENETS_UNROLL for (int i = 0; i < 6; ++i) half[i] =
                    load(s.row[i / 2], offset + i % 2 * S::kBytes, s.in_bytes, padding);
            }
        };
        // Quads A of a block, and what is left over for quads B: the odd columns of rows 1 and 2.
        const auto load_block = [&](int begin, Column<S>& a, Int* odd1, Int* odd2) {
            Int half[6];
            load_rows(begin, half);
            *odd1 = S::template odd_pixels<kGroup>(half[2], half[3]);
            *odd2 = S::template odd_pixels<kGroup>(half[4], half[5]);
            make_column<S>(
                S::template even_pixels<kGroup>(half[0], half[1]), S::template even_pixels<kGroup>(half[2], half[3]),
                S::template even_pixels<kGroup>(half[4], half[5]), S::template odd_pixels<kGroup>(half[0], half[1]), a);
        };
        Column<S> a[3], b;
        const auto quads = [&](int i, int side, int m) ->
            typename S::Quads { return side == 0 ? a[i][m] : S::template slide_quads<kGroup>(a[i][m], a[i + 1][m]); };
        Int odd1[3], odd2[3];
        const Rounding rounding(block, op);
        load_block(0, a[0], &odd1[0], &odd2[0]);
        for (int begin = 0; begin < s.out_bytes; begin += 2 * S::kBytes) {
            load_block(begin + S::kBytes, a[1], &odd1[1], &odd2[1]);
            load_block(begin + 2 * S::kBytes, a[2], &odd1[2], &odd2[2]);
            make_column<S>(odd1[0], odd2[0], odd1[1], odd2[1], b);
            Int out[2];
            stride2_results<S>(block, rounding, b, quads, out);
            S::store_bytes(s.out[0] + begin, out[0], s.out_bytes - begin);
            if (begin + S::kBytes < s.out_bytes)
                S::store_bytes(s.out[0] + begin + S::kBytes, out[1], s.out_bytes - begin - S::kBytes);
            copy_column<S>(a[2], a[0]);
            odd1[0] = odd1[2];
            odd2[0] = odd2[2];
        }
    }

    template <class Rounding>
    static MOBILENETS_INLINE void strip(const Operation& op, const Strip& s, const char* blocks) {
        if constexpr (kStride == 1)
            stride1<Rounding>(op, s, blocks);
        else
            stride2<Rounding>(op, s, blocks);
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const bool relu = static_cast<const Header*>(packed)->finish == Finish::kRelu;
        const bool direct = task.out_stride == kChannels;
        const char* blocks = static_cast<const char*>(packed) + sizeof(Header);
        constexpr int kStep = kStride == 1 ? 2 : 1;
        Strip s;
        s.in_bytes = op.in_width * kChannels;
        s.out_bytes = op.out_width * kChannels;
        s.pad_bytes = op.pad_left * kChannels;
        for (int y = 0; y < task.count; y += kStep) {
            const bool both = y + kStep <= task.count;
            for (int i = 0; i < 4; ++i)
                s.row[i] =
                    static_cast<const uint8_t*>(task.rows[y * kStride + (i < 3 || (kStep == 2 && both) ? i : 2)]);
            uint8_t* out = static_cast<uint8_t*>(task.out) + y * task.out_row_stride;
            s.out[0] = direct ? out : static_cast<uint8_t*>(task.scratch);
            s.out[1] = s.out[0] + (!both ? 0 : direct ? task.out_row_stride : static_cast<ptrdiff_t>(row_bytes(op)));
            if (relu)
                strip<ReluRounding<S, 4>>(op, s, blocks);
            else
                strip<ByteRounding<S, 4>>(op, s, blocks);
            if (direct) continue;
            for (int i = 0; i < (both ? kStep : 1); ++i)
                for (int x = 0; x < op.out_width; ++x)
                    std::memcpy(out + i * task.out_row_stride + x * task.out_stride, s.out[i] + x * kChannels,
                                kChannels);
        }
    }
};

}  // namespace
}  // namespace mobilenets
