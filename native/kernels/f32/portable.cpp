// float32 kernels in portable C++: they fit everything and define what the others compute, up to rounding.
#include <cstring>
#include <limits>

#include "activation.h"
#include "kernels.h"

namespace mobilenets {
namespace {

// Packed memory: offset (kStem), bias, then weights as they came. kAveragePool: its multiplier.
struct Packed {
    float* offset;
    float* bias;
    float* weight;
};

size_t offsets_of(const Operation& op) {
    return op.kind == Kind::kStem ? static_cast<size_t>(op.in_channels) : 0;
}

size_t weights_of(const Operation& op) {
    const auto window = static_cast<size_t>(op.kernel) * static_cast<size_t>(op.kernel);
    const auto in = static_cast<size_t>(op.in_channels), out = static_cast<size_t>(op.out_channels);
    switch (op.kind) {
        case Kind::kPointwise:
            return in * out;
        case Kind::kDepthwise:
            return out * window;
        case Kind::kConvolution:
        case Kind::kStem:
            return in * out * window;
        case Kind::kMaxPool:
        case Kind::kAveragePool:
        case Kind::kSum:
        case Kind::kProduct:
        case Kind::kActivation:
            break;
    }
    return 0;
}

Packed view(const Operation& op, const void* packed) {
    auto* base = static_cast<float*>(const_cast<void*>(packed));
    return {base, base + offsets_of(op), base + offsets_of(op) + op.out_channels};
}

bool fits(const Operation&) {
    return true;
}

size_t packed_bytes(const Operation& op) {
    return (offsets_of(op) + static_cast<size_t>(op.out_channels) + weights_of(op)) * sizeof(float);
}

void pack(const Operation& op, const Weights& weights, void* memory) {
    const Packed packed = view(op, memory);
    if (offsets_of(op)) std::memcpy(packed.offset, weights.offset, offsets_of(op) * sizeof(float));
    std::memcpy(packed.bias, weights.bias, static_cast<size_t>(op.out_channels) * sizeof(float));
    std::memcpy(packed.weight, weights.weight, weights_of(op) * sizeof(float));
}

size_t one_float(const Operation&) {
    return sizeof(float);
}

void pack_multiplier(const Operation&, const Weights& weights, void* memory) {
    std::memcpy(memory, weights.multiplier, sizeof(float));
}

size_t nothing_to_pack(const Operation&) {
    return 0;
}

void pack_nothing(const Operation&, const Weights&, void*) {}

size_t no_scratch(const Operation&) {
    return 0;
}

Grain single(const Operation&) {
    return {};
}

float clamp(const Operation& op, float value) {
    return value < op.low_real ? op.low_real : value > op.high_real ? op.high_real : value;
}

float* pixel_of(const Task& task, int32_t y, int32_t x) {
    return reinterpret_cast<float*>(static_cast<char*>(task.out) + y * task.out_row_stride + x * task.out_stride);
}

void pointwise(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        const auto* in = reinterpret_cast<const float*>(static_cast<const char*>(task.in) + pixel * task.in_stride);
        float* out = pixel_of(task, 0, pixel);
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
            const float* weight = packed.weight + static_cast<ptrdiff_t>(c) * op.in_channels;
            float sum = packed.bias[c];
            for (int32_t k = 0; k < op.in_channels; ++k) sum += in[k] * weight[k];
            out[c] = clamp(op, sum);
        }
    }
}

void depthwise(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            float* out = pixel_of(task, y, x);
            for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
                const float* weight = packed.weight + static_cast<ptrdiff_t>(c) * op.kernel * op.kernel;
                float sum = packed.bias[c];
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const auto* row = static_cast<const float*>(task.rows[y * op.stride + i]);
                    for (int32_t j = 0; j < op.kernel; ++j) {
                        const int32_t column = x * op.stride - op.pad_left + j;
                        if (column < 0 || column >= op.in_width) continue;
                        sum += row[static_cast<ptrdiff_t>(column) * op.in_channels + c] * weight[i * op.kernel + j];
                    }
                }
                out[c] = clamp(op, sum);
            }
        }
    }
}

void convolution(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    const ptrdiff_t window = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            float* out = pixel_of(task, y, x);
            for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
                const float* weight = packed.weight + c * op.in_channels * window;
                float sum = packed.bias[c];
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const auto* row = static_cast<const float*>(task.rows[y * op.stride + i]);
                    for (int32_t j = 0; j < op.kernel; ++j) {
                        const int32_t column = x * op.stride - op.pad_left + j;
                        if (column < 0 || column >= op.in_width) continue;
                        const float* values = row + static_cast<ptrdiff_t>(column) * op.in_channels;
                        for (int32_t k = 0; k < op.in_channels; ++k)
                            sum += values[k] * weight[k * window + i * op.kernel + j];
                    }
                }
                out[c] = clamp(op, sum);
            }
        }
    }
}

