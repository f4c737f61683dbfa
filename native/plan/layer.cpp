#include "layer.h"

#include <algorithm>
#include <limits>

#include "failure.h"

namespace mobilenets {
namespace {

// Says what is wrong with a layer.
struct Check {
    const std::string& name;
    void operator()(bool condition, const char* what) const {
        if (!condition) refuse(name + ": " + what);
    }
};

void check_window(const Check& check, const Layer& layer) {
    const int32_t down = stride_down(layer);
    check(layer.kernel >= 1 && layer.stride >= 1 && down >= 1 && layer.groups >= 1 && layer.kernel < 4096 &&
              layer.stride < 4096 && down < 4096,
          "its window makes no sense");
    const int32_t pads[] = {layer.pad_top, layer.pad_bottom, layer.pad_left, layer.pad_right};
    check(*std::min_element(pads, pads + 4) >= 0 && *std::max_element(pads, pads + 4) < layer.kernel,
          "its padding makes no sense");
    check(layer.kind != LayerKind::kLinear || (layer.kernel == 1 && layer.stride == 1 && down == 1),
          "is linear and has a window");
    check(layer.kind != LayerKind::kPointwise || (layer.kernel == 1 && layer.stride == 1 && down == 1),
          "is pointwise and has a window");
}

void slide_window(const Check& check, const Layer& layer, const Map& in, Map& out) {
    const int32_t height = in.height + layer.pad_top + layer.pad_bottom - layer.kernel;
    const int32_t width = in.width + layer.pad_left + layer.pad_right - layer.kernel;
    check(height >= 0 && width >= 0, "its window does not fit on its input");
    out.height = height / stride_down(layer) + 1;
    out.width = width / layer.stride + 1;
}

int32_t channels_together(const Check& check, const Layer& layer, const std::vector<Map>& maps) {
    int32_t channels = 0;
    for (const int32_t input : layer.inputs) {
        channels += maps[static_cast<size_t>(input)].channels;
        check(channels < kLargestSide, "its output is too large");  // before the sum can overflow
    }
    return channels;
}

void set_shape(const Check& check, const Layer& layer, const std::vector<Map>& maps, const Map& in, Map& out) {
    switch (layer.kind) {
        case LayerKind::kConvolution:
            slide_window(check, layer, in, out);
            out.channels = layer.out_channels;
            break;
        case LayerKind::kDepthwise:
        case LayerKind::kMaxPool:
            slide_window(check, layer, in, out);
            break;
        case LayerKind::kPointwise:
            out.channels = layer.out_channels;
            break;
        case LayerKind::kLinear:
            out.channels = layer.out_channels;
            out.height = out.width = 1;
            break;
        case LayerKind::kAveragePool:
            out.height = out.width = 1;
            break;
        case LayerKind::kAdd:
        case LayerKind::kMultiply:
            break;
        case LayerKind::kConcatenate:
            out.channels = channels_together(check, layer, maps);
            break;
    }
}

void check_inputs(const Check& check, const Layer& layer, const std::vector<Map>& maps, const Map& in) {
    const auto check_each = [&](auto fits) {
        for (const int32_t input : layer.inputs) {
            const Map& other = maps[static_cast<size_t>(input)];
            check(other.type == in.type && fits(other), "joins maps that differ");
        }
    };
    const auto same_sides = [&](const Map& other) { return other.height == in.height && other.width == in.width; };
    const auto same_channels = [&](const Map& other) { return other.channels == in.channels; };
    switch (layer.kind) {
        case LayerKind::kConvolution:
        case LayerKind::kDepthwise:
        case LayerKind::kPointwise:
        case LayerKind::kLinear:
        case LayerKind::kMaxPool:
        case LayerKind::kAveragePool:
            check(layer.inputs.size() == 1, "reads more than one map");
            break;
        case LayerKind::kAdd:
            check_each([&](const Map& other) { return same_sides(other) && same_channels(other); });
            break;
        case LayerKind::kMultiply:
            check(layer.inputs.size() == 2, "multiplies two maps");
            check_each([&](const Map& other) {
                return same_channels(other) && (same_sides(other) || (&other != &in && other.pixels() == 1));
            });
            break;
        case LayerKind::kConcatenate:
            check_each(same_sides);
            break;
    }
}

void check_activation(const Check& check, const Layer& layer, Type type) {
    switch (layer.kind) {
        case LayerKind::kConvolution:
        case LayerKind::kDepthwise:
        case LayerKind::kPointwise:
        case LayerKind::kLinear:
        case LayerKind::kAdd:
        case LayerKind::kMultiply:
            break;
        case LayerKind::kMaxPool:
        case LayerKind::kAveragePool:
        case LayerKind::kConcatenate:
            check(layer.activation == Activation::kNone, "has an activation, which its kind does not take");
            break;
    }
    const bool of_activation = type == Type::kUint8 && !layer.real_output && !is_clamp(layer.activation);
    const bool of_inputs = type == Type::kUint8 && layer.kind == LayerKind::kConcatenate;
    const size_t tables = of_inputs ? layer.inputs.size() : of_activation ? 1 : 0;
    check(layer.table.count == 256 * tables, "has a table of its activation, or of each part, where it needs one");
}

void check_weights(const Check& check, const Layer& layer, int64_t taps, const Map& out, Type type) {
    const auto channels = static_cast<size_t>(out.channels);
    check(taps < kLargestSide && layer.weight.count == static_cast<size_t>(taps) * channels,
          "weight has the wrong size");
    check(layer.bias.count == channels, "bias has the wrong size");
    check(type == Type::kFloat32 || layer.multiplier.count == channels, "multiplier has the wrong size");
    check(layer.weight_zero_point.count == 0 || layer.weight_zero_point.count == channels,
          "weight_zero_point has the wrong size");
}

void check_numbers(const Check& check, const Layer& layer, const Map& in, const Map& out, Type type) {
    const int64_t window = int64_t{1} * layer.kernel * layer.kernel;
    switch (layer.kind) {
        case LayerKind::kConvolution:
            check_weights(check, layer, window * (in.channels / layer.groups), out, type);
            break;
        case LayerKind::kDepthwise:
            check_weights(check, layer, window, out, type);
            break;
        case LayerKind::kPointwise:
        case LayerKind::kLinear:
            check_weights(check, layer, in.channels * (layer.kind == LayerKind::kLinear ? in.pixels() : 1), out, type);
            break;
        case LayerKind::kMaxPool:
            break;
        case LayerKind::kAveragePool:
            check(layer.multiplier.count == 1 && (type == Type::kFloat32 || layer.bias.count == 1),
                  "a pool has one multiplier and one bias");
            break;
        case LayerKind::kMultiply:
            check(type == Type::kFloat32 || (layer.multiplier.count == 1 && layer.bias.count == 2),
                  "a product has one multiplier, and one zero point for each input");
            break;
        case LayerKind::kAdd:
            check(type == Type::kFloat32 ||
                      (layer.multiplier.count == layer.inputs.size() + 1 && layer.bias.count == layer.inputs.size()),
                  "a sum has one multiplier and one zero point for each input, and one more number");
            break;
        case LayerKind::kConcatenate:
            break;
    }
    check(layer.low >= 0 && layer.low <= layer.high && layer.high <= 255 && layer.out_zero_point >= 0 &&
              layer.out_zero_point <= 255 && layer.in_zero_point >= 0 && layer.in_zero_point <= 255,
          "its bytes are out of range");
}

}  // namespace

Bounds bounds_of(Activation activation) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    switch (activation) {
        case Activation::kRelu:
            return {0, kInfinity};
        case Activation::kRelu6:
            return {0, 6};
        case Activation::kNone:
        case Activation::kHardSigmoid:
        case Activation::kHardSwish:
            break;
    }
    return {-kInfinity, kInfinity};
}

