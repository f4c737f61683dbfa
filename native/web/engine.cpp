// The engine as a web page sees it: one Model for each instance of the module, one image at a time, on one thread.
//
// A page writes the Model's bytes to memory that it has asked `allocate` for, calls `load`, and may `release` them. For
// every image it writes the pixels of a canvas, calls `prepare`, then `run`, and reads the outputs. Where anything
// makes no sense the module traps, and `failure` points to what is wrong; nothing else may be called then.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "detection.h"
#include "failure.h"
#include "runner/context.h"
#include "runner/execute.h"
#include "web/failure_message.h"
#include "web/model_reader.h"
#include "web/preprocessing.h"

#define MOBILENETS_EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace mobilenets {
namespace {

struct Engine {
    explicit Engine(WebModel given) : model(std::move(given)), context(*model.plan), input(input_bytes() + 2 * kSlack) {
        for (const Plan::Output& output : model.plan->outputs()) {
            const Map& map = model.plan->maps()[static_cast<size_t>(output.map)];
            outputs.emplace_back(static_cast<size_t>(map.channels) * static_cast<size_t>(map.pixels()));
            places.push_back(outputs.back().data());
        }
    }
    const Map& input_map() const { return model.plan->maps()[0]; }
    size_t input_bytes() const {
        return static_cast<size_t>(input_map().pixels()) * static_cast<size_t>(input_map().channels);
    }
    uint8_t* pixels() { return input.data() + kSlack; }

    WebModel model;
    Context context;
    std::vector<uint8_t> input;
    std::vector<std::vector<float>> outputs;
    std::vector<float*> places;
    UsedBox used = {};
    std::vector<KeptBox> kept;
};

std::unique_ptr<Engine> engine;

Engine& loaded() {
    if (engine == nullptr) refuse("no model is loaded");
    return *engine;
}

const Map& output_map(int32_t index) {
    const std::vector<Plan::Output>& outputs = loaded().model.plan->outputs();
    if (index < 0 || static_cast<size_t>(index) >= outputs.size()) refuse("the model has fewer outputs");
    return loaded().model.plan->maps()[static_cast<size_t>(outputs[static_cast<size_t>(index)].map)];
}

// The outputs as levels of anchors: two for each, boxes and logits.
std::vector<AnchorMaps> levels_of(const Engine& mine, const AnchorRule& rule) {
    std::vector<AnchorMaps> levels;
    const int32_t logits = rule.classes + (rule.background ? 1 : 0);
    if (mine.places.size() % 2 != 0) refuse("a detector by anchors has two outputs for each level");
    for (size_t i = 0; i < mine.places.size(); i += 2) {
        const Map& boxes = output_map(static_cast<int32_t>(i));
        const Map& scores = output_map(static_cast<int32_t>(i + 1));
        AnchorMaps level;
        level.codes = mine.places[i];
        level.logits = mine.places[i + 1];
        level.cells = static_cast<int32_t>(boxes.pixels());
        level.shapes = boxes.channels / 4;
        if (boxes.channels % 4 != 0 || scores.pixels() != boxes.pixels() || scores.channels != level.shapes * logits)
            refuse("the outputs are not those of a detector by anchors of so many classes");
        levels.push_back(level);
    }
    return levels;
}

}  // namespace
}  // namespace mobilenets

using namespace mobilenets;

MOBILENETS_EXPORT(allocate) void* web_allocate(size_t bytes) {
    void* const memory = std::malloc(bytes);
    if (memory == nullptr) out_of_memory();
    return memory;
}

MOBILENETS_EXPORT(release) void web_release(void* memory) {
    std::free(memory);
}

MOBILENETS_EXPORT(failure) const char* web_failure() {
    return failure_message();
}

MOBILENETS_EXPORT(load) void web_load(const uint8_t* bytes, size_t size) {
    engine = nullptr;
    engine = std::make_unique<Engine>(read_model(bytes, size));
}

MOBILENETS_EXPORT(instruction_set) const char* web_instruction_set() {
    return loaded().model.plan->set().name;
}

