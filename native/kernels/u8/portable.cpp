// uint8 kernels in portable C++: they fit everything and define what the others compute.
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace mobilenets {
namespace {

// Packed memory of every portable uint8 kernel: this, then weights as they came.
struct Packed {
    int32_t* bias;
    float* multiplier;
    int32_t* zero_point;  // of weights
    int8_t* weight;
};

// Biases and multipliers that an operation has.
size_t channels_of(const Operation& op) {
    switch (op.kind) {
        case Kind::kPointwise:
        case Kind::kDepthwise:
        case Kind::kConvolution:
        case Kind::kStem:
            return static_cast<size_t>(op.out_channels);
        case Kind::kAveragePool:
            return 1;
        case Kind::kSum:
        case Kind::kMaxPool:
        case Kind::kProduct:
        case Kind::kActivation:
            break;
    }
    return 0;
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
    auto* base = static_cast<char*>(const_cast<void*>(packed));
    const size_t bytes = channels_of(op) * 4;
    return {reinterpret_cast<int32_t*>(base), reinterpret_cast<float*>(base + bytes),
            reinterpret_cast<int32_t*>(base + 2 * bytes), reinterpret_cast<int8_t*>(base + 3 * bytes)};
}

bool fits(const Operation&) {
    return true;
}

size_t packed_bytes(const Operation& op) {
    return channels_of(op) * 12 + weights_of(op);
}

void pack(const Operation& op, const Weights& weights, void* memory) {
    const Packed packed = view(op, memory);
    const size_t channels = channels_of(op);
    std::memcpy(packed.bias, weights.bias, channels * 4);
    std::memcpy(packed.multiplier, weights.multiplier, channels * 4);
    for (size_t c = 0; c < channels; ++c) packed.zero_point[c] = weights.zero_point ? weights.zero_point[c] : 0;
    if (weights_of(op)) std::memcpy(packed.weight, weights.weight, weights_of(op));
}

// A sum has one multiplier and one zero point for each input, and one float more.
size_t sum_packed_bytes(const Operation& op) {
    return 4 * (2 * static_cast<size_t>(op.inputs) + 1);
}

void pack_sum(const Operation& op, const Weights& weights, void* memory) {
    const auto inputs = static_cast<size_t>(op.inputs);
    std::memcpy(memory, weights.bias, inputs * sizeof(int32_t));
    std::memcpy(static_cast<int32_t*>(memory) + inputs, weights.multiplier, (inputs + 1) * sizeof(float));
}

// A product has one multiplier and two zero points.
size_t product_packed_bytes(const Operation&) {
    return 2 * sizeof(int32_t) + sizeof(float);
}

void pack_product(const Operation&, const Weights& weights, void* memory) {
    std::memcpy(memory, weights.bias, 2 * sizeof(int32_t));
    std::memcpy(static_cast<int32_t*>(memory) + 2, weights.multiplier, sizeof(float));
}

size_t table_bytes(const Operation&) {
    return 256;
}

void pack_table(const Operation&, const Weights& weights, void* memory) {
    std::memcpy(memory, weights.weight, 256);
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

// Rounds half to even and clamps, without converting anything that an int32 cannot hold.
uint8_t round_and_clamp(const Operation& op, float value) {
    const float lowest = static_cast<float>(op.low - op.out_zero_point);
    const float highest = static_cast<float>(op.high - op.out_zero_point);
    const float rounded = std::nearbyintf(value);
    const float clamped = rounded < lowest ? lowest : rounded > highest ? highest : rounded;
    return static_cast<uint8_t>(static_cast<int32_t>(clamped) + op.out_zero_point);
}

void store(const Operation& op, uint32_t accumulator, float multiplier, void* out, ptrdiff_t index) {
    const float value = static_cast<float>(static_cast<int32_t>(accumulator)) * multiplier;
    if (op.real_output) {
        static_cast<float*>(out)[index] = value < op.low_real    ? op.low_real
                                          : value > op.high_real ? op.high_real
                                                                 : value;
    } else {
        static_cast<uint8_t*>(out)[index] = round_and_clamp(op, value);
    }
}

// Accumulators wrap, so they are unsigned; a product of two bytes always fits an int.
uint32_t product(int q, int w) {
    return static_cast<uint32_t>(q * w);
}

void pointwise(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        const auto* in = static_cast<const uint8_t*>(task.in) + pixel * task.in_stride;
        auto* out = static_cast<char*>(task.out) + pixel * task.out_stride;
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
            const int8_t* weight = packed.weight + static_cast<ptrdiff_t>(c) * op.in_channels;
            const int32_t zero_point = packed.zero_point[c];
            auto sum = static_cast<uint32_t>(packed.bias[c]);
            for (int32_t k = 0; k < op.in_channels; ++k) sum += product(in[k], weight[k] - zero_point);
            store(op, sum, packed.multiplier[c], out, c);
        }
    }
}

void depthwise(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            auto* out = static_cast<char*>(task.out) + y * task.out_row_stride + x * task.out_stride;
            for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
                const int8_t* weight = packed.weight + static_cast<ptrdiff_t>(c) * op.kernel * op.kernel;
                auto sum = static_cast<uint32_t>(packed.bias[c]);
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const auto* row = static_cast<const uint8_t*>(task.rows[y * op.stride + i]);
                    for (int32_t j = 0; j < op.kernel; ++j) {
                        const int32_t column = x * op.stride - op.pad_left + j;
                        const bool inside = column >= 0 && column < op.in_width;
                        const int q =
                            inside ? row[static_cast<ptrdiff_t>(column) * op.in_channels + c] : op.padding_value;
                        sum += product(q, weight[i * op.kernel + j] - packed.zero_point[c]);
                    }
                }
                store(op, sum, packed.multiplier[c], out, c);
            }
        }
    }
}

