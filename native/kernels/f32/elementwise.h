// float32 sums, products and activations, written once over `Vector`: bound by memory, so plain loops over channels do.
#pragma once

#include "activation.h"
#include "kernels.h"
#include "pool.h"

namespace mobilenets {
namespace {

void sum_run(const Operation& op, const void*, const Task& task) {
    const Vector::Floats low = Vector::broadcast(op.low_real), high = Vector::broadcast(op.high_real);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        auto* out = reinterpret_cast<float*>(static_cast<char*>(task.out) + pixel * task.out_stride);
        const ptrdiff_t start = static_cast<ptrdiff_t>(pixel) * op.in_channels;
        for (int32_t c = task.channel_begin; c < task.channel_end; c += Vector::kWidth) {
            Vector::Floats sum = Vector::load(static_cast<const float*>(task.rows[0]) + start + c);
            for (int32_t i = 1; i < op.inputs; ++i)
                sum = Vector::add(sum, Vector::load(static_cast<const float*>(task.rows[i]) + start + c));
            store_lanes(out + c, Vector::min(Vector::max(sum, low), high), task.channel_end - c);
        }
    }
}

void product_run(const Operation& op, const void*, const Task& task) {
    const Vector::Floats low = Vector::broadcast(op.low_real), high = Vector::broadcast(op.high_real);
    const auto *first = static_cast<const float*>(task.rows[0]), *second = static_cast<const float*>(task.rows[1]);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        auto* out = reinterpret_cast<float*>(static_cast<char*>(task.out) + pixel * task.out_stride);
        for (int32_t c = task.channel_begin; c < task.channel_end; c += Vector::kWidth) {
            const Vector::Floats made = Vector::multiply(Vector::load(first + c), Vector::load(second + c));
            store_lanes(out + c, Vector::min(Vector::max(made, low), high), task.channel_end - c);
        }
        first += op.in_channels;
        if (!op.per_channel) second += op.in_channels;
    }
}

// `count` values in a row. Those behind the last vector are made one by one: another thread may be writing the next.
template <bool kTimesItself>
void activate_row(const float* in, float* out, ptrdiff_t count) {
    const Vector::Floats slope = Vector::broadcast(1.0f / 6), middle = Vector::broadcast(0.5f);
    const Vector::Floats zero = Vector::zero(), one = Vector::broadcast(1);
    ptrdiff_t i = 0;
    for (; i + Vector::kWidth <= count; i += Vector::kWidth) {
        const Vector::Floats value = Vector::load(in + i);
        const Vector::Floats line = Vector::add(Vector::multiply(value, slope), middle);
        const Vector::Floats sigmoid = Vector::min(Vector::max(line, zero), one);
        Vector::store(out + i, kTimesItself ? Vector::multiply(value, sigmoid) : sigmoid);
    }
    for (; i < count; ++i) out[i] = kTimesItself ? in[i] * hard_sigmoid(in[i]) : hard_sigmoid(in[i]);
}

bool fits_hard_activation(const Operation& op) {
    return op.activation == Activation::kHardSigmoid || op.activation == Activation::kHardSwish;
}

void activation_run(const Operation& op, const void*, const Task& task) {
    const auto run = op.activation == Activation::kHardSwish ? activate_row<true> : activate_row<false>;
    const ptrdiff_t channels = task.channel_end - task.channel_begin, bytes = channels * 4;
    const auto* in = static_cast<const char*>(task.in) + 4 * task.channel_begin;
    auto* out = static_cast<char*>(task.out) + 4 * task.channel_begin;
    const bool in_a_row = task.in_stride == bytes && task.out_stride == bytes;
    const int32_t rows = in_a_row ? 1 : task.count;
    for (int32_t row = 0; row < rows; ++row, in += task.in_stride, out += task.out_stride)
        run(reinterpret_cast<const float*>(in), reinterpret_cast<float*>(out),
            in_a_row ? channels * task.count : channels);
}

}  // namespace
}  // namespace mobilenets
