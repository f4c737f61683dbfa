#include "example.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>

namespace mobilenets {
namespace {

constexpr uint8_t kCanary = 0xC5;  // four of them make a float of −6325.3, which shows in any sum

bool windowed(Kind kind) {
    return kind == Kind::kDepthwise || kind == Kind::kConvolution || kind == Kind::kStem || kind == Kind::kMaxPool;
}

}  // namespace

Guarded::Guarded(size_t size, uint8_t fill) : size_(size), memory_(size + 2 * kSlack + 64, kCanary) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data()) + kSlack;
    start_ = memory_.data() + ((address + 63) / 64 * 64 - reinterpret_cast<uintptr_t>(memory_.data()));
    std::memset(start_, fill, size);
}

bool Guarded::intact() const {
    const auto canary = [](uint8_t byte) { return byte == kCanary; };
    return std::all_of(memory_.data(), static_cast<const uint8_t*>(start_), canary) &&
           std::all_of(static_cast<const uint8_t*>(start_) + size_, memory_.data() + memory_.size(), canary);
}

// Convolutions of every input channel with every output channel.
static bool dense(Kind kind) {
    return kind == Kind::kConvolution || kind == Kind::kStem;
}

Example::Example(const Operation& op, int32_t pixels, uint32_t seed) : op_(op), pixels_(pixels), padding_row_(0) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const bool floats = op.type == Type::kFloat32;
    const size_t in_bytes = floats && op.kind != Kind::kStem ? 4 : 1;
    const float spread = op.kind == Kind::kActivation ? 3 : 1;  // beyond where it bends
    const auto fill = [&](Guarded& memory) {
        if (in_bytes == 4) {
            for (size_t i = 0; i < memory.size() / 4; ++i)
                reinterpret_cast<float*>(memory.data())[i] = spread * normal(random);
        } else {
            for (size_t i = 0; i < memory.size(); ++i) memory.data()[i] = static_cast<uint8_t>(random());
        }
    };
    const int32_t values = windowed(op.kind) ? op.in_height * op.in_width * op.in_channels : pixels * op.in_channels;
    for (int32_t i = 0; i < op.inputs; ++i) {
        const int32_t own = op.per_channel && i == 1 ? op.in_channels : values;
        inputs_.emplace_back(static_cast<size_t>(own) * in_bytes);
        fill(inputs_.back());
    }
    padding_row_ =
        Guarded(static_cast<size_t>(op.in_width) * op.in_channels * in_bytes, static_cast<uint8_t>(op.padding_value));
    if (op.kind == Kind::kMaxPool && floats)
        std::fill_n(reinterpret_cast<float*>(padding_row_.data()), op.in_width * op.in_channels,
                    -std::numeric_limits<float>::infinity());

    const int32_t window = op.kernel * op.kernel;
    const int32_t taps = op.kind == Kind::kPointwise   ? op.in_channels
                         : op.kind == Kind::kDepthwise ? window
                         : dense(op.kind)              ? window * op.in_channels
                                                       : pixels;
    const bool has_weight = op.kind == Kind::kPointwise || op.kind == Kind::kDepthwise || dense(op.kind);
    const bool table = op.kind == Kind::kActivation && !floats;
    const size_t weights = table ? 256 : has_weight ? static_cast<size_t>(taps) * op.out_channels : 0;
    const bool joins = op.kind == Kind::kSum || op.kind == Kind::kProduct;
    const size_t biases = joins ? op.inputs : op.kind == Kind::kAveragePool ? 1 : op.out_channels;
    for (int32_t k = 0; k < op.in_channels; ++k) offset_.push_back(127.5f + static_cast<float>(k));
    if (floats) {
        std::vector<float> weight(weights), bias(biases);
        const float scale = (op.kind == Kind::kStem ? 0.01f : 1.0f) / std::sqrt(static_cast<float>(taps));
        for (float& w : weight) w = normal(random) * scale;
        for (float& b : bias) b = normal(random) * 0.2f;
        weight_.assign(reinterpret_cast<uint8_t*>(weight.data()), reinterpret_cast<uint8_t*>(weight.data() + weights));
        bias_.assign(reinterpret_cast<uint8_t*>(bias.data()), reinterpret_cast<uint8_t*>(bias.data() + biases));
        multiplier_.assign(biases, 1.0f / static_cast<float>(pixels));
        return;
    }
    weight_.resize(weights);
    for (uint8_t& w : weight_) w = static_cast<uint8_t>(static_cast<int8_t>(static_cast<int>(random() % 255) - 127));
    std::vector<int32_t> bias(biases);
    for (size_t c = 0; c < biases; ++c) {
        bias[c] = static_cast<int32_t>(random() % 20000) - 10000;
        const float spread = 1.0f + 0.3f * std::fabs(normal(random));
        multiplier_.push_back(spread * 60.0f / (73.0f * 147.0f * std::sqrt(static_cast<float>(taps))));
        if (op.kind == Kind::kAveragePool) bias[c] = -3 * pixels, multiplier_[c] = 1.0f / static_cast<float>(pixels);
        if (op.kind == Kind::kSum) bias[c] = static_cast<int32_t>(random() % 256), multiplier_[c] = 0.4f * spread;
        if (op.kind == Kind::kProduct) bias[c] = static_cast<int32_t>(random() % 256), multiplier_[c] = 0.006f * spread;
        if (op.weight_zero_points) zero_point_.push_back(static_cast<int8_t>(random()));
    }
    // Exact ties show whether rounding goes to even.
    if (op.kind != Kind::kAveragePool)
        for (size_t c = 0; c < biases; c += 3) multiplier_[c] = std::exp2(std::round(std::log2(multiplier_[c])));
    if (op.kind == Kind::kSum) {  // the constant of two, which holds the zero points; the divisor of more
        float constant = static_cast<float>(op.out_zero_point);
        for (size_t c = 0; c < biases; ++c) constant -= multiplier_[c] * static_cast<float>(bias[c]);
        multiplier_.push_back(op.inputs == 2 ? constant : 0.75f);
    }
    bias_.assign(reinterpret_cast<uint8_t*>(bias.data()), reinterpret_cast<uint8_t*>(bias.data() + biases));
}

