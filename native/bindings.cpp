// The only file that knows Python. Arrays come in as NumPy arrays whose types and sizes are checked here; what a
// network may be is checked by the plan.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include "detection.h"
#include "peak.h"
#include "resize.h"
#include "runner/runner.h"
#include "runner/thread_pool.h"
#include "shared_sums.h"

namespace nb = nanobind;
using namespace mobilenets;

namespace {

using FloatVector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Pixels = nb::ndarray<const uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

template <typename Value>
Array array_of(const std::optional<AnyArray>& array, const char* name) {
    if (!array) return {};
    if (array->dtype() != nb::dtype<Value>()) throw std::invalid_argument(std::string(name) + " has the wrong type");
    return {array->data(), array->size()};
}

// Set by `leave`.
std::atomic<bool> leaving{false};
std::thread::id last_thread;
// Threads that want the interpreter's lock back.
std::atomic<int> returning{0};

// Gives the interpreter's lock away for as long as it lives. A shutting down interpreter ends every other thread that
// asks for the lock by unwinding its stack (until Python 3.14), which from a destructor ends the whole process. After
// `leave` only the thread that shuts down gets out of here; others wait for the end of the process.
class WithoutInterpreter {
  public:
    WithoutInterpreter() : state_(PyEval_SaveThread()) {}
    ~WithoutInterpreter() {
        returning.fetch_add(1);
        if (leaving.load() && std::this_thread::get_id() != last_thread) {
            returning.fetch_sub(1);
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
        PyEval_RestoreThread(state_);
        returning.fetch_sub(1);
    }
    WithoutInterpreter(const WithoutInterpreter&) = delete;
    WithoutInterpreter& operator=(const WithoutInterpreter&) = delete;

  private:
    PyThreadState* state_;
};

// The calling thread is about to shut the interpreter down. Lets threads that wait for its lock have it a last time;
// not for longer than a second, for a forked process counts threads that are its parent's.
void leave() {
    const WithoutInterpreter released;
    last_thread = std::this_thread::get_id();
    leaving = true;
    for (int turn = 0; turn < 1000 && returning.load() != 0; ++turn)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stop_threads();
}

// A layer as Python describes it. Its arrays are checked when a plan takes it, which knows their types.
struct DescribedLayer : Layer {
    std::optional<AnyArray> weight_array, bias_array, multiplier_array, weight_zero_point_array, table_array;
};

// A plan while it is being written; `finish` gives it away.
class PlanWriter {
  public:
    PlanWriter(const std::string& set, int32_t channels, int32_t height, int32_t width, const FloatVector& offset,
               const FloatVector& scale, const PlanOptions& options)
        : type_(options.type) {
        const InstructionSet* found = find_instruction_set(set.c_str());
        if (found == nullptr || !found->supported()) throw std::invalid_argument("no instruction set " + set);
        if (channels < 1 || offset.size() != static_cast<size_t>(channels) || scale.size() != offset.size())
            throw std::invalid_argument("one offset and one scale are needed for each input channel");
        if (options.threads < 1 || options.threads > 256) throw std::invalid_argument("threads must be 1 to 256");
        plan_ = std::make_unique<Plan>(*found, options, channels, height, width, offset.data(), scale.data());
    }

    int32_t add(const DescribedLayer& described) {
        if (!plan_) throw std::invalid_argument("the plan is finished");
        Layer layer = described;
        switch (type_) {
            case Type::kUint8:
                layer.weight = array_of<int8_t>(described.weight_array, "weight");
                layer.bias = array_of<int32_t>(described.bias_array, "bias");
                break;
            case Type::kFloat32:
                layer.weight = array_of<float>(described.weight_array, "weight");
                layer.bias = array_of<float>(described.bias_array, "bias");
                break;
        }
        layer.multiplier = array_of<float>(described.multiplier_array, "multiplier");
        layer.weight_zero_point = array_of<int8_t>(described.weight_zero_point_array, "weight_zero_point");
        layer.table = array_of<uint8_t>(described.table_array, "table");
        for (const auto* array : {&described.weight_array, &described.bias_array, &described.multiplier_array,
                                  &described.weight_zero_point_array, &described.table_array})
            if (*array) kept_.push_back(**array);
        const int32_t map = plan_->add(layer);
        if (plan_->pending_bytes() > kMostPending) {
            {
                const WithoutInterpreter released;
                plan_->pack_pending();
            }
            kept_.clear();
        }
        return map;
    }

