// uint8 pools, sums and products.
#pragma once

#include "requantize.h"

namespace mobilenets {
namespace {

template <class S>
struct MaxPool {
    static bool fits(const Operation&) { return true; }
    static size_t packed_bytes(const Operation&) { return 0; }
    static void pack(const Operation&, const Weights&, void*) {}
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {1, S::kBytes}; }

    static void run(const Operation& op, const void*, const Task& task) {
        const ptrdiff_t channels = op.in_channels;
        for (int y = 0; y < task.count; ++y) {
            for (int x = 0; x < op.out_width; ++x) {
                const int column = x * op.stride - op.pad_left;
                const int left = column < 0 ? -column : 0;
                const int end = op.in_width - column < op.kernel ? op.in_width - column : op.kernel;
                uint8_t* out = static_cast<uint8_t*>(task.out) + y * task.out_row_stride + x * task.out_stride;
                for (int c = task.channel_begin; c < task.channel_end; c += S::kBytes) {
                    auto largest = S::zero();
                    for (int i = 0; i < op.kernel; ++i) {
                        const auto* row = static_cast<const uint8_t*>(task.rows[y * op.stride + i]) + c;
                        for (int j = left; j < end; ++j)
                            largest = S::max_bytes(largest, S::load(row + (column + j) * channels));
                    }
                    S::store_bytes(out + c, largest, task.channel_end - c);
                }
            }
        }
    }
};

// Four pixels interleaved, and dot products with ones.
template <class S>
struct AveragePool {
    static bool fits(const Operation& op) { return !op.real_output; }
    static size_t packed_bytes(const Operation&) { return Parameters<S>::bytes(4); }
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {1, S::kBytes}; }

    static void pack(const Operation&, const Weights& weights, void* packed) {
        const auto bias = static_cast<const int32_t*>(weights.bias)[0];
        for (int i = 0; i < S::kBytes; ++i)
            Parameters<S>::put(static_cast<char*>(packed), 4, i, bias, weights.multiplier[0], Finish::kBytes);
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const auto* parameters = static_cast<const char*>(packed);
        const ByteRounding<S, 4> rounding(parameters, op);
        const auto ones = S::quads(S::fill_bytes(1));
        const ptrdiff_t stride = task.in_stride;
        for (int c = task.channel_begin; c < task.channel_end; c += S::kBytes) {
            const auto* in = static_cast<const uint8_t*>(task.in) + c;
            typename S::Int sum[4], v[4];
            MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) sum[m] = S::load(parameters + m * S::kBytes);
            for (int i = 0; i < task.count; i += 4, in += 4 * stride) {
                const auto pixel = [&](int k) { return i + k < task.count ? S::load(in + k * stride) : S::zero(); };
                S::interleave(S::load(in), pixel(1), pixel(2), pixel(3), v);
                MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) S::dot(sum[m], S::quads(v[m]), ones);
            }
            MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) sum[m] = rounding.round(sum[m], m);
            S::store_bytes(static_cast<uint8_t*>(task.out) + c,
                           rounding.bytes(rounding.words(sum[0], sum[1]), rounding.words(sum[2], sum[3])),
                           task.channel_end - c);
        }
    }
};

// Of two. Packed memory: two multipliers and the constant.
template <class S>
struct Sum {
    static bool fits(const Operation& op) { return op.inputs == 2; }
    static size_t packed_bytes(const Operation&) { return 3 * sizeof(float); }
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {1, S::kBytes}; }

    static void pack(const Operation&, const Weights& weights, void* packed) {
        std::memcpy(packed, weights.multiplier, 3 * sizeof(float));
    }

    // Adds kBytes products to what is there.
    static MOBILENETS_INLINE void add_products(const uint8_t* from, float multiplier, typename S::Float (&total)[4]) {
        typename S::Int v[4];  // bytes interleaved with zeros are int32
        S::interleave(S::load(from), S::zero(), S::zero(), S::zero(), v);
        const auto factor = S::fill_float(multiplier);
        MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) total[m] = S::multiply_add(S::to_float(v[m]), factor, total[m]);
    }

    // kBytes values from `offset` on, `count` of which exist.
    static MOBILENETS_INLINE void block(const Operation& op, const float* multipliers, const void* const* rows,
                                        ptrdiff_t offset, uint8_t* out, int count) {
        typename S::Float total[4];
        MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) total[m] = S::fill_float(multipliers[2]);
        add_products(static_cast<const uint8_t*>(rows[1]) + offset, multipliers[1], total);
        add_products(static_cast<const uint8_t*>(rows[0]) + offset, multipliers[0], total);
        const auto ab = S::pack_words(S::round(total[0]), S::round(total[1]));
        const auto cd = S::pack_words(S::round(total[2]), S::round(total[3]));
        S::store_bytes(out, S::clamp_bytes(S::pack_bytes(ab, cd), S::fill_bytes(op.low), S::fill_bytes(op.high)),
                       count);
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const auto* multipliers = static_cast<const float*>(packed);
        const ptrdiff_t channels = op.in_channels;
        auto* out = static_cast<uint8_t*>(task.out);
        if (task.out_stride == channels && task.channel_begin == 0 && task.channel_end == channels) {
            const ptrdiff_t size = task.count * channels;
            for (ptrdiff_t i = 0; i < size; i += S::kBytes)
                block(op, multipliers, task.rows, i, out + i,
                      static_cast<int>(size - i < S::kBytes ? size - i : S::kBytes));
            return;
        }
        for (ptrdiff_t pixel = 0; pixel < task.count; ++pixel)
            for (int c = task.channel_begin; c < task.channel_end; c += S::kBytes)
                block(op, multipliers, task.rows, pixel * channels + c, out + pixel * task.out_stride + c,
                      task.channel_end - c);
    }
};

