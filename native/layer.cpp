#include "layer.h"

#include <algorithm>
#include <stdexcept>

namespace mobilenets {
namespace {

// Says what is wrong with a layer.
struct Check {
    const std::string& name;
    void operator()(bool condition, const char* what) const {
        if (!condition) throw std::invalid_argument(name + ": " + what);
    }
};

void check_window(const Check& check, const Layer& layer) {
    check(layer.kernel >= 1 && layer.stride >= 1 && layer.kernel < 4096 && layer.stride < 4096 && layer.groups >= 1,
          "its window makes no sense");
    const int32_t pads[] = {layer.pad_top, layer.pad_bottom, layer.pad_left, layer.pad_right};
    check(*std::min_element(pads, pads + 4) >= 0 && *std::max_element(pads, pads + 4) < layer.kernel,
          "its padding makes no sense");
    check(layer.kind != LayerKind::kLinear || (layer.kernel == 1 && layer.stride == 1), "is linear and has a window");
    check(layer.kind != LayerKind::kPointwise || (layer.kernel == 1 && layer.stride == 1),
          "is pointwise and has a window");
}

void set_sides(const Check& check, const Layer& layer, const Map& in, Map& out) {
    if (is_stage(layer.kind)) {
        const int32_t height = in.height + layer.pad_top + layer.pad_bottom - layer.kernel;
        const int32_t width = in.width + layer.pad_left + layer.pad_right - layer.kernel;
        check(height >= 0 && width >= 0, "its window does not fit on its input");
        out.height = height / layer.stride + 1;
        out.width = width / layer.stride + 1;
    }
    if (layer.kind == LayerKind::kAveragePool || layer.kind == LayerKind::kLinear) out.height = out.width = 1;
}

void set_channels(const Check& check, const Layer& layer, const std::vector<Map>& maps, Map& out) {
    if (has_weights(layer.kind) && layer.kind != LayerKind::kDepthwise) out.channels = layer.out_channels;
    if (layer.kind != LayerKind::kConcatenate) return;
    out.channels = 0;
    for (const int32_t input : layer.inputs) {
        out.channels += maps[static_cast<size_t>(input)].channels;
        check(out.channels < kLargestSide, "its output is too large");  // before the sum can overflow
    }
}

void check_inputs(const Check& check, const Layer& layer, const std::vector<Map>& maps, const Map& in) {
    const bool concatenates = layer.kind == LayerKind::kConcatenate;
    check(concatenates || layer.kind == LayerKind::kAdd || layer.inputs.size() == 1, "reads more than one map");
    for (const int32_t input : layer.inputs) {
        const Map& other = maps[static_cast<size_t>(input)];
        check(other.height == in.height && other.width == in.width && other.type == in.type, "joins maps that differ");
        check(concatenates || other.channels == in.channels, "joins maps that differ");
    }
}

void check_numbers(const Check& check, const Layer& layer, const Map& in, const Map& out, Type type) {
    const auto channels = static_cast<size_t>(out.channels);
    const int64_t window = int64_t{1} * layer.kernel * layer.kernel;
    const int64_t taps = layer.kind == LayerKind::kDepthwise ? window
                         : layer.kind == LayerKind::kLinear  ? in.channels * in.pixels()
                                                             : window * (in.channels / layer.groups);
    if (has_weights(layer.kind)) {
        check(taps < kLargestSide && layer.weight.count == static_cast<size_t>(taps) * channels,
              "weight has the wrong size");
        check(layer.bias.count == channels, "bias has the wrong size");
        check(type == Type::kFloat32 || layer.multiplier.count == channels, "multiplier has the wrong size");
        check(layer.weight_zero_point.count == 0 || layer.weight_zero_point.count == channels,
              "weight_zero_point has the wrong size");
    } else if (layer.kind == LayerKind::kAveragePool) {
        check(layer.multiplier.count == 1 && (type == Type::kFloat32 || layer.bias.count == 1),
              "a pool has one multiplier and one bias");
    } else if (layer.kind != LayerKind::kMaxPool && type == Type::kUint8) {
        check(layer.multiplier.count == layer.inputs.size() && layer.bias.count == layer.inputs.size(),
              "a sum has one multiplier and one zero point for each input");
    }
    check(layer.low >= 0 && layer.low <= layer.high && layer.high <= 255 && layer.out_zero_point >= 0 &&
              layer.out_zero_point <= 255 && layer.in_zero_point >= 0 && layer.in_zero_point <= 255,
          "its bytes are out of range");
}

}  // namespace

bool has_weights(LayerKind kind) {
    return kind == LayerKind::kConvolution || kind == LayerKind::kDepthwise || kind == LayerKind::kPointwise ||
           kind == LayerKind::kLinear;
}

bool is_stage(LayerKind kind) {
    return has_weights(kind) || kind == LayerKind::kMaxPool;
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
    set_sides(check, layer, in, out);
    set_channels(check, layer, maps, out);
    check(out.channels >= 1 && out.channels < kLargestSide && out.pixels() < kLargestMap &&
              int64_t{4} * out.channels * out.pixels() < kLargestMap,
          "its output is empty or too large");
    check(layer.groups == 1 || (layer.kind == LayerKind::kConvolution && in.channels % layer.groups == 0 &&
                                out.channels % layer.groups == 0),
          "groups do not divide its channels");
    check_numbers(check, layer, in, out, type);
    return out;
}

}  // namespace mobilenets