int32_t Example::rows() const {
    return windowed(op_.kind) ? op_.out_height : op_.kind == Kind::kAveragePool ? 1 : pixels_;
}

size_t Example::out_value_bytes() const {
    return op_.type == Type::kFloat32 || op_.real_output ? 4 : 1;
}

ptrdiff_t Example::out_stride() const {
    // Every other example writes into a wider map, as a concatenation does.
    const int32_t extra = op_.out_channels % 2 == 0 || op_.kind == Kind::kAveragePool ? 0 : 5;
    return static_cast<ptrdiff_t>(op_.out_channels + extra) * static_cast<ptrdiff_t>(out_value_bytes());
}

void Example::run_range(const Kernel& kernel, const void* packed, uint8_t* scratch, uint8_t* out, int32_t first,
                        int32_t count, int32_t channel_begin, int32_t channel_end) const {
    Task task;
    const ptrdiff_t in_value = op_.type == Type::kFloat32 && op_.kind != Kind::kStem ? 4 : 1;
    const ptrdiff_t in_pixel = op_.in_channels * in_value;
    std::vector<const void*> rows;
    task.in_stride = in_pixel;
    task.out_stride = out_stride();
    task.out_row_stride = task.out_stride * op_.out_width;
    task.out = out + first * (windowed(op_.kind) ? task.out_row_stride : task.out_stride);
    task.count = count;
    task.channel_begin = channel_begin;
    task.channel_end = channel_end;
    task.scratch = scratch;
    if (windowed(op_.kind)) {
        for (int32_t i = 0; i < (count - 1) * op_.stride + op_.kernel; ++i) {
            const int32_t y = first * op_.stride - op_.pad_top + i;
            const bool inside = y >= 0 && y < op_.in_height;
            const void* outside = op_.kind == Kind::kStem && op_.type == Type::kFloat32 ? nullptr : padding_row_.data();
            rows.push_back(inside ? inputs_[0].data() + y * op_.in_width * in_pixel : outside);
        }
    } else if (op_.kind == Kind::kSum || op_.kind == Kind::kProduct) {
        for (size_t i = 0; i < inputs_.size(); ++i)
            rows.push_back(inputs_[i].data() + (op_.per_channel && i == 1 ? 0 : first * in_pixel));
    } else {
        task.in = inputs_[0].data() + first * in_pixel;
        if (op_.kind == Kind::kAveragePool) task.count = pixels_;
    }
    task.rows = rows.data();
    kernel.run(op_, packed, task);
}

