// float32 pools, written once over `Vector`: bound by memory, so plain loops over channels do.
#pragma once

#include "kernels.h"
#include "pointwise.h"

namespace mobilenets {
namespace {

constexpr Grain kAnyGrain = {1, 64};

Grain any_grain(const Operation&) {
    return kAnyGrain;
}

size_t packs_nothing(const Operation&) {
    return 0;
}

void pack_nothing(const Operation&, const Weights&, void*) {}

size_t packs_multiplier(const Operation&) {
    return sizeof(float);
}

void pack_multiplier(const Operation&, const Weights& weights, void* packed) {
    std::memcpy(packed, weights.multiplier, sizeof(float));
}

void store_lanes(float* to, Vector::Floats value, int32_t lanes) {
    if (lanes < Vector::kWidth)
        Vector::store_first(to, value, lanes);
    else
        Vector::store(to, value);
}

void max_pool_run(const Operation& op, const void*, const Task& task) {
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            const int32_t column = x * op.stride - op.pad_left;
            const int32_t first = column < 0 ? 0 : column;
            const int32_t last = op.in_width - column < op.kernel ? op.in_width : column + op.kernel;
            auto* out =
                reinterpret_cast<float*>(static_cast<char*>(task.out) + y * task.out_row_stride + x * task.out_stride);
            for (int32_t c = task.channel_begin; c < task.channel_end; c += Vector::kWidth) {
                const ptrdiff_t begin = static_cast<ptrdiff_t>(first) * op.in_channels + c;
                Vector::Floats largest = Vector::load(static_cast<const float*>(task.rows[y * op.stride]) + begin);
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const float* in = static_cast<const float*>(task.rows[y * op.stride + i]) + begin;
                    for (int32_t j = first; j < last; ++j, in += op.in_channels)
                        largest = Vector::max(largest, Vector::load(in));
                }
                store_lanes(out + c, largest, task.channel_end - c);
            }
        }
    }
}

void average_pool_run(const Operation&, const void* packed, const Task& task) {
    const Vector::Floats multiplier = Vector::broadcast(*static_cast<const float*>(packed));
    for (int32_t c = task.channel_begin; c < task.channel_end; c += Vector::kWidth) {
        Vector::Floats sum = Vector::zero();
        const char* in = static_cast<const char*>(task.in) + c * static_cast<ptrdiff_t>(sizeof(float));
        for (int32_t pixel = 0; pixel < task.count; ++pixel, in += task.in_stride)
            sum = Vector::add(sum, Vector::load(reinterpret_cast<const float*>(in)));
        store_lanes(static_cast<float*>(task.out) + c, Vector::multiply(sum, multiplier), task.channel_end - c);
    }
}

}  // namespace
}  // namespace mobilenets