void stem(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    const ptrdiff_t window = static_cast<ptrdiff_t>(op.kernel) * op.kernel;
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            auto* out = static_cast<char*>(task.out) + y * task.out_row_stride + x * task.out_stride;
            for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
                const int8_t* weight = packed.weight + c * op.in_channels * window;
                auto sum = static_cast<uint32_t>(packed.bias[c]);
                for (int32_t i = 0; i < op.kernel; ++i) {
                    const auto* row = static_cast<const uint8_t*>(task.rows[y * op.stride + i]);
                    for (int32_t j = 0; j < op.kernel; ++j) {
                        const int32_t column = x * op.stride - op.pad_left + j;
                        const bool inside = column >= 0 && column < op.in_width;
                        for (int32_t k = 0; k < op.in_channels; ++k) {
                            const int q =
                                inside ? row[static_cast<ptrdiff_t>(column) * op.in_channels + k] : op.padding_value;
                            sum += product(q, weight[k * window + i * op.kernel + j] - packed.zero_point[c]);
                        }
                    }
                }
                store(op, sum, packed.multiplier[c], out, c);
            }
        }
    }
}

void max_pool(const Operation& op, const void*, const Task& task) {
    for (int32_t y = 0; y < task.count; ++y) {
        for (int32_t x = 0; x < op.out_width; ++x) {
            auto* out = static_cast<uint8_t*>(task.out) + y * task.out_row_stride + x * task.out_stride;
            std::memset(out + task.channel_begin, 0, static_cast<size_t>(task.channel_end - task.channel_begin));
            for (int32_t i = 0; i < op.kernel; ++i) {
                const auto* row = static_cast<const uint8_t*>(task.rows[y * op.stride + i]);
                for (int32_t j = 0; j < op.kernel; ++j) {
                    const int32_t column = x * op.stride - op.pad_left + j;
                    if (column < 0 || column >= op.in_width) continue;
                    const uint8_t* pixel = row + static_cast<ptrdiff_t>(column) * op.in_channels;
                    for (int32_t c = task.channel_begin; c < task.channel_end; ++c)
                        out[c] = pixel[c] > out[c] ? pixel[c] : out[c];
                }
            }
        }
    }
}

void average_pool(const Operation& op, const void* memory, const Task& task) {
    const Packed packed = view(op, memory);
    for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
        auto sum = static_cast<uint32_t>(packed.bias[0]);
        for (int32_t pixel = 0; pixel < task.count; ++pixel)
            sum += static_cast<const uint8_t*>(task.in)[pixel * task.in_stride + c];
        store(op, sum, packed.multiplier[0], task.out, c);
    }
}

uint8_t clamped(const Operation& op, float rounded) {
    const auto low = static_cast<float>(op.low), high = static_cast<float>(op.high);
    return static_cast<uint8_t>(rounded < low ? low : rounded > high ? high : rounded);
}

