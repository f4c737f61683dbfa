#include "plan.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

namespace mobilenets {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kPage = 4096;  // addresses this far apart are mistaken for each other by the load and store units
constexpr int64_t kLargestMap = int64_t{1} << 31;
constexpr int32_t kLargestSide = 1 << 24;

size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

int32_t round_up(int32_t value, int32_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

bool is_portable(const Kernel* kernel, const Operation& op) {
    return kernel == find_kernel(*find_instruction_set("portable"), op);
}

bool has_weights(LayerKind kind) {
    return kind == LayerKind::kConvolution || kind == LayerKind::kDepthwise || kind == LayerKind::kPointwise ||
           kind == LayerKind::kLinear;
}

bool is_stage(LayerKind kind) {
    return has_weights(kind) || kind == LayerKind::kMaxPool;
}

// Kernels want (row, column, channel) where PyTorch has (channel, row, column): the order in which windows are
// gathered.
template <typename Value>
void channels_last(const Value* from, Value* to, int32_t filters, int32_t channels, int32_t window) {
    for (int32_t f = 0; f < filters; ++f)
        for (int32_t c = 0; c < channels; ++c)
            for (int32_t w = 0; w < window; ++w) {
                const ptrdiff_t filter = static_cast<ptrdiff_t>(f) * channels * window;
                to[filter + w * channels + c] = from[filter + c * window + w];
            }
}

uint32_t padding_key(Type type, int32_t value) {
    return (type == Type::kFloat32 ? 1000u : 0u) + static_cast<uint32_t>(value);
}

// Of a max pool over floats, whose padding never wins.
constexpr int32_t kLowest = 1;

int32_t padding_value(const Stage& stage) {
    const bool lowest = stage.window.kind == Kind::kMaxPool && stage.window.type == Type::kFloat32;
    return lowest ? kLowest : stage.window.padding_value;
}

}  // namespace

void Memory::Free::operator()(void* pointer) const {
    std::free(pointer);
}

Memory::Memory(size_t size)
    : size_(size), memory_(size ? std::calloc(size + kAlignment, 1) : nullptr), start_(nullptr) {
    if (size == 0) return;
    if (memory_ == nullptr) throw std::bad_alloc();
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    start_ = static_cast<uint8_t*>(memory_.get()) + (round_up(address, kAlignment) - address);
}

Plan::Plan(const InstructionSet& set, const PlanOptions& options, int32_t channels, int32_t height, int32_t width,
           const float* input_offset, const float* input_scale)
    : set_(set), options_(options) {
    require(std::min({channels, height, width}) >= 1 && std::max({channels, height, width}) < kLargestSide &&
                int64_t{1} * channels * height < kLargestSide && int64_t{4} * channels * height * width < kLargestMap,
            "the input is empty or too large");
    input_offset_.assign(input_offset, input_offset + channels);
    input_scale_.assign(input_scale, input_scale + channels);
    Map input;
    input.channels = channels;
    input.height = height;
    input.width = width;
    input.type = options.type;
    maps_.push_back(input);
}

int32_t Plan::add(const Layer& layer) {
    require(!finished_, "the plan is finished");
    const auto fail = [&](bool condition, const char* what) { require(condition, layer.name + ": " + what); };
    fail(!layer.inputs.empty(), "reads nothing");
    for (const int32_t input : layer.inputs)
        fail(input >= 0 && input < static_cast<int32_t>(maps_.size()), "reads a map that does not exist");
    const Map in = maps_[static_cast<size_t>(layer.inputs[0])];
    fail(in.type == options_.type, "reads an activation that left as real numbers");
    Map out = in;
    out.first = 0;
    out.last = -1;
    if (layer.real_output) out.type = Type::kFloat32;
    fail(layer.kernel >= 1 && layer.stride >= 1 && layer.kernel < 4096 && layer.stride < 4096 && layer.groups >= 1,
         "its window makes no sense");
    const int32_t pads[] = {layer.pad_top, layer.pad_bottom, layer.pad_left, layer.pad_right};
    fail(*std::min_element(pads, pads + 4) >= 0 && *std::max_element(pads, pads + 4) < layer.kernel,
         "its padding makes no sense");
    if (is_stage(layer.kind)) {
        out.height = (in.height + layer.pad_top + layer.pad_bottom - layer.kernel) / layer.stride + 1;
        out.width = (in.width + layer.pad_left + layer.pad_right - layer.kernel) / layer.stride + 1;
        fail(in.height + layer.pad_top + layer.pad_bottom >= layer.kernel &&
                 in.width + layer.pad_left + layer.pad_right >= layer.kernel,
             "its window does not fit on its input");
    }
    switch (layer.kind) {
        case LayerKind::kConvolution:
        case LayerKind::kPointwise:
        case LayerKind::kLinear:
            out.channels = layer.out_channels;
            break;
        case LayerKind::kAveragePool:
            out.height = out.width = 1;
            break;
        case LayerKind::kConcatenate:
            out.channels = 0;
            for (const int32_t input : layer.inputs) {
                out.channels += maps_[static_cast<size_t>(input)].channels;
                fail(out.channels < kLargestSide, "its output is too large");  // before the sum can overflow
            }
            break;
        default:
            break;
    }
    if (layer.kind == LayerKind::kLinear) {
        fail(layer.kernel == 1 && layer.stride == 1, "is linear and has a window");
        out.height = out.width = 1;
    }
    fail(layer.kind != LayerKind::kPointwise || (layer.kernel == 1 && layer.stride == 1),
         "is pointwise and has a window");
    fail(out.channels >= 1 && out.channels < kLargestSide && out.pixels() < kLargestMap &&
             int64_t{4} * out.channels * out.pixels() < kLargestMap,
         "its output is empty or too large");
    fail(layer.groups == 1 || (layer.kind == LayerKind::kConvolution && in.channels % layer.groups == 0 &&
                               out.channels % layer.groups == 0),
         "groups do not divide its channels");
    for (const int32_t input : layer.inputs) {
        const Map& other = maps_[static_cast<size_t>(input)];
        fail(other.height == in.height && other.width == in.width && other.type == in.type, "joins maps that differ");
        fail(layer.kind == LayerKind::kConcatenate || other.channels == in.channels, "joins maps that differ");
        fail(layer.kind == LayerKind::kConcatenate || layer.kind == LayerKind::kAdd || layer.inputs.size() == 1,
             "reads more than one map");
    }
    const int64_t taps = layer.kind == LayerKind::kDepthwise ? int64_t{1} * layer.kernel * layer.kernel
                         : layer.kind == LayerKind::kLinear
                             ? int64_t{1} * in.channels * in.pixels()
                             : int64_t{1} * layer.kernel * layer.kernel * (in.channels / layer.groups);
    const auto channels = static_cast<size_t>(out.channels);
    if (has_weights(layer.kind)) {
        fail(taps < kLargestSide && layer.weight.count == static_cast<size_t>(taps) * channels,
             "weight has the wrong size");
        fail(layer.bias.count == channels, "bias has the wrong size");
        fail(options_.type == Type::kFloat32 || layer.multiplier.count == channels, "multiplier has the wrong size");
        fail(layer.weight_zero_point.count == 0 || layer.weight_zero_point.count == channels,
             "weight_zero_point has the wrong size");
    } else if (layer.kind == LayerKind::kAveragePool) {
        fail(layer.multiplier.count == 1 && (options_.type == Type::kFloat32 || layer.bias.count == 1),
             "a pool has one multiplier and one bias");
    } else if (layer.kind != LayerKind::kMaxPool && options_.type == Type::kUint8) {
        fail(layer.multiplier.count == layer.inputs.size() && layer.bias.count == layer.inputs.size(),
             "a sum has one multiplier and one zero point for each input");
    }
    fail(layer.low >= 0 && layer.low <= layer.high && layer.high <= 255 && layer.out_zero_point >= 0 &&
             layer.out_zero_point <= 255 && layer.in_zero_point >= 0 && layer.in_zero_point <= 255,
         "its bytes are out of range");
    const auto output = static_cast<int32_t>(maps_.size());
    maps_.push_back(out);
    if (is_stage(layer.kind)) {
        add_stage(layer, layer.inputs[0], output);
    } else {
        add_single(layer, layer.inputs, output);
    }
    return output;
}

Operation Plan::operation(const Layer& layer, const Map& in, const Map& out) const {
    Operation op;
    op.type = options_.type;
    op.real_output = layer.real_output;
    op.bounded = layer.bounded;
    op.weight_zero_points = layer.weight_zero_point.count != 0;
    op.in_channels = in.channels;
    op.out_channels = out.channels;
    op.in_height = in.height;
    op.in_width = in.width;
    op.out_height = out.height;
    op.out_width = out.width;
    op.kernel = layer.kernel;
    op.stride = layer.stride;
    op.pad_top = layer.pad_top;
    op.pad_left = layer.pad_left;
    op.low = layer.low;
    op.high = layer.high;
    op.out_zero_point = layer.out_zero_point;
    op.padding_value = options_.type == Type::kUint8 && layer.kind != LayerKind::kMaxPool ? layer.in_zero_point : 0;
    op.low_real = layer.low_real;
    op.high_real = layer.high_real;
    return op;
}

Packed Plan::pack(const Operation& op, const Weights& weights, int32_t first_channel) const {
    Packed packed;
    packed.op = op;
    packed.kernel = find_kernel(set_, op);
    packed.memory = Memory(packed.kernel->packed_bytes(op) + 2 * kSlack);
    packed.first_channel = first_channel;
    packed.scratch_bytes = packed.kernel->scratch_bytes(op);
    packed.kernel->pack(op, weights, packed.memory.data());
    return packed;
}

bool Plan::use_stem(const Layer& layer, const Operation& op) const {
    if (layer.kind != LayerKind::kConvolution || layer.inputs[0] != 0 || layer.groups != 1) return false;
    return !is_portable(find_kernel(set_, op), op);
}

void Plan::add_stage(const Layer& layer, int32_t input, int32_t output) {
    const Map &in = maps_[static_cast<size_t>(input)], &out = maps_[static_cast<size_t>(output)];
    Stage stage;
    stage.name = layer.name;
    stage.input = input;
    stage.output = output;
    stage.window = operation(layer, in, out);
    Operation& op = stage.window;
    Weights weights{layer.weight.data, layer.bias.data, static_cast<const float*>(layer.multiplier.data),
                    static_cast<const int8_t*>(layer.weight_zero_point.data), nullptr};
    stage.macs = static_cast<int64_t>(layer.weight.count) * out.pixels();
    switch (layer.kind) {
        case LayerKind::kConvolution:
            op.kind = Kind::kStem;
            if (use_stem(layer, op)) {
                std::vector<float> scaled;
                if (op.type == Type::kFloat32) {
                    const auto* weight = static_cast<const float*>(layer.weight.data);
                    scaled.assign(weight, weight + layer.weight.count);
                    const size_t window = static_cast<size_t>(op.kernel) * static_cast<size_t>(op.kernel);
                    for (size_t i = 0; i < scaled.size(); ++i)
                        scaled[i] *= input_scale_[i / window % static_cast<size_t>(op.in_channels)];
                    weights.weight = scaled.data();
                    weights.offset = input_offset_.data();
                    stage.edge_is_null = true;
                }
                stage.parts.push_back(pack(op, weights, 0));
            } else {
                stage.gather = true;
                add_convolution_parts(stage, layer);
            }
            break;
        case LayerKind::kLinear:
            // One pixel whose channels are the whole map.
            op.in_channels = in.channels * in.height * in.width;
            op.in_height = op.in_width = 1;
            op.kind = Kind::kPointwise;
            stage.parts.push_back(pack(op, weights, 0));
            break;
        case LayerKind::kPointwise:
        case LayerKind::kDepthwise:
            op.kind = layer.kind == LayerKind::kPointwise ? Kind::kPointwise : Kind::kDepthwise;
            stage.parts.push_back(pack(op, weights, 0));
            break;
        default:
            op.kind = Kind::kMaxPool;
            stage.parts.push_back(pack(op, weights, 0));
    }
    const bool reads_bytes = options_.type == Type::kUint8 || op.kind == Kind::kStem;
    if (input == 0 && (!reads_bytes || layer.kind == LayerKind::kLinear)) input_is_map_ = true;
    Step step;
    step.kind = StepKind::kChain;
    step.inputs = {input};
    step.output = output;
    step.macs = stage.macs;
    step.stages.push_back(std::move(stage));
    steps_.push_back(std::move(step));
}

void Plan::add_convolution_parts(Stage& stage, const Layer& layer) {
    const Operation& window = stage.window;
    const int32_t in = window.in_channels / layer.groups, out = window.out_channels / layer.groups;
    const int32_t positions = window.kernel * window.kernel, taps = positions * in;
    const size_t value_bytes = window.type == Type::kFloat32 ? 4 : 1;
    std::vector<uint8_t> ordered(static_cast<size_t>(taps) * static_cast<size_t>(out) * value_bytes);
    stage.window.kind = Kind::kPointwise;
    for (int32_t group = 0; group < layer.groups; ++group) {
        Operation op = window;
        op.kind = Kind::kPointwise;
        op.in_channels = taps;
        op.out_channels = out;
        const auto first = static_cast<size_t>(group) * static_cast<size_t>(out);
        const auto* source =
            static_cast<const uint8_t*>(layer.weight.data) + first * static_cast<size_t>(taps) * value_bytes;
        if (value_bytes == 4) {
            channels_last(reinterpret_cast<const float*>(source), reinterpret_cast<float*>(ordered.data()), out, in,
                          positions);
        } else {
            channels_last(source, ordered.data(), out, in, positions);
        }
        Weights weights;
        weights.weight = ordered.data();
        weights.bias = static_cast<const uint8_t*>(layer.bias.data) + 4 * first;
        if (layer.multiplier.count) weights.multiplier = static_cast<const float*>(layer.multiplier.data) + first;
        if (layer.weight_zero_point.count)
            weights.zero_point = static_cast<const int8_t*>(layer.weight_zero_point.data) + first;
        stage.parts.push_back(pack(op, weights, static_cast<int32_t>(first)));
    }
    stage.gather_bytes = static_cast<size_t>(taps) * static_cast<size_t>(window.out_width) * value_bytes;
}

void Plan::add_single(const Layer& layer, const std::vector<int32_t>& inputs, int32_t output) {
    Step step;
    step.name = layer.name;
    step.inputs = inputs;
    step.output = output;
    for (const int32_t input : inputs) input_is_map_ = input_is_map_ || input == 0;
    const Map& out = maps_[static_cast<size_t>(output)];
    Operation op = operation(layer, maps_[static_cast<size_t>(inputs[0])], out);
    Weights weights{nullptr, layer.bias.data, static_cast<const float*>(layer.multiplier.data), nullptr, nullptr};
    if (layer.kind == LayerKind::kAveragePool) {
        step.kind = StepKind::kAveragePool;
        op.kind = Kind::kAveragePool;
        step.parts.push_back(pack(op, weights, 0));
    } else if (layer.kind == LayerKind::kAdd) {
        step.kind = StepKind::kSum;
        op.kind = Kind::kSum;
        op.inputs = static_cast<int32_t>(inputs.size());
        step.parts.push_back(pack(op, weights, 0));
    } else {
        step.kind = StepKind::kConcatenate;
        op.kind = Kind::kSum;
        int32_t first = 0;
        for (size_t i = 0; i < inputs.size(); ++i) {
            op.in_channels = op.out_channels = maps_[static_cast<size_t>(inputs[i])].channels;
            if (layer.bias.count) weights.bias = static_cast<const int32_t*>(layer.bias.data) + i;
            if (layer.multiplier.count) weights.multiplier = static_cast<const float*>(layer.multiplier.data) + i;
            step.parts.push_back(pack(op, weights, first));
            first += op.out_channels;
        }
    }
    steps_.push_back(std::move(step));
}

void Plan::finish(const std::vector<Output>& outputs) {
    require(!finished_ && !steps_.empty() && !outputs.empty(), "a plan needs layers and outputs and is finished once");
    for (const Output& output : outputs)
        require(output.map > 0 && output.map < static_cast<int32_t>(maps_.size()), "an output names no layer");
    finished_ = true;
    outputs_ = outputs;
    join_stages();
    for (Step& step : steps_)
        if (step.kind == StepKind::kChain) set_tiles(step);
    set_lifetimes();
    place_maps();
    make_padding();
}

void Plan::join_stages() {
    std::vector<int> readers(maps_.size(), 0);
    for (const Step& step : steps_)
        for (const int32_t input : step.inputs) ++readers[static_cast<size_t>(input)];
    for (const Output& output : outputs_) readers[static_cast<size_t>(output.map)] += 2;
    // Maps that stay near the second-level cache cost little to hand over whole, and a longer chain means that threads
    // compute more rows twice. float32 has more arithmetic to hide the traffic behind.
    const size_t by_type = (options_.type == Type::kFloat32 ? size_t{4} : size_t{1}) << 20;
    const size_t limit = options_.whole_map_bytes ? options_.whole_map_bytes : by_type;
    std::vector<Step> joined;
    for (Step& step : steps_) {
        const bool chain = step.kind == StepKind::kChain && !joined.empty() && joined.back().kind == StepKind::kChain;
        const Stage* before = chain ? &joined.back().stages.back() : nullptr;
        bool join = chain && joined.back().stages.size() < kMostStages && step.inputs[0] == joined.back().output &&
                    readers[static_cast<size_t>(step.inputs[0])] == 1;
        if (join) {
            const Map& between = maps_[static_cast<size_t>(step.inputs[0])];
            const Stage& next = step.stages.front();
            const bool flattens = next.window.kind == Kind::kPointwise && next.window.in_height != between.height;
            const bool separable = before->window.kind == Kind::kDepthwise && next.window.kind == Kind::kPointwise;
            join = !flattens && !next.gather && between.pixels() > 1 && (separable || between.bytes() > limit);
        }
        if (!join) {
            joined.push_back(std::move(step));
            continue;
        }
        joined.back().output = step.output;
        joined.back().macs += step.macs;
        joined.back().stages.push_back(std::move(step.stages.front()));
    }
    steps_.swap(joined);
}

void Plan::set_tiles(Step& chain) {
    std::vector<Stage>& stages = chain.stages;
    Stage& last = stages.back();
    const auto rows_within = [](size_t bytes, size_t row_bytes) {
        return static_cast<int32_t>(std::max<size_t>(1, bytes / std::max<size_t>(1, row_bytes)));
    };
    // Every tile walks through all weights of the last stage: where these come from beyond the second-level cache, the
    // tile is as large as that cache allows.
    const bool heavy = last.parts[0].memory.size() > size_t{512} << 10;
    const size_t by_type =
        heavy ? size_t{512} << 10 : (options_.type == Type::kFloat32 ? size_t{128} : size_t{16}) << 10;
    const size_t tile_bytes = options_.tile_bytes ? options_.tile_bytes : by_type;
    last.step_rows = last.window.out_height;
    if (stages.size() > 1) {
        const Stage& before = stages[stages.size() - 2];
        const int32_t grain = before.parts[0].kernel->grain(before.parts[0].op).rows;
        const int32_t rows = rows_within(tile_bytes, maps_[static_cast<size_t>(last.input)].row_bytes());
        last.step_rows = std::min(last.window.out_height, std::max(grain, rows / grain * grain));
    }
    if (last.gather) last.step_rows = std::min(last.window.out_height, rows_within(2 * tile_bytes, last.gather_bytes));
    size_t used = kSlack, extra = 0;
    for (size_t i = stages.size(); i-- > 0;) {
        Stage& stage = stages[i];
        if (i + 1 < stages.size()) {
            const Stage& next = stages[i + 1];
            const Operation& window = next.window;
            const int32_t grain = stage.parts[0].kernel->grain(stage.parts[0].op).rows;
            if (window.kind == Kind::kPointwise) {
                stage.ring_rows = stage.step_rows = next.step_rows;
            } else {
                const int32_t rows_grain = stage.window.kind == Kind::kPointwise ? 1 : grain;
                stage.step_rows = std::max(1, round_up(next.step_rows * window.stride, rows_grain));
                stage.ring_rows =
                    std::max(stage.step_rows, (next.step_rows - 1) * window.stride + window.kernel) + rows_grain - 1;
                // There are no more rows than the map has; a large stride would ask for many more.
                stage.step_rows = std::min(stage.step_rows, stage.window.out_height);
                stage.ring_rows = std::min(stage.ring_rows, stage.window.out_height);
            }
            stage.ring_offset = used;
            used += round_up(
                maps_[static_cast<size_t>(stage.output)].row_bytes() * static_cast<size_t>(stage.ring_rows) + kSlack,
                kAlignment);
            used += 13 * kAlignment;  // rings of one size must not lie a multiple of 4 KB apart
        }
        size_t kernel_scratch = 0;
        for (const Packed& part : stage.parts) kernel_scratch = std::max(kernel_scratch, part.scratch_bytes);
        const size_t gathered =
            stage.gather ? stage.gather_bytes * static_cast<size_t>(stage.step_rows) + 2 * kSlack : 0;
        extra = std::max(extra, round_up(kernel_scratch + kSlack, kAlignment) + round_up(gathered, kAlignment));
        const Operation& window = stage.window;
        largest_window_ = std::max(largest_window_, (window.out_height - 1) * window.stride + window.kernel);
    }
    scratch_bytes_ = std::max(scratch_bytes_, round_up(used, kAlignment) + extra);
}

int32_t Plan::row_grain(const Step& chain, int32_t threads) const {
    // The largest part of the work that one thread gets.
    const auto share = [&](int32_t total, int32_t grain) {
        const int32_t grains = (total + grain - 1) / grain;
        const int32_t most = std::min(total, (grains + threads - 1) / threads * grain);
        return static_cast<double>(most) / static_cast<double>(total);
    };
    int32_t grain = 1;
    double channels = 0, macs = 0;
    for (const Stage& stage : chain.stages) {
        const Packed& part = stage.parts[0];
        const Grain kernel_grain = part.kernel->grain(part.op);
        if (stage.window.kind != Kind::kPointwise) grain = std::max(grain, kernel_grain.rows);
        // A depthwise multiplication costs about eight times one of a matrix product.
        const double weight = static_cast<double>(stage.macs + 1) * (stage.window.kind == Kind::kDepthwise ? 8 : 1);
        channels += weight * share(part.op.out_channels, kernel_grain.channels);
        macs += weight;
    }
    const int32_t rows = chain.stages.back().window.out_height;
    // Kernels that make several rows at a time lose a little on an odd one, but less than by uneven parts.
    if (share(rows, grain) > 1.03 * share(rows, 1)) grain = 1;
    // By channels, every thread reads what the others wrote just before, from the other core's cache.
    const double kForeignReads = 1.2;
    const bool by_rows =
        threads == 1 || chain.stages.size() > 2 || share(rows, grain) <= kForeignReads * channels / macs;
    return by_rows ? grain : 0;
}

void Plan::set_lifetimes() {
    const auto steps = static_cast<int32_t>(steps_.size());
    for (int32_t s = 0; s < steps; ++s) {
        const Step& step = steps_[static_cast<size_t>(s)];
        maps_[static_cast<size_t>(step.output)].first = s;
        maps_[static_cast<size_t>(step.output)].last = s;
        for (const int32_t input : step.inputs)
            maps_[static_cast<size_t>(input)].last = std::max(maps_[static_cast<size_t>(input)].last, s);
        bool whole = false;
        for (int32_t threads = 2; threads <= options_.threads; ++threads)
            whole = whole || (step.kind == StepKind::kChain && row_grain(step, threads) == 0);
        for (size_t i = 0; whole && i + 1 < step.stages.size(); ++i) {
            Map& between = maps_[static_cast<size_t>(step.stages[i].output)];
            between.first = between.last = s;
        }
    }
    for (const Output& output : outputs_) maps_[static_cast<size_t>(output.map)].last = steps;
    if (!input_is_map_) maps_[0].last = -1;
}

// Largest first, each at the lowest place that is free for as long as it lives.
void Plan::place_maps() {
    std::vector<size_t> order;
    for (size_t i = 0; i < maps_.size(); ++i)
        if (maps_[i].last >= 0) order.push_back(i);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return maps_[a].bytes() != maps_[b].bytes() ? maps_[a].bytes() > maps_[b].bytes() : a < b;
    });
    std::vector<size_t> placed;
    for (const size_t index : order) {
        Map& map = maps_[index];
        // Bases of large maps are spread over the page, for a store must not look like a load from the map before.
        const size_t residue = map.bytes() >= 4 * kPage ? index * 11 * kAlignment % kPage : 0;
        const auto align = [&](size_t offset) {
            return residue ? round_up(offset > residue ? offset - residue : 0, kPage) + residue
                           : round_up(offset, kAlignment);
        };
        size_t offset = align(kSlack);
        for (bool moved = true; moved;) {
            moved = false;
            for (const size_t other_index : placed) {
                const Map& other = maps_[other_index];
                const bool together = options_.guarded || (map.first <= other.last && other.first <= map.last);
                const bool overlap =
                    offset < other.offset + other.bytes() + kSlack && other.offset < offset + map.bytes() + kSlack;
                if (!together || !overlap) continue;
                offset = align(other.offset + other.bytes() + kSlack);
                moved = true;
            }
        }
        map.offset = offset;
        placed.push_back(index);
        arena_bytes_ = std::max(arena_bytes_, offset + map.bytes() + kSlack);
    }
}