Bytes Example::run(const Kernel& kernel, int32_t parts) const {
    Guarded packed(kernel.packed_bytes(op_)), scratch(kernel.scratch_bytes(op_));
    Guarded out(static_cast<size_t>(out_stride()) * static_cast<size_t>(windowed(op_.kind) ? op_.out_width : 1) *
                    static_cast<size_t>(rows()),
                0xEE);
    Weights weights;
    weights.weight = weight_.data();
    weights.bias = bias_.data();
    weights.multiplier = multiplier_.data();
    weights.zero_point = zero_point_.empty() ? nullptr : zero_point_.data();
    weights.offset = offset_.data();
    kernel.pack(op_, weights, packed.data());
    const Grain grain = kernel.grain(op_);
    const auto cut = [](int32_t total, int32_t grain_size, int32_t pieces) {
        const int32_t grains = (total + grain_size - 1) / grain_size;
        return std::max(1, (grains + pieces - 1) / pieces) * grain_size;
    };
    const int32_t row_step = cut(rows(), grain.rows, parts),
                  channel_step = cut(op_.out_channels, grain.channels, parts);
    for (int32_t y = 0; y < rows(); y += row_step)
        for (int32_t c = 0; c < op_.out_channels; c += channel_step)
            run_range(kernel, packed.data(), scratch.data(), out.data(), y, std::min(row_step, rows() - y), c,
                      std::min(op_.out_channels, c + channel_step));
    bool whole = packed.intact() && scratch.intact() && out.intact() && padding_row_.intact();
    for (const Guarded& input : inputs_) whole = whole && input.intact();
    return whole ? Bytes(out.data(), out.data() + out.size()) : Bytes();
}

double Example::time(const Kernel& kernel, double seconds) const {
    Guarded packed(kernel.packed_bytes(op_)), scratch(kernel.scratch_bytes(op_));
    Guarded out(static_cast<size_t>(out_stride()) * static_cast<size_t>(windowed(op_.kind) ? op_.out_width : 1) *
                static_cast<size_t>(rows()));
    Weights weights{weight_.data(), bias_.data(), multiplier_.data(),
                    zero_point_.empty() ? nullptr : zero_point_.data(), offset_.data()};
    kernel.pack(op_, weights, packed.data());
    const auto now = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    double best = 1e9;
    const double end = now() + seconds;
    do {
        const double begin = now();
        run_range(kernel, packed.data(), scratch.data(), out.data(), 0, rows(), 0, op_.out_channels);
        best = std::min(best, now() - begin);
    } while (now() < end);
    return best * 1e9;
}

int64_t Example::macs() const {
    const int64_t window = static_cast<int64_t>(op_.kernel) * op_.kernel;
    const int64_t positions = static_cast<int64_t>(op_.out_height) * op_.out_width;
    switch (op_.kind) {
        case Kind::kPointwise:
            return static_cast<int64_t>(pixels_) * op_.in_channels * op_.out_channels;
        case Kind::kDepthwise:
            return positions * window * op_.out_channels;
        case Kind::kConvolution:
        case Kind::kStem:
            return positions * window * op_.in_channels * op_.out_channels;
        case Kind::kMaxPool:
            return positions * op_.out_channels;
        case Kind::kAveragePool:
        case Kind::kSum:
        case Kind::kProduct:
        case Kind::kActivation:
            return static_cast<int64_t>(pixels_) * op_.out_channels;
    }
    return 0;
}

std::string describe(const Operation& op, int32_t pixels) {
    std::string text = windowed(op.kind) ? std::to_string(op.in_height) + "x" + std::to_string(op.in_width) + " k" +
                                               std::to_string(op.kernel) + " s" + std::to_string(op.stride) + " pad " +
                                               std::to_string(op.pad_top) + "," + std::to_string(op.pad_left) + " -> " +
                                               std::to_string(op.out_height) + "x" + std::to_string(op.out_width)
                                         : std::to_string(pixels) + " pixels";
    text += " channels " + std::to_string(op.in_channels) + " -> " + std::to_string(op.out_channels);
    if (op.kind == Kind::kSum) text += " inputs " + std::to_string(op.inputs);
    if (op.per_channel) text += " per channel";
    if (op.real_output) text += " real";
    text += " zp " + std::to_string(op.out_zero_point) + " [" + std::to_string(op.low) + "," + std::to_string(op.high) +
            "]";
    return text + " padding " + std::to_string(op.padding_value);
}

}  // namespace mobilenets
