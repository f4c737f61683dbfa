#include "plan.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "failure.h"
#include "runner/thread_pool.h"

namespace mobilenets {
namespace {

void require(bool condition, const std::string& message) {
    if (!condition) refuse(message);
}

constexpr int32_t kPanelGroup = 64;   // channels of the widest group of panels of any kernel
constexpr int32_t kLeastWhole = 256;  // channels in such groups, from which on it pays to make the others apart
constexpr int32_t kFewPixels = 64;    // of a map, below which it does not
constexpr int32_t kFewColumns = 9;  // of a convolution's output, up to which windows are gathered

bool is_portable(const Kernel* kernel, const Operation& op) {
    return kernel == find_kernel(*find_instruction_set("portable"), op);
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

}  // namespace

// Weights of a layer that are to be packed.
struct Plan::Packing {
    Weights weights;
    Packed* to;
};

Plan::~Plan() = default;

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
    const Map out = output_of(layer, maps_, options_.type);
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
    op.stride_down = stride_down(layer);
    op.pad_top = layer.pad_top;
    op.pad_left = layer.pad_left;
    op.low = layer.low;
    op.high = layer.high;
    op.out_zero_point = layer.out_zero_point;
    op.padding_value = options_.type == Type::kUint8 && layer.kind != LayerKind::kMaxPool ? layer.in_zero_point : 0;
    const Bounds bounds = bounds_of(layer.activation);
    op.low_real = bounds.low;
    op.high_real = bounds.high;
    return op;
}

Packed Plan::pack(const Operation& op, const Weights& weights, int32_t first_channel) {
    Packed packed;
    packed.op = op;
    packed.kernel = find_kernel(set_, op);
    packed.first_channel = first_channel;
    packed.scratch_bytes = packed.kernel->scratch_bytes(op);
    packed.bytes = packed.kernel->packed_bytes(op) + 2 * kSlack;
    pending_.push_back({weights, nullptr});
    pending_bytes_ += packed.bytes;
    return packed;
}

std::vector<Packed> Plan::pack_activation(const Layer& layer, const Map& out) {
    std::vector<Packed> packed;
    if (is_clamp(layer.activation)) return packed;
    Operation op;
    op.kind = Kind::kActivation;
    op.type = out.type;
    op.activation = layer.activation;
    op.in_channels = op.out_channels = out.channels;
    Weights weights;
    weights.weight = layer.table.data;
    packed.push_back(pack(op, weights, 0));
    return packed;
}

// All into one piece of memory; largest first, each to the next thread that is free.
void Plan::pack_pending() {
    struct Work final : TeamWork {
        const std::vector<Packing>* jobs;
        std::atomic<size_t> next{0};
        void run(int, int) override {
            for (size_t i; (i = next.fetch_add(1)) < jobs->size();) {
                const Packing& job = (*jobs)[i];
                job.to->kernel->pack(job.to->op, job.weights, job.to->memory.data());
            }
        }
    };
    std::vector<Packed*> unpacked;  // in the order in which they became pending
    const auto collect = [&](std::vector<Packed>& parts) {
        for (Packed& part : parts)
            if (part.memory.size() == 0) unpacked.push_back(&part);
    };
    for (Step& step : steps_) {
        collect(step.parts);
        collect(step.activation);
        for (Stage& stage : step.stages) {
            collect(stage.parts);
            collect(stage.activation);
        }
    }
    require(unpacked.size() == pending_.size(), "layers are packed once");
    size_t total = 0;
    for (const Packed* part : unpacked) total += round_up(part->bytes, kAlignment);
    const Memory all(total);
    for (size_t i = 0, offset = 0; i < unpacked.size(); ++i) {
        unpacked[i]->memory = all.part(offset, unpacked[i]->bytes);
        offset += round_up(unpacked[i]->bytes, kAlignment);
        pending_[i].to = unpacked[i];
    }
    // A sort of a third of the code of std::sort, which counts in WebAssembly.
    std::partial_sort(pending_.begin(), pending_.end(), pending_.end(),
                      [](const Packing& a, const Packing& b) { return a.to->bytes > b.to->bytes; });
    Work work;
    work.jobs = &pending_;
    Team(options_.threads, options_.threads).run(work);
    pending_.clear();
    rearranged_.clear();
    pending_bytes_ = 0;
}

// Whether a convolution is the first, and there is a kernel for it that is better than gathering windows. In float32
// even the portable one is: every set then scales the weights instead of the pixels, and gives nearly the same numbers.
bool Plan::use_stem(const Layer& layer, Operation op) const {
    if (layer.inputs[0] != 0 || layer.groups != 1) return false;
    op.kind = Kind::kStem;
    return op.type == Type::kFloat32 || !is_portable(find_kernel(set_, op), op);
}

// Whether there is a kernel for a convolution that reads the rows of a map as they are, and better than gathering
// windows: on a small map a row of them fills no tile, and every row would walk through all weights anew.
bool Plan::use_rows(const Layer& layer, Operation op) const {
    const bool of_bytes = layer.inputs[0] == 0 && op.type == Type::kFloat32;
    if (of_bytes || layer.groups != 1) return false;
    if (layer.inputs[0] != 0 && op.out_width <= kFewColumns) return false;
    op.kind = Kind::kConvolution;
    return !is_portable(find_kernel(set_, op), op);
}

void Plan::add_stem(Stage& stage, const Layer& layer, Weights weights) {
    Operation& op = stage.window;
    op.kind = Kind::kStem;
    if (op.type == Type::kFloat32) {
        const auto* weight = static_cast<const float*>(layer.weight.data);
        rearranged_.emplace_back(layer.weight.count * sizeof(float));
        auto* const scaled = reinterpret_cast<float*>(rearranged_.back().data());
        const size_t window = static_cast<size_t>(op.kernel) * static_cast<size_t>(op.kernel);
        for (size_t i = 0; i < layer.weight.count; ++i)
            scaled[i] = weight[i] * input_scale_[i / window % static_cast<size_t>(op.in_channels)];
        weights.weight = scaled;
        weights.offset = input_offset_.data();
        stage.edge_is_null = true;
    }
    stage.parts.push_back(pack(op, weights, 0));
}

void Plan::add_stage(const Layer& layer, int32_t input, int32_t output) {
    const Map &in = maps_[static_cast<size_t>(input)], &out = maps_[static_cast<size_t>(output)];
    Stage stage;
    stage.name = layer.name;
    stage.input = input;
    stage.output = output;
    stage.window = operation(layer, in, out);
    stage.macs = static_cast<int64_t>(layer.weight.count) * out.pixels();
    add_stage_parts(stage, layer, in);
    stage.activation = pack_activation(layer, out);
    const bool reads_bytes = options_.type == Type::kUint8 || stage.window.kind == Kind::kStem;
    if (input == 0 && (!reads_bytes || layer.kind == LayerKind::kLinear)) input_is_map_ = true;
    Step step;
    step.kind = StepKind::kChain;
    step.inputs = {input};
    step.output = output;
    step.macs = stage.macs;
    step.stages.push_back(std::move(stage));
    steps_.push_back(std::move(step));
}

void Plan::add_stage_parts(Stage& stage, const Layer& layer, const Map& in) {
    Operation& op = stage.window;
    const Weights weights{layer.weight.data, layer.bias.data, static_cast<const float*>(layer.multiplier.data),
                          static_cast<const int8_t*>(layer.weight_zero_point.data), nullptr};
    switch (layer.kind) {
        case LayerKind::kConvolution:
            if (use_stem(layer, op)) return add_stem(stage, layer, weights);
            if (!use_rows(layer, op)) return add_convolution_parts(stage, layer);
            op.kind = Kind::kConvolution;
            break;
        case LayerKind::kLinear:
            // One pixel whose channels are the whole map.
            op.in_channels = in.channels * in.height * in.width;
            op.in_height = op.in_width = 1;
            op.kind = Kind::kPointwise;
            break;
        case LayerKind::kPointwise:
            op.kind = Kind::kPointwise;
            return add_pointwise_parts(stage, weights);
        case LayerKind::kDepthwise:
            op.kind = Kind::kDepthwise;
            break;
        case LayerKind::kMaxPool:
            op.kind = Kind::kMaxPool;
            break;
        case LayerKind::kAveragePool:
        case LayerKind::kAdd:
        case LayerKind::kMultiply:
        case LayerKind::kConcatenate:
            refuse("not a stage");  // see is_stage
    }
    stage.parts.push_back(pack(op, weights, 0));
}

// Channels that whole groups of panels hold are made by the kernel that suits these, and those that are left over by the
// one that suits so few: a detector's logits are 273 or 546 channels, which leave a part of the last panel empty.
void Plan::add_pointwise_parts(Stage& stage, const Weights& weights) {
    const Operation& op = stage.window;
    const int32_t left = op.out_channels % kPanelGroup, whole = op.out_channels - left;
    Operation first = op, last = op;
    first.out_channels = whole;
    last.out_channels = left;
    const Kernel* const together = find_kernel(set_, op);
    const bool few_pixels = op.out_height * op.out_width < kFewPixels;
    if (left == 0 || whole < kLeastWhole || few_pixels ||
        (find_kernel(set_, first) == together && find_kernel(set_, last) == together))
        return stage.parts.push_back(pack(op, weights, 0));
    Weights others = weights;
    const size_t skipped = static_cast<size_t>(whole), value_bytes = op.type == Type::kFloat32 ? 4 : 1;
    others.weight = static_cast<const uint8_t*>(weights.weight) +
                    skipped * static_cast<size_t>(op.in_channels) * value_bytes;
    others.bias = static_cast<const uint8_t*>(weights.bias) + 4 * skipped;
    if (weights.multiplier) others.multiplier = weights.multiplier + skipped;
    if (weights.zero_point) others.zero_point = weights.zero_point + skipped;
    stage.parts.push_back(pack(first, weights, 0));
    stage.parts.push_back(pack(last, others, whole));
}

// Windows are gathered, and a pointwise kernel multiplies them: one for each group.
void Plan::add_convolution_parts(Stage& stage, const Layer& layer) {
    const Operation& window = stage.window;
    const int32_t in = window.in_channels / layer.groups, out = window.out_channels / layer.groups;
    const int32_t positions = window.kernel * window.kernel, taps = positions * in;
    const size_t value_bytes = window.type == Type::kFloat32 ? 4 : 1;
    stage.gather = true;
    stage.window.kind = Kind::kPointwise;
    for (int32_t group = 0; group < layer.groups; ++group) {
        Operation op = window;
        op.kind = Kind::kPointwise;
        op.in_channels = taps;
        op.out_channels = out;
        const auto first = static_cast<size_t>(group) * static_cast<size_t>(out);
        const auto* source =
            static_cast<const uint8_t*>(layer.weight.data) + first * static_cast<size_t>(taps) * value_bytes;
        rearranged_.emplace_back(static_cast<size_t>(taps) * static_cast<size_t>(out) * value_bytes);
        uint8_t* const ordered = rearranged_.back().data();
        if (value_bytes == 4) {
            channels_last(reinterpret_cast<const float*>(source), reinterpret_cast<float*>(ordered), out, in,
                          positions);
        } else {
            channels_last(source, ordered, out, in, positions);
        }
        Weights weights;
        weights.weight = ordered;
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
    switch (layer.kind) {
        case LayerKind::kAveragePool:
            step.kind = StepKind::kAveragePool;
            op.kind = Kind::kAveragePool;
            step.parts.push_back(pack(op, weights, 0));
            break;
        case LayerKind::kAdd:
            step.kind = StepKind::kSum;
            op.kind = Kind::kSum;
            op.inputs = static_cast<int32_t>(inputs.size());
            step.parts.push_back(pack(op, weights, 0));
            break;
        case LayerKind::kMultiply:
            step.kind = StepKind::kProduct;
            op.kind = Kind::kProduct;
            op.inputs = 2;
            op.per_channel = maps_[static_cast<size_t>(inputs[1])].pixels() == 1;
            step.parts.push_back(pack(op, weights, 0));
            break;
        case LayerKind::kConcatenate: {
            step.kind = StepKind::kConcatenate;
            const bool quantized = out.type == Type::kUint8;  // bytes by a table; floats by a sum of one
            op.kind = quantized ? Kind::kActivation : Kind::kSum;
            int32_t first = 0;
            for (size_t i = 0; i < inputs.size(); ++i) {
                op.in_channels = op.out_channels = maps_[static_cast<size_t>(inputs[i])].channels;
                if (quantized) weights.weight = static_cast<const uint8_t*>(layer.table.data) + 256 * i;
                step.parts.push_back(pack(op, weights, first));
                first += op.out_channels;
            }
            break;
        }
        case LayerKind::kConvolution:
        case LayerKind::kDepthwise:
        case LayerKind::kPointwise:
        case LayerKind::kLinear:
        case LayerKind::kMaxPool:
            refuse("a stage");  // see is_stage
    }
    step.activation = pack_activation(layer, out);
    steps_.push_back(std::move(step));
}

void Plan::finish(const std::vector<Output>& outputs) {
    require(!finished_ && !steps_.empty() && !outputs.empty(), "a plan needs layers and outputs and is finished once");
    for (const Output& output : outputs)
        require(output.map > 0 && output.map < static_cast<int32_t>(maps_.size()), "an output names no layer");
    finished_ = true;
    outputs_ = outputs;
    pack_pending();
    join_stages();
    arrange({});
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
            // Only the last stage of a chain begins its rows where threads part them.
            join = !flattens && !next.gather && between.pixels() > 1 && rows_together(*before) == 1 &&
                   (separable || between.bytes() > limit);
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

size_t Plan::packed_bytes() const {
    size_t total = 0;
    for (const Step& step : steps_) {
        for (const auto* parts : {&step.parts, &step.activation})
            for (const Packed& part : *parts) total += part.memory.size();
        for (const Stage& stage : step.stages)
            for (const auto* parts : {&stage.parts, &stage.activation})
                for (const Packed& part : *parts) total += part.memory.size();
    }
    return total;
}

}  // namespace mobilenets