void Plan::make_padding() {
    std::vector<std::pair<uint32_t, size_t>> rows;  // key, bytes
    for (const Step& step : steps_) {
        for (const Stage& stage : step.stages) {
            const uint32_t key = padding_key(stage.window.type, padding_value(stage));
            const Map& in = maps_[static_cast<size_t>(stage.input)];
            auto found = std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.first == key; });
            if (found == rows.end()) found = rows.insert(rows.end(), {key, 0});
            found->second = std::max(found->second, in.row_bytes());
        }
    }
    size_t total = kSlack;
    for (const auto& [key, bytes] : rows) {
        padding_places_.emplace_back(key, total);
        total += round_up(bytes, kAlignment) + kSlack;
    }
    padding_ = Memory(total);
    for (size_t i = 0; i < rows.size(); ++i) {
        uint8_t* row = padding_.data() + padding_places_[i].second;
        if (rows[i].first == padding_key(Type::kFloat32, kLowest)) {
            auto* values = reinterpret_cast<float*>(row);
            std::fill_n(values, rows[i].second / sizeof(float), -std::numeric_limits<float>::infinity());
        } else if (rows[i].first < padding_key(Type::kFloat32, 0)) {
            std::memset(row, static_cast<int>(rows[i].first), rows[i].second);
        }
    }
}

const uint8_t* Plan::padding_row(const Stage& stage) const {
    if (stage.edge_is_null) return nullptr;
    const uint32_t key = padding_key(stage.window.type, padding_value(stage));
    for (const auto& [other, place] : padding_places_)
        if (other == key) return padding_.data() + place;
    return nullptr;
}

size_t Plan::packed_bytes() const {
    size_t total = 0;
    for (const Step& step : steps_) {
        for (const Packed& part : step.parts) total += part.memory.size();
        for (const Stage& stage : step.stages)
            for (const Packed& part : stage.parts) total += part.memory.size();
    }
    return total;
}

}  // namespace mobilenets
