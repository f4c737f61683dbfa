// A plan: the steps that compute a network, with their kernels, packed weights, tiles and memory. Built once, layer by
// layer, and never changed while it runs.
//
// Steps are chains of stages. A stage is one layer that makes rows of a map out of rows of another: a convolution, a
// depthwise or pointwise layer, a max pool. Stages of one chain hand each other rows through rings in a thread's own
// scratch memory, so what lies between them never becomes a whole map. A thread makes a range of the last stage's rows
// and, of every stage before it, the rows which that range needs. Where there are too few rows for all threads, they
// take output channels instead, one stage after the other, with whole maps in between. Layers that are no stages
// (average pools, sums, products, concatenations) are steps of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels.h"
#include "layer.h"
#include "memory.h"

namespace mobilenets {

// A kernel with its packed weights. A grouped convolution has one for each group.
struct Packed {
    Operation op;
    const Kernel* kernel = nullptr;
    size_t bytes = 0;
    Memory memory;  // of all those bytes, from when it is packed
    int32_t first_channel = 0;
    size_t scratch_bytes = 0;
};

struct Stage {
    std::string name;
    int32_t input = 0, output = 0;  // maps
    Operation window;               // sizes, stride and padding, whichever kernel runs
    bool gather = false;            // windows are copied together, and the kernel is a pointwise one
    bool edge_is_null = false;      // how the kernel wants rows outside the map
    std::vector<Packed> parts;
    std::vector<Packed> activation;  // one where it is no clamp: run on what the parts have just made, in its place
    size_t gather_bytes = 0;         // per output row
    // Within a chain:
    int32_t ring_rows = 0;  // of its output, where a stage follows
    size_t ring_offset = 0;
    int32_t step_rows = 1;                 // output rows made at a time
    size_t kernel_scratch = 0;             // bytes of scratch memory that the parts' kernels need, with slack
    const uint8_t* padding_row = nullptr;  // what the kernel gets for a row outside the map
    int64_t macs = 0;
};

constexpr size_t kMostStages = 64;  // of one chain; what is longer is cut

enum class StepKind : uint8_t { kChain, kAveragePool, kSum, kProduct, kConcatenate };

// What may be chosen anew for a chain after its weights are packed. No choice changes a bit of the results.
enum class Split : uint8_t { kByCost, kRows, kChannels };
struct ChainChoice {
    size_t tile_bytes = 0;  // see PlanOptions
    Split split = Split::kByCost;
};

struct Step {
    StepKind kind = StepKind::kChain;
    std::vector<Stage> stages;        // a chain's
    ChainChoice choice;               // a chain's
    std::vector<int32_t> row_grains;  // a chain's, for teams of 1, 2, … threads: see row_grain
    std::vector<int32_t> inputs;
    int32_t output = 0;
    std::vector<Packed> parts;       // of the other kinds; a concatenation has one for each input
    std::vector<Packed> activation;  // as a stage's
    std::string name;
    int64_t macs = 0;
};

struct PlanOptions {
    Type type = Type::kUint8;
    int32_t threads = 1;
    size_t tile_bytes = 0;  // rows that a chain makes at a time hold about this many bytes; 0: by the instruction set
    size_t whole_map_bytes = 0;  // maps above this are never made whole where a chain can avoid it; 0: by the type
    bool guarded = false;        // every map has memory of its own, so that what lies between can be watched; for tests
};

class Plan {
  public:
    // Map 0 is the input: bytes, and for float32 (byte − offset[c]) · scale[c].
    Plan(const InstructionSet& set, const PlanOptions& options, int32_t channels, int32_t height, int32_t width,
         const float* input_offset, const float* input_scale);
    ~Plan();