void sum_of_two(const Operation& op, const float* multipliers, const Task& task) {
    const auto* first = static_cast<const uint8_t*>(task.rows[0]);
    const auto* second = static_cast<const uint8_t*>(task.rows[1]);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        auto* out = static_cast<uint8_t*>(task.out) + pixel * task.out_stride;
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
            const float inner = std::fma(static_cast<float>(second[c]), multipliers[1], multipliers[2]);
            out[c] = clamped(op, std::nearbyintf(std::fma(static_cast<float>(first[c]), multipliers[0], inner)));
        }
        first += op.in_channels;
        second += op.in_channels;
    }
}

void sum(const Operation& op, const void* memory, const Task& task) {
    const auto* zero_points = static_cast<const int32_t*>(memory);
    const auto* multipliers = reinterpret_cast<const float*>(zero_points + op.inputs);
    if (op.inputs == 2) return sum_of_two(op, multipliers, task);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        auto* out = static_cast<uint8_t*>(task.out) + pixel * task.out_stride;
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
            float total = 0;
            for (int32_t i = 0; i < op.inputs; ++i) {
                const auto* in = static_cast<const uint8_t*>(task.rows[i]);
                const int q = in[static_cast<ptrdiff_t>(pixel) * op.in_channels + c] - zero_points[i];
                const float term = static_cast<float>(q) * multipliers[i];
                total = i == 0 ? term : total + term;
            }
            out[c] = round_and_clamp(op, total / multipliers[op.inputs]);
        }
    }
}

void product_of_two(const Operation& op, const void* memory, const Task& task) {
    const auto* zero_points = static_cast<const int32_t*>(memory);
    float multiplier;
    std::memcpy(&multiplier, zero_points + 2, sizeof multiplier);
    const auto* first = static_cast<const uint8_t*>(task.rows[0]);
    const auto* second = static_cast<const uint8_t*>(task.rows[1]);
    const auto zero_point = static_cast<float>(op.out_zero_point);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        auto* out = static_cast<uint8_t*>(task.out) + pixel * task.out_stride;
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) {
            const int32_t exact = (first[c] - zero_points[0]) * (second[c] - zero_points[1]);
            const float scaled = static_cast<float>(exact) * multiplier;
            out[c] = clamped(op, std::nearbyintf(scaled + zero_point));
        }
        first += op.in_channels;
        if (!op.per_channel) second += op.in_channels;
    }
}

void activation(const Operation&, const void* memory, const Task& task) {
    const auto* table = static_cast<const uint8_t*>(memory);
    for (int32_t pixel = 0; pixel < task.count; ++pixel) {
        const auto* in = static_cast<const uint8_t*>(task.in) + pixel * task.in_stride;
        auto* out = static_cast<uint8_t*>(task.out) + pixel * task.out_stride;
        for (int32_t c = task.channel_begin; c < task.channel_end; ++c) out[c] = table[in[c]];
    }
}

const Kernel kKernels[] = {
    {"u8_pointwise_1x1_portable", Kind::kPointwise, Type::kUint8, fits, packed_bytes, pack, no_scratch, single,
     pointwise},
    {"u8_depthwise_1_portable", Kind::kDepthwise, Type::kUint8, fits, packed_bytes, pack, no_scratch, single,
     depthwise},
    {"u8_convolution_1_portable", Kind::kConvolution, Type::kUint8, fits, packed_bytes, pack, no_scratch, single, stem},
    {"u8_stem_1_portable", Kind::kStem, Type::kUint8, fits, packed_bytes, pack, no_scratch, single, stem},
    {"u8_max_pool_1_portable", Kind::kMaxPool, Type::kUint8, fits, nothing_to_pack, pack_nothing, no_scratch, single,
     max_pool},
    {"u8_average_pool_1_portable", Kind::kAveragePool, Type::kUint8, fits, packed_bytes, pack, no_scratch, single,
     average_pool},
    {"u8_sum_1_portable", Kind::kSum, Type::kUint8, fits, sum_packed_bytes, pack_sum, no_scratch, single, sum},
    {"u8_product_1_portable", Kind::kProduct, Type::kUint8, fits, product_packed_bytes, pack_product, no_scratch,
     single, product_of_two},
    {"u8_activation_1_portable", Kind::kActivation, Type::kUint8, fits, table_bytes, pack_table, no_scratch, single,
     activation},
};

}  // namespace

const KernelList kU8Portable = {kKernels, sizeof kKernels / sizeof *kKernels};

}  // namespace mobilenets