void stem(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    const ptrdiff_t window = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            float* out = pixel_of(task, y, x);
            for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
                const float* weight = packed.weight + c * op.in_channels * window;
                float sum = packed.bias[c];
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const auto* row = static_cast<const uint8_t*>(task.rows[y * op.stride + i]);
                    for (int32_t j = 0; j < op.kernel && row != nullptr; ++j) {
                        const int32_t column = x * op.stride - op.pad_left + j;
                        if (column < 0 || column >= op.in_width) continue;
                        for (int32_t k = 0; k < op.in_channels; ++k) {
                            const uint8_t byte = row[static_cast<ptrdiff_t>(column) * op.in_channels + k];
                            const float value = static_cast<float>(byte) - packed.offset[k];
                            sum += value * weight[k * window + i * op.kernel + j];
                        }
                    }
                }
                out[c] = clamp(op, sum);
            }
        }
    }
}

void max_pool(const Operation& op, const void*, const Task& task) {
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            float* out = pixel_of(task, y, x);
            for (int32_t c = task.channel_begin; c < task.channel_end; ++c)
                out[c] = -std::numeric_limits<float>::infinity();
            for (int32_t i = 0; i < op.kernel; ++i) {
                const auto* row = static_cast<const float*>(task.rows[y * op.stride + i]);
                for (int32_t j = 0; j < op.kernel; ++j) {
                    const int32_t column = x * op.stride - op.pad_left + j;
                    if (column < 0 || column >= op.in_width) continue;
                    const float* pixel = row + static_cast<ptrdiff_t>(column) * op.in_channels;
                    for (int32_t c = task.channel_begin; c < task.channel_end; ++c)
                        out[c] = pixel[c] > out[c] ? pixel[c] : out[c];
                }
            }
        }
    }
}

void average_pool(const Operation&, const void* memory, const Task& task) {
    const float multiplier = *static_cast<const float*>(memory);
    for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
        float sum = 0;
        for (int32_t pixel = 0; pixel < task.count; ++pixel)
            sum += reinterpret_cast<const float*>(static_cast<const char*>(task.in) + pixel * task.in_stride)[c];
        static_cast<float*>(task.out)[c] = sum * multiplier;
    }
}

void sum(const Operation& op, const void*, const Task& task) {
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        float* out = pixel_of(task, 0, pixel);
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
            float total = 0;
            for (int32_t i = 0; i < op.inputs; ++i)
                total += static_cast<const float*>(task.rows[i])[static_cast<ptrdiff_t>(pixel) * op.in_channels + c];
            out[c] = clamp(op, total);
        }
    }
}

void product(const Operation& op, const void*, const Task& task) {
    const auto *first = static_cast<const float*>(task.rows[0]), *second = static_cast<const float*>(task.rows[1]);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        float* out = pixel_of(task, 0, pixel);
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) out[c] = clamp(op, first[c] * second[c]);
        first += op.in_channels;
        if (!op.per_channel) second += op.in_channels;
    }
}

void activation(const Operation& op, const void*, const Task& task) {
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        const auto* in = reinterpret_cast<const float*>(static_cast<const char*>(task.in) + pixel * task.in_stride);
        float* out = pixel_of(task, 0, pixel);
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) out[c] = activated(op.activation, in[c]);
    }
}

const Kernel kKernels[] = {
    {"f32_pointwise_1x1_portable", Kind::kPointwise, Type::kFloat32, fits, packed_bytes, pack, no_scratch, single,
     pointwise},
    {"f32_depthwise_1_portable", Kind::kDepthwise, Type::kFloat32, fits, packed_bytes, pack, no_scratch, single,
     depthwise},
    {"f32_convolution_1_portable", Kind::kConvolution, Type::kFloat32, fits, packed_bytes, pack, no_scratch, single,
     convolution},
    {"f32_stem_1_portable", Kind::kStem, Type::kFloat32, fits, packed_bytes, pack, no_scratch, single, stem},
    {"f32_max_pool_1_portable", Kind::kMaxPool, Type::kFloat32, fits, nothing_to_pack, pack_nothing, no_scratch, single,
     max_pool},
    {"f32_average_pool_1_portable", Kind::kAveragePool, Type::kFloat32, fits, one_float, pack_multiplier, no_scratch,
     single, average_pool},
    {"f32_sum_1_portable", Kind::kSum, Type::kFloat32, fits, nothing_to_pack, pack_nothing, no_scratch, single, sum},
    {"f32_product_1_portable", Kind::kProduct, Type::kFloat32, fits, nothing_to_pack, pack_nothing, no_scratch, single,
     product},
    {"f32_activation_1_portable", Kind::kActivation, Type::kFloat32, fits, nothing_to_pack, pack_nothing, no_scratch,
     single, activation},
};

}  // namespace

const KernelList kF32Portable = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