// Name of the kernel that multiplies in the last layers but one, by which pages tell what a browser has.
MOBILENETS_EXPORT(kernel) const char* web_kernel(int32_t step) {
    const std::vector<Step>& steps = loaded().model.plan->steps();
    if (step < 0 || static_cast<size_t>(step) >= steps.size()) return "";
    const Step& found = steps[static_cast<size_t>(step)];
    return (found.stages.empty() ? found.parts[0] : found.stages.back().parts[0]).kernel->name;
}

MOBILENETS_EXPORT(input_height) int32_t web_input_height() {
    return loaded().input_map().height;
}

MOBILENETS_EXPORT(input_width) int32_t web_input_width() {
    return loaded().input_map().width;
}

MOBILENETS_EXPORT(input_channels) int32_t web_input_channels() {
    return loaded().input_map().channels;
}

// Where an image of the network's own size may be written: uint8 (height, width, channels).
MOBILENETS_EXPORT(input) uint8_t* web_input() {
    return loaded().pixels();
}

// The network's input out of (height, width, 4) pixels of a canvas, which may be written to.
MOBILENETS_EXPORT(prepare) void web_prepare(uint8_t* pixels, int32_t height, int32_t width) {
    Engine& mine = loaded();
    if (mine.input_map().channels != mine.model.preprocessing.channels)
        refuse("the network does not read images of as many channels as its preprocessing makes");
    preprocess(mine.model.preprocessing, pixels, height, width, mine.input_map().height, mine.input_map().width,
               mine.pixels());
    mine.used = used_box(mine.model.preprocessing, height, width, mine.input_map().height, mine.input_map().width);
}

// The part of the last image that was prepared which the input shows: four float64, left, top, right, bottom.
MOBILENETS_EXPORT(used) const UsedBox* web_used() {
    return &loaded().used;
}

MOBILENETS_EXPORT(run) void web_run() {
    Engine& mine = loaded();
    mine.context.set_image(mine.pixels(), mine.input.data(), mine.input.size());
    execute(*mine.model.plan, mine.context, 0, 1);
    write_outputs(*mine.model.plan, mine.context, 0, mine.places.data());
}

MOBILENETS_EXPORT(output_count) int32_t web_output_count() {
    return static_cast<int32_t>(loaded().outputs.size());
}

MOBILENETS_EXPORT(output_channels) int32_t web_output_channels(int32_t index) {
    return output_map(index).channels;
}

MOBILENETS_EXPORT(output_height) int32_t web_output_height(int32_t index) {
    return output_map(index).height;
}

MOBILENETS_EXPORT(output_width) int32_t web_output_width(int32_t index) {
    return output_map(index).width;
}

// The last run's output: float32 (channels, height, width).
MOBILENETS_EXPORT(output) const float* web_output(int32_t index) {
    output_map(index);
    return loaded().places[static_cast<size_t>(index)];
}

// The boxes that are kept of the last run of a detector by anchors, and how many; see AnchorRule and SuppressionRule.
MOBILENETS_EXPORT(detect)
int32_t web_detect(const float* anchors, const float* coder, float largest_logarithm, bool background, int32_t classes,
                   float iou_threshold, float score_threshold, int32_t most, int32_t most_candidates, bool agnostic) {
    Engine& mine = loaded();
    const AnchorRule rule = {{coder[0], coder[1], coder[2], coder[3]}, largest_logarithm, background, classes};
    mine.kept =
        detect(levels_of(mine, rule), anchors, rule, {iou_threshold, score_threshold, most, most_candidates, agnostic});
    return static_cast<int32_t>(mine.kept.size());
}

// The same of boxes that are given, four float32 each, and their scores, one for each class.
MOBILENETS_EXPORT(suppress)
int32_t web_suppress(const BoxCorners* boxes, const float* scores, int32_t candidates, int32_t classes,
                     float iou_threshold, float score_threshold, int32_t most, int32_t most_candidates, bool agnostic) {
    Engine& mine = loaded();
    mine.kept =
        suppress(boxes, scores, candidates, classes, {iou_threshold, score_threshold, most, most_candidates, agnostic});
    return static_cast<int32_t>(mine.kept.size());
}

// Those boxes: four float32, the score as float32, the candidate and the class as int32.
MOBILENETS_EXPORT(kept) const KeptBox* web_kept() {
    return loaded().kept.data();
}