bool is_clamp(Activation activation) {
    switch (activation) {
        case Activation::kNone:
        case Activation::kRelu:
        case Activation::kRelu6:
            return true;
        case Activation::kHardSigmoid:
        case Activation::kHardSwish:
            return false;
    }
    return true;
}

bool is_stage(LayerKind kind) {
    switch (kind) {
        case LayerKind::kConvolution:
        case LayerKind::kDepthwise:
        case LayerKind::kPointwise:
        case LayerKind::kLinear:
        case LayerKind::kMaxPool:
            return true;
        case LayerKind::kAveragePool:
        case LayerKind::kAdd:
        case LayerKind::kMultiply:
        case LayerKind::kConcatenate:
            return false;
    }
    return false;
}

Map output_of(const Layer& layer, const std::vector<Map>& maps, Type type) {
    const Check check{layer.name};
    check(!layer.inputs.empty(), "reads nothing");
    for (const int32_t input : layer.inputs)
        check(input >= 0 && input < static_cast<int32_t>(maps.size()), "reads a map that does not exist");
    const Map& in = maps[static_cast<size_t>(layer.inputs[0])];
    check(in.type == type, "reads an activation that left as real numbers");
    check_window(check, layer);
    check_inputs(check, layer, maps, in);
    Map out;
    out.channels = in.channels;
    out.height = in.height;
    out.width = in.width;
    out.type = layer.real_output ? Type::kFloat32 : in.type;
    set_shape(check, layer, maps, in, out);
    check(out.channels >= 1 && out.channels < kLargestSide && out.pixels() < kLargestMap &&
              int64_t{4} * out.channels * out.pixels() < kLargestMap,
          "its output is empty or too large");
    check(layer.groups == 1 || (layer.kind == LayerKind::kConvolution && in.channels % layer.groups == 0 &&
                                out.channels % layer.groups == 0),
          "groups do not divide its channels");
    check_activation(check, layer, type);
    check_numbers(check, layer, in, out, type);
    return out;
}

}  // namespace mobilenets