    // Adds a layer and returns the number of the map that it makes. Its weights are packed later, together with others
    // and by several threads: by `finish`, or by `pack_pending`, which the caller may call between two layers to let go
    // of their arrays. Throws std::invalid_argument where anything does not fit.
    int32_t add(const Layer& layer);
    size_t pending_bytes() const { return pending_bytes_; }  // of packed weights that are still to be made
    void pack_pending();

    // Names the outputs, in order, and lays out the memory. uint8 outputs leave as (q − zero_point) · scale.
    struct Output {
        int32_t map = 0;
        float scale = 1;
        int32_t zero_point = 0;
    };
    void finish(const std::vector<Output>& outputs);

    // Lays out tiles, splits and memory again, with one choice for each step (or none for any). For a finished plan
    // that nobody runs.
    void arrange(const std::vector<ChainChoice>& choices);

    const InstructionSet& set() const { return set_; }
    const PlanOptions& options() const { return options_; }
    const std::vector<Map>& maps() const { return maps_; }
    const std::vector<Step>& steps() const { return steps_; }
    const std::vector<Output>& outputs() const { return outputs_; }
    size_t arena_bytes() const { return arena_bytes_; }
    size_t scratch_bytes() const { return scratch_bytes_; }  // per thread
    size_t packed_bytes() const;
    int32_t largest_window() const { return largest_window_; }  // input rows that one task reads at most
    const float* input_offset() const { return input_offset_.data(); }
    const float* input_scale() const { return input_scale_.data(); }
    bool input_is_map() const { return input_is_map_; }  // the input is needed as a map of the plan's type

    // How a chain's threads share its work: the rows of the last stage, in pieces of so many, or, if 0, the channels of
    // every stage.
    static int32_t row_grain(const Step& chain, int32_t threads) {
        return chain.row_grains[static_cast<size_t>(threads) - 1];
    }

  private:
    const uint8_t* padding_row(const Stage& stage) const;
    static int32_t choose_row_grain(const Step& chain, int32_t threads);
    Operation operation(const Layer& layer, const Map& in, const Map& out) const;
    void add_stage(const Layer& layer, int32_t input, int32_t output);
    void add_stage_parts(Stage& stage, const Layer& layer, const Map& in);
    void add_pointwise_parts(Stage& stage, const Weights& weights);
    void add_convolution_parts(Stage& stage, const Layer& layer);
    bool use_stem(const Layer& layer, Operation op) const;
    bool use_rows(const Layer& layer, Operation op) const;
    void add_stem(Stage& stage, const Layer& layer, Weights weights);
    void add_single(const Layer& layer, const std::vector<int32_t>& inputs, int32_t output);
    Packed pack(const Operation& op, const Weights& weights, int32_t first_channel);
    std::vector<Packed> pack_activation(const Layer& layer, const Map& out);
    void join_stages();
    static int32_t rows_together(const Stage& stage);  // output rows that may only be cut at multiples of so many
    static int32_t grain_rows(const Stage& stage);     // of its kernel
    size_t tile_bytes(const Step& chain) const;
    int32_t last_step_rows(const Step& chain) const;
    void set_ring(Stage& stage, const Stage& next) const;
    static size_t stage_scratch_bytes(const Stage& stage);
    void set_tiles(Step& chain);
    void set_lifetimes();
    void place_maps();
    void make_padding();

    const InstructionSet& set_;
    PlanOptions options_;
    std::vector<float> input_offset_, input_scale_;
    std::vector<Map> maps_;
    std::vector<Step> steps_;
    std::vector<Output> outputs_;
    struct Packing;
    std::vector<Packing> pending_;
    std::vector<std::vector<uint8_t>> rearranged_;  // what pending layers read besides the caller's arrays
    size_t pending_bytes_ = 0;
    size_t arena_bytes_ = 0, scratch_bytes_ = 0;
    int32_t largest_window_ = 1;
    bool input_is_map_ = false, finished_ = false;
    std::vector<std::pair<uint32_t, size_t>> padding_places_;
    Memory padding_;
};

}  // namespace mobilenets