// Packed memory: two zero points and a multiplier.
template <class S>
struct ProductOfTwo {
    struct Numbers {
        int32_t zero_points[2];
        float multiplier;
    };

    static bool fits(const Operation&) { return true; }
    static size_t packed_bytes(const Operation&) { return sizeof(Numbers); }
    static size_t scratch_bytes(const Operation&) { return 0; }
    static Grain grain(const Operation&) { return {1, S::kBytes}; }

    static void pack(const Operation&, const Weights& weights, void* packed) {
        const auto* zero_points = static_cast<const int32_t*>(weights.bias);
        *static_cast<Numbers*>(packed) = {{zero_points[0], zero_points[1]}, weights.multiplier[0]};
    }

    // kBytes values, as floats less their zero point.
    static MOBILENETS_INLINE void load(const uint8_t* from, int32_t zero_point, typename S::Float (&values)[4]) {
        typename S::Int v[4];  // bytes interleaved with zeros are int32
        S::interleave(S::load(from), S::zero(), S::zero(), S::zero(), v);
        MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) values[m] = S::to_float(S::subtract(v[m], S::fill(zero_point)));
    }

    // kBytes products, `count` of which exist. A float holds the product of two bytes exactly.
    static MOBILENETS_INLINE void block(const Operation& op, const Numbers& numbers, const uint8_t* first,
                                        const typename S::Float (&b)[4], uint8_t* out, int count) {
        typename S::Float a[4];
        load(first, numbers.zero_points[0], a);
        const auto multiplier = S::fill_float(numbers.multiplier);
        const auto zero_point = S::fill_float(static_cast<float>(op.out_zero_point));
        typename S::Int v[4];
        MOBILENETS_UNROLL for (int m = 0; m < 4; ++m) v[m] =
            S::round(S::add_float(S::multiply(S::multiply(a[m], b[m]), multiplier), zero_point));
        const auto bytes = S::pack_bytes(S::pack_words(v[0], v[1]), S::pack_words(v[2], v[3]));
        S::store_bytes(out, S::clamp_bytes(bytes, S::fill_bytes(op.low), S::fill_bytes(op.high)), count);
    }

    static void run(const Operation& op, const void* packed, const Task& task) {
        const Numbers& numbers = *static_cast<const Numbers*>(packed);
        const auto *first = static_cast<const uint8_t*>(task.rows[0]),
                   *second = static_cast<const uint8_t*>(task.rows[1]);
        auto* out = static_cast<uint8_t*>(task.out);
        const ptrdiff_t channels = op.in_channels;
        const bool whole = task.channel_begin == 0 && task.channel_end == channels;
        typename S::Float b[4];
        if (!op.per_channel && whole && task.out_stride == channels) {
            const ptrdiff_t size = task.count * channels;
            for (ptrdiff_t i = 0; i < size; i += S::kBytes) {
                load(second + i, numbers.zero_points[1], b);
                block(op, numbers, first + i, b, out + i,
                      static_cast<int>(size - i < S::kBytes ? size - i : S::kBytes));
            }
            return;
        }
        for (int c = task.channel_begin; c < task.channel_end; c += S::kBytes) {
            if (op.per_channel) load(second + c, numbers.zero_points[1], b);
            for (ptrdiff_t pixel = 0; pixel < task.count; ++pixel) {
                if (!op.per_channel) load(second + pixel * channels + c, numbers.zero_points[1], b);
                block(op, numbers, first + pixel * channels + c, b, out + pixel * task.out_stride + c,
                      task.channel_end - c);
            }
        }
    }
};

}  // namespace
}  // namespace mobilenets