    Runner* finish(const std::vector<Plan::Output>& outputs, int32_t processors) {
        if (!plan_) throw std::invalid_argument("the plan is finished");
        {
            const WithoutInterpreter released;
            plan_->finish(outputs);
        }
        kept_.clear();
        return new Runner(std::move(plan_), processors);
    }

  private:
    // Folding makes copies of weights, and they should not all exist at a time.
    static constexpr size_t kMostPending = size_t{8} << 20;

    Type type_;
    std::unique_ptr<Plan> plan_;
    std::vector<AnyArray> kept_;  // arrays that the plan still reads
};

// Checked pointers to pixels and results.
struct Call {
    Call(const Runner& runner, const Pixels& pixels, const std::vector<Result>& results) {
        const Map& input = runner.plan().maps()[0];
        if (pixels.shape(1) != static_cast<size_t>(input.height) ||
            pixels.shape(2) != static_cast<size_t>(input.width) ||
            pixels.shape(3) != static_cast<size_t>(input.channels))
            throw std::invalid_argument("pixels have the wrong shape");
        count = static_cast<int64_t>(pixels.shape(0));
        const auto& named = runner.plan().outputs();
        if (results.size() != named.size()) throw std::invalid_argument("one result is needed for each output");
        for (size_t i = 0; i < results.size(); ++i) {
            const Map& map = runner.plan().maps()[static_cast<size_t>(named[i].map)];
            if (results[i].size() != static_cast<size_t>(count * map.channels * map.pixels()))
                throw std::invalid_argument("a result has the wrong size");
            outputs.push_back(results[i].data());
        }
    }
    int64_t count;
    std::vector<float*> outputs;
};

void run(Runner& runner, const Pixels& pixels, const std::vector<Result>& results, int32_t threads) {
    const Call call(runner, pixels, results);
    const WithoutInterpreter released;
    runner.run(pixels.data(), call.count, call.outputs.data(), threads);
}

bool run_poisoned(Runner& runner, const Pixels& pixels, const std::vector<Result>& results, uint8_t byte) {
    const Call call(runner, pixels, results);
    if (call.count != 1) throw std::invalid_argument("takes one image");
    const WithoutInterpreter released;
    return runner.run_poisoned(pixels.data(), call.outputs.data(), byte);
}

std::vector<double> profile(Runner& runner, const Pixels& pixels, int32_t repeats, int32_t threads) {
    const Map& input = runner.plan().maps()[0];
    if (pixels.size() < static_cast<size_t>(input.pixels()) * static_cast<size_t>(input.channels))
        throw std::invalid_argument("takes an image");
    const WithoutInterpreter released;
    return runner.profile(pixels.data(), repeats, threads);
}

std::vector<double> profile_steps(Runner& runner, const Pixels& pixels, int32_t repeats, int32_t threads) {
    const Map& input = runner.plan().maps()[0];
    if (pixels.size() < static_cast<size_t>(input.pixels()) * static_cast<size_t>(input.channels))
        throw std::invalid_argument("takes an image");
    const WithoutInterpreter released;
    return runner.profile_steps(pixels.data(), repeats, threads);
}

void arrange(Runner& runner, const std::vector<ChainChoice>& choices) {
    for (const ChainChoice& choice : choices)
        if (choice.tile_bytes > size_t{1} << 30) throw std::invalid_argument("a tile of over a gigabyte");
    runner.arrange(choices);
}

size_t packed_bytes(const std::vector<Packed>& parts) {
    size_t total = 0;
    for (const Packed& part : parts) total += part.memory.size() - 2 * kSlack;
    return total;
}

// One dictionary for each step, for people to read.
nb::list describe(const Runner& runner) {
    const Plan& plan = runner.plan();
    nb::list steps;
    for (const Step& step : plan.steps()) {
        const Map& out = plan.maps()[static_cast<size_t>(step.output)];
        nb::list layers;
        for (const Stage& stage : step.stages) {
            const Map& made = plan.maps()[static_cast<size_t>(stage.output)];
            nb::dict layer;
            layer["name"] = stage.name;
            layer["kernel"] = stage.parts[0].kernel->name;
            layer["gathers"] = stage.gather;
            layer["macs"] = stage.macs;
            layer["weight_bytes"] = packed_bytes(stage.parts);
            layer["output_bytes"] = made.bytes();
            layer["rows_at_a_time"] = stage.step_rows;
            layer["ring_bytes"] = &stage == &step.stages.back() ? 0 : stage.ring_rows * made.row_bytes();
            layers.append(layer);
        }
        if (step.stages.empty()) {
            nb::dict layer;
            layer["name"] = step.name;
            layer["kernel"] = step.parts[0].kernel->name;
            layer["gathers"] = false;
            layer["macs"] = step.macs;
            layer["weight_bytes"] = packed_bytes(step.parts);
            layer["output_bytes"] = out.bytes();
            layer["rows_at_a_time"] = out.height;
            layer["ring_bytes"] = 0;
            layers.append(layer);
        }
        nb::dict entry;
        entry["layers"] = layers;
        entry["output_offset"] = out.last < 0 ? 0 : out.offset;
        const bool by_rows = step.kind == StepKind::kChain && plan.row_grain(step, plan.options().threads) > 0;
        entry["split"] = step.kind != StepKind::kChain ? "pixels" : by_rows ? "rows" : "channels";
        steps.append(entry);
    }
    return steps;
}

// The Arrow C data interface, by which Pillow lends its memory.
struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, children_count;
    ArrowSchema** children;
};
struct ArrowArray {
    int64_t length, null_count, offset, buffers_count, children_count;
    const void** buffers;
    ArrowArray** children;
};

// Where lent pixels of four bytes begin, or null where the memory holds anything else.
const uint8_t* lent_pixels(const nb::capsule& schema_capsule, const nb::capsule& array_capsule, int64_t count) {
    const auto is = [](const nb::capsule& capsule, const char* name) {
        return capsule.name() != nullptr && std::string(capsule.name()) == name;
    };
    if (!is(schema_capsule, "arrow_schema") || !is(array_capsule, "arrow_array")) return nullptr;
    const auto* schema = static_cast<const ArrowSchema*>(schema_capsule.data());
    const auto* array = static_cast<const ArrowArray*>(array_capsule.data());
    const bool pixels = std::string(schema->format) == "+w:4" && schema->children_count == 1 &&
                        std::string(schema->children[0]->format) == "C" && array->length == count &&
                        array->offset == 0 && array->children_count == 1;
    if (!pixels) return nullptr;
    const ArrowArray& bytes = *array->children[0];
    if (bytes.length != count * kPixelBytes || bytes.offset != 0 || bytes.buffers_count != 2) return nullptr;
    return static_cast<const uint8_t*>(bytes.buffers[1]);
}

using Resized = nb::ndarray<uint8_t, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;

bool resize_image(const std::string& name, const std::pair<nb::capsule, nb::capsule>& lent,
                  std::pair<int32_t, int32_t> size, std::tuple<float, float, float, float> box,
                  Interpolation interpolation, const Resized& out) {
    const auto usual = [](int64_t side) { return side >= 1 && side < 1 << 20; };
    ResizeTask task;
    std::tie(task.in_width, task.in_height) = size;
    std::tie(task.left, task.top, task.right, task.bottom) = box;
    task.height = static_cast<int32_t>(out.shape(0));
    task.width = static_cast<int32_t>(out.shape(1));
    task.out = out.data();
    if (!usual(task.in_width) || !usual(task.in_height) || !usual(task.height) || !usual(task.width))
        throw std::invalid_argument("an image is empty or too large");
    const auto inside = [](float begin, float end, int32_t side) {
        return begin >= 0 && begin < end && end <= static_cast<float>(side);
    };
    if (!inside(task.left, task.right, task.in_width) || !inside(task.top, task.bottom, task.in_height))
        throw std::invalid_argument("the box must lie inside the image");
    task.interpolation = interpolation;
    const InstructionSet* set = find_instruction_set(name.c_str());
    if (set == nullptr || !set->supported()) throw std::invalid_argument("no such instruction set: " + name);
    task.pixels = lent_pixels(lent.first, lent.second, int64_t{1} * task.in_width * task.in_height);
    if (task.pixels == nullptr) return false;
    const WithoutInterpreter released;
    return resize(resize_loops(*set), task);
}

using SharedMemory = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename Value>
using Summands = nb::ndarray<Value, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr double kPatience = 0.1;  // seconds between two calls of what a waiting process calls

// Replaces values by their sums over all processes. `waiting` is called from time to time, and may raise.
template <typename Value>
void add_up(SharedSums& sums, Value* values, size_t count, const nb::callable& waiting) {
    constexpr size_t room = SharedSums::kRoom / sizeof(Value);
    for (size_t begin = 0; begin < count; begin += room) {
        Value* part = values + begin;
        const size_t size = std::min(room, count - begin), bytes = size * sizeof(Value);
        const auto arrived = [&](bool first) {
            const WithoutInterpreter released;
            if (first) sums.write(part, bytes);
            if (!sums.wait(kPatience)) return false;
            if (sums.agree(bytes)) sums.read(part, size);
            return true;
        };
        for (bool first = true; !arrived(first); first = false) waiting();
        if (!sums.agree(bytes)) throw std::logic_error("processes add up different things");
    }
}

template <typename Value>
void add_up_array(SharedSums& sums, const Summands<Value>& values, const nb::callable& waiting) {
    add_up(sums, values.data(), values.size(), waiting);
}

// Replaces means and variances of the positions of this process by those of all; follows them in running ones.
template <typename Value>
double whole_moments(SharedSums& sums, const Summands<Value>& means, const Summands<Value>& variances, double positions,
                     const std::optional<Summands<Value>>& running_means,
                     const std::optional<Summands<Value>>& running_variances, double momentum,
                     const nb::callable& waiting) {
    const size_t channels = means.size();
    if (variances.size() != channels || (running_means && running_means->size() != channels) ||
        (running_variances && running_variances->size() != channels))
        throw std::invalid_argument("each channel has one mean and one variance");
    std::vector<double> moments(2 * channels + 1);
    for (size_t i = 0; i < channels; ++i) {
        const double mean = means.data()[i];
        moments[i] = positions * mean;
        moments[channels + i] = positions * (variances.data()[i] + mean * mean);
    }
    moments[2 * channels] = positions;
    add_up(sums, moments.data(), moments.size(), waiting);
    const double total = moments[2 * channels], unbiased = total / std::max(total - 1, 1.0);
    for (size_t i = 0; i < channels; ++i) {
        const double mean = moments[i] / total;
        const double variance = std::max(moments[channels + i] / total - mean * mean, 0.0);
        means.data()[i] = static_cast<Value>(mean);
        variances.data()[i] = static_cast<Value>(variance);
        if (running_means) {
            Value& running = running_means->data()[i];
            running += static_cast<Value>(momentum * (mean - running));
        }
        if (running_variances) {
            Value& running = running_variances->data()[i];
            running += static_cast<Value>(momentum * (variance * unbiased - running));
        }
    }
    return total;
}

void bind_shared_sums(nb::module_& module) {
    nb::class_<SharedSums>(module, "SharedSums")
        .def_static("bytes", &SharedSums::bytes, nb::arg("processes"))
        .def(
            "__init__",
            [](SharedSums* self, const SharedMemory& memory, size_t processes, size_t own) {
                if (own >= processes || memory.size() < SharedSums::bytes(processes) ||
                    reinterpret_cast<uintptr_t>(memory.data()) % SharedSums::kLine != 0)
                    throw std::invalid_argument("the memory is too small for so many processes");
                new (self) SharedSums(memory.data(), processes, own);
            },
            nb::arg("memory"), nb::arg("processes"), nb::arg("own"), nb::keep_alive<1, 2>())
        .def("add_up", &add_up_array<float>, nb::arg("values").noconvert(), nb::arg("waiting"))
        .def("add_up", &add_up_array<double>, nb::arg("values").noconvert(), nb::arg("waiting"))
        .def("whole_moments", &whole_moments<float>, nb::arg("means").noconvert(), nb::arg("variances").noconvert(),
             nb::arg("positions"), nb::arg("running_means").noconvert().none(),
             nb::arg("running_variances").noconvert().none(), nb::arg("momentum"), nb::arg("waiting"))
        .def("whole_moments", &whole_moments<double>, nb::arg("means").noconvert(), nb::arg("variances").noconvert(),
             nb::arg("positions"), nb::arg("running_means").noconvert().none(),
             nb::arg("running_variances").noconvert().none(), nb::arg("momentum"), nb::arg("waiting"));
}

void bind_enums(nb::module_& module) {
    nb::enum_<Type>(module, "Type").value("UINT8", Type::kUint8).value("FLOAT32", Type::kFloat32);
    nb::enum_<LayerKind>(module, "LayerKind")
        .value("CONVOLUTION", LayerKind::kConvolution)
        .value("DEPTHWISE", LayerKind::kDepthwise)
        .value("POINTWISE", LayerKind::kPointwise)
        .value("LINEAR", LayerKind::kLinear)
        .value("MAX_POOL", LayerKind::kMaxPool)
        .value("AVERAGE_POOL", LayerKind::kAveragePool)
        .value("ADD", LayerKind::kAdd)
        .value("MULTIPLY", LayerKind::kMultiply)
        .value("CONCATENATE", LayerKind::kConcatenate);
    nb::enum_<Activation>(module, "Activation")
        .value("NONE", Activation::kNone)
        .value("RELU", Activation::kRelu)
        .value("RELU6", Activation::kRelu6)
        .value("HARD_SIGMOID", Activation::kHardSigmoid)
        .value("HARD_SWISH", Activation::kHardSwish);
    nb::enum_<Split>(module, "Split")
        .value("BY_COST", Split::kByCost)
        .value("ROWS", Split::kRows)
        .value("CHANNELS", Split::kChannels);
    nb::enum_<Interpolation>(module, "Interpolation")
        .value("BOX", Interpolation::kBox)
        .value("BILINEAR", Interpolation::kBilinear)
        .value("BICUBIC", Interpolation::kBicubic);
}

void bind_layer(nb::module_& module) {
    nb::class_<DescribedLayer>(module, "Layer")
        .def(
            "__init__",
            [](DescribedLayer* self, LayerKind kind, std::string name, std::vector<int32_t> inputs) {
                new (self) DescribedLayer{};
                self->kind = kind;
                self->name = std::move(name);
                self->inputs = std::move(inputs);
            },
            nb::arg("kind"), nb::arg("name"), nb::arg("inputs"))
        .def_rw("kind", &DescribedLayer::kind)
        .def_rw("name", &DescribedLayer::name)
        .def_rw("inputs", &DescribedLayer::inputs)
        .def_rw("kernel", &DescribedLayer::kernel)
        .def_rw("stride", &DescribedLayer::stride)
        .def_rw("stride_down", &DescribedLayer::stride_down)
        .def_rw("pad_top", &DescribedLayer::pad_top)
        .def_rw("pad_bottom", &DescribedLayer::pad_bottom)
        .def_rw("pad_left", &DescribedLayer::pad_left)
        .def_rw("pad_right", &DescribedLayer::pad_right)
        .def_rw("groups", &DescribedLayer::groups)
        .def_rw("out_channels", &DescribedLayer::out_channels)
        .def_rw("activation", &DescribedLayer::activation)
        .def_rw("real_output", &DescribedLayer::real_output)
        .def_rw("bounded", &DescribedLayer::bounded)
        .def_rw("in_zero_point", &DescribedLayer::in_zero_point)
        .def_rw("out_zero_point", &DescribedLayer::out_zero_point)
        .def_rw("low", &DescribedLayer::low)
        .def_rw("high", &DescribedLayer::high)
        .def_rw("weight", &DescribedLayer::weight_array, nb::arg("weight").none())
        .def_rw("bias", &DescribedLayer::bias_array, nb::arg("bias").none())
        .def_rw("multiplier", &DescribedLayer::multiplier_array, nb::arg("multiplier").none())
        .def_rw("weight_zero_point", &DescribedLayer::weight_zero_point_array, nb::arg("weight_zero_point").none())
        .def_rw("table", &DescribedLayer::table_array, nb::arg("table").none());
}

void bind_plan(nb::module_& module) {
    nb::class_<PlanOptions>(module, "PlanOptions")
        .def(
            "__init__",
            [](PlanOptions* self, Type type, int32_t threads, size_t tile_bytes, size_t whole_map_bytes, bool guarded) {
                new (self) PlanOptions{type, threads, tile_bytes, whole_map_bytes, guarded};
            },
            nb::kw_only(), nb::arg("value_type"), nb::arg("threads"), nb::arg("tile_bytes") = 0,
            nb::arg("whole_map_bytes") = 0, nb::arg("guarded") = false);
    nb::class_<Plan::Output>(module, "Output")
        .def(
            "__init__",
            [](Plan::Output* self, int32_t map, float scale, int32_t zero_point) {
                new (self) Plan::Output{map, scale, zero_point};
            },
            nb::kw_only(), nb::arg("map_number"), nb::arg("scale") = 1.0f, nb::arg("zero_point") = 0);
    nb::class_<ChainChoice>(module, "ChainChoice")
        .def(
            "__init__",
            [](ChainChoice* self, size_t tile_bytes, Split split) { new (self) ChainChoice{tile_bytes, split}; },
            nb::kw_only(), nb::arg("tile_bytes") = 0, nb::arg("split") = Split::kByCost)
        .def_ro("tile_bytes", &ChainChoice::tile_bytes)
        .def_ro("split", &ChainChoice::split);
    nb::class_<PlanWriter>(module, "PlanWriter")
        .def(nb::init<const std::string&, int32_t, int32_t, int32_t, const FloatVector&, const FloatVector&,
                      const PlanOptions&>(),
             nb::kw_only(), nb::arg("instruction_set"), nb::arg("channels"), nb::arg("height"), nb::arg("width"),
             nb::arg("offset"), nb::arg("scale"), nb::arg("options"))
        .def("add", &PlanWriter::add, nb::arg("layer"))
        .def("finish", &PlanWriter::finish, nb::arg("outputs"), nb::arg("processors"), nb::rv_policy::take_ownership);
}

void bind_runner(nb::module_& module) {
    nb::class_<Runner>(module, "Runner")
        .def("run", &run, nb::arg("pixels"), nb::arg("results"), nb::arg("threads") = 0)
        .def("run_poisoned", &run_poisoned, nb::arg("pixels"), nb::arg("results"), nb::arg("byte"))
        .def("profile", &profile, nb::arg("pixels"), nb::arg("repeats"), nb::arg("threads"))
        .def("profile_steps", &profile_steps, nb::arg("pixels"), nb::arg("repeats"), nb::arg("threads"))
        .def("arrange", &arrange, nb::arg("choices"))
        .def("describe", &describe)
        .def_prop_ro("arena_bytes", [](const Runner& runner) { return runner.plan().arena_bytes(); })
        .def_prop_ro("scratch_bytes", [](const Runner& runner) { return runner.plan().scratch_bytes(); })
        .def_prop_ro("packed_bytes", [](const Runner& runner) { return runner.plan().packed_bytes(); });
}

// What suppression keeps, in arrays of the caller's.
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using BoxesOut = nb::ndarray<float, nb::shape<-1, 4>, nb::c_contig, nb::device::cpu>;
using ScoresOut = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using LabelsOut = nb::ndarray<int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

SuppressionRule checked_rule(const SuppressionRule& rule, const BoxesOut& boxes, const ScoresOut& scores,
                             const LabelsOut& labels) {
    const auto most = static_cast<size_t>(std::max(rule.most, 0));
    if (rule.most < 0 || rule.most_candidates < 0 || boxes.shape(0) < most || scores.size() < most ||
        labels.size() < most)
        throw std::invalid_argument("there is no room for the boxes that are kept");
    return rule;
}

size_t hand_over(const std::vector<KeptBox>& kept, BoxesOut& boxes, ScoresOut& scores, LabelsOut& labels) {
    for (size_t i = 0; i < kept.size(); ++i) {
        const BoxCorners& box = kept[i].box;
        float* const out = boxes.data() + 4 * i;
        out[0] = box.left, out[1] = box.top, out[2] = box.right, out[3] = box.bottom;
        scores.data()[i] = kept[i].score;
        labels.data()[i] = kept[i].label;
    }
    return kept.size();
}

size_t suppress_boxes(const Matrix& boxes, const Matrix& scores, const SuppressionRule& rule, BoxesOut boxes_out,
                      ScoresOut scores_out, LabelsOut labels_out) {
    checked_rule(rule, boxes_out, scores_out, labels_out);
    if (boxes.shape(1) != 4 || scores.shape(0) != boxes.shape(0) || scores.size() > INT32_MAX)
        throw std::invalid_argument("boxes must be (candidates, 4), and scores (candidates, classes)");
    std::vector<BoxCorners> corners(boxes.shape(0));
    for (size_t i = 0; i < corners.size(); ++i) {
        const float* const row = boxes.data() + 4 * i;
        corners[i] = {row[0], row[1], row[2], row[3]};
    }
    std::vector<KeptBox> kept;
    {
        nb::gil_scoped_release release;
        kept = suppress(corners.data(), scores.data(), static_cast<int32_t>(boxes.shape(0)),
                        static_cast<int32_t>(scores.shape(1)), rule);
    }
    return hand_over(kept, boxes_out, scores_out, labels_out);
}

size_t detect_boxes(const std::vector<FloatVector>& codes, const std::vector<FloatVector>& logits,
                    const std::vector<int32_t>& shapes, const Matrix& anchors, const AnchorRule& anchor_rule,
                    const SuppressionRule& rule, BoxesOut boxes_out, ScoresOut scores_out, LabelsOut labels_out) {
    checked_rule(rule, boxes_out, scores_out, labels_out);
    if (codes.size() != shapes.size() || logits.size() != shapes.size() || anchors.shape(1) != 4 ||
        anchor_rule.classes < 1)
        throw std::invalid_argument("a level needs codes, logits and shapes, and an anchor four numbers");
    std::vector<AnchorMaps> levels;
    size_t count = 0;
    const auto channels = static_cast<size_t>(anchor_rule.classes + (anchor_rule.background ? 1 : 0));
    for (size_t i = 0; i < shapes.size(); ++i) {
        const auto each = static_cast<size_t>(std::max(shapes[i], 1));
        const size_t cells = codes[i].size() / (4 * each);
        if (shapes[i] < 1 || codes[i].size() != 4 * each * cells || logits[i].size() != channels * each * cells)
            throw std::invalid_argument("the maps of a level do not belong together");
        levels.push_back({codes[i].data(), logits[i].data(), static_cast<int32_t>(cells), shapes[i]});
        count += cells * each;
    }
    if (count != anchors.shape(0) || count * channels > INT32_MAX)
        throw std::invalid_argument("there must be an anchor for each box of the maps");
    std::vector<KeptBox> kept;
    {
        nb::gil_scoped_release release;
        kept = detect(levels, anchors.data(), anchor_rule, rule);
    }
    return hand_over(kept, boxes_out, scores_out, labels_out);
}

void bind_detection(nb::module_& module) {
    nb::class_<SuppressionRule>(module, "SuppressionRule")
        .def(
            "__init__",
            [](SuppressionRule* self, float iou_threshold, float score_threshold, int32_t most, int32_t most_candidates,
               bool class_agnostic) {
                new (self) SuppressionRule{iou_threshold, score_threshold, most, most_candidates, class_agnostic};
            },
            nb::arg("iou_threshold"), nb::arg("score_threshold"), nb::arg("most"), nb::arg("most_candidates"),
            nb::arg("class_agnostic"));
    nb::class_<AnchorRule>(module, "AnchorRule")
        .def(
            "__init__",
            [](AnchorRule* self, const std::tuple<float, float, float, float>& coder, float largest_logarithm,
               bool background, int32_t classes) {
                const auto [x, y, width, height] = coder;
                new (self) AnchorRule{{x, y, width, height}, largest_logarithm, background, classes};
            },
            nb::arg("coder"), nb::arg("largest_logarithm"), nb::arg("background"), nb::arg("classes"));
    module.def("suppress", &suppress_boxes, nb::arg("boxes"), nb::arg("scores"), nb::arg("rule"), nb::arg("boxes_out"),
               nb::arg("scores_out"), nb::arg("labels_out"));
    module.def("detect", &detect_boxes, nb::arg("codes"), nb::arg("logits"), nb::arg("shapes"), nb::arg("anchors"),
               nb::arg("anchor_rule"), nb::arg("rule"), nb::arg("boxes_out"), nb::arg("scores_out"),
               nb::arg("labels_out"));
}

}  // namespace

NB_MODULE(_native, module) {
    nb::set_leak_warnings(false);  // a thread that Python does not wait for may still hold a Runner at exit
    module.doc() = "The engine's native half. Everything here is private: use mobilenets.engine.session.";
    bind_enums(module);
    bind_layer(module);
    bind_plan(module);
    bind_runner(module);
    bind_detection(module);
    bind_shared_sums(module);
    module.def("instruction_sets", [] {
        size_t count = 0;
        const InstructionSet* sets = instruction_sets(&count);
        std::vector<std::pair<std::string, bool>> names;
        for (size_t i = 0; i < count; ++i) names.emplace_back(sets[i].name, sets[i].supported());
        return names;
    });
    module.def(
        "measure_peak",
        [](const std::string& name, Type type) {
            const InstructionSet* set = find_instruction_set(name.c_str());
            return set == nullptr ? 0.0 : measure_peak(*set, type);
        },
        nb::arg("instruction_set"), nb::arg("value_type"), nb::call_guard<WithoutInterpreter>());
    module.def("resize", &resize_image, nb::arg("instruction_set"), nb::arg("lent"), nb::arg("size"), nb::arg("box"),
               nb::arg("interpolation"), nb::arg("out"));
    module.def("stop_threads", &leave);
}
