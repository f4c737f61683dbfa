#include "model_reader.h"

#include <cstring>
#include <vector>

#include "failure.h"

namespace mobilenets {
namespace {

constexpr uint32_t kMagic = 0x31574E4D;  // "MNW1": its last character is the version of the format

// Little-endian words and arrays, one after the other, each beginning at a multiple of four bytes.
class Reader {
  public:
    Reader(const uint8_t* bytes, size_t size) : at_(bytes), left_(size) {}

    int32_t integer() {
        int32_t value;
        std::memcpy(&value, take(4), 4);
        return value;
    }
    float real() {
        float value;
        std::memcpy(&value, take(4), 4);
        return value;
    }
    double long_real() {
        double value;
        std::memcpy(&value, take(8), 8);
        return value;
    }
    int32_t integer_below(int32_t end) {
        const int32_t value = integer();
        if (value < 0 || value >= end) refuse("the model is damaged: a number is out of range");
        return value;
    }
    Array array(size_t value_bytes) {
        Array found;
        found.count = static_cast<size_t>(integer_below(1 << 30));
        found.data = take((found.count * value_bytes + 3) / 4 * 4);
        if (found.count == 0) found.data = nullptr;
        return found;
    }

  private:
    const uint8_t* take(size_t size) {
        if (size > left_) refuse("the model is damaged: it ends early");
        const uint8_t* found = at_;
        at_ += size;
        left_ -= size;
        return found;
    }

    const uint8_t* at_;
    size_t left_;
};

Layer read_layer(Reader& reader, Type type) {
    Layer layer;
    layer.kind = static_cast<LayerKind>(reader.integer_below(static_cast<int32_t>(LayerKind::kConcatenate) + 1));
    layer.activation = static_cast<Activation>(reader.integer_below(static_cast<int32_t>(Activation::kHardSwish) + 1));
    const int32_t inputs = reader.integer_below(1 << 16);
    for (int32_t i = 0; i < inputs; ++i) layer.inputs.push_back(reader.integer());
    for (int32_t* field :
         {&layer.kernel, &layer.stride, &layer.pad_top, &layer.pad_bottom, &layer.pad_left, &layer.pad_right,
          &layer.groups, &layer.out_channels, &layer.in_zero_point, &layer.out_zero_point, &layer.low, &layer.high})
        *field = reader.integer();
    layer.real_output = reader.integer_below(2) != 0;
    layer.bounded = reader.integer_below(2) != 0;
    layer.weight = reader.array(type == Type::kUint8 ? 1 : 4);
    layer.bias = reader.array(4);
    layer.multiplier = reader.array(4);
    layer.weight_zero_point = reader.array(1);
    layer.table = reader.array(1);
    return layer;
}

}  // namespace

WebModel read_model(const uint8_t* bytes, size_t size) {
    Reader reader(bytes, size);
    if (static_cast<uint32_t>(reader.integer()) != kMagic) refuse("this is no model for this engine");
    PlanOptions options;
    options.type = reader.integer_below(2) == 0 ? Type::kUint8 : Type::kFloat32;
    const int32_t channels = reader.integer_below(1 << 16), height = reader.integer(), width = reader.integer();
    WebModel model;
    model.preprocessing.fit = static_cast<Fit>(reader.integer_below(static_cast<int32_t>(Fit::kLetterbox) + 1));
    model.preprocessing.crop_fraction = reader.long_real();
    model.preprocessing.interpolation =
        static_cast<Interpolation>(reader.integer_below(static_cast<int32_t>(Interpolation::kLanczos) + 1));
    model.preprocessing.channels = reader.integer_below(4);
    for (uint8_t& byte : model.preprocessing.around) byte = static_cast<uint8_t>(reader.integer_below(256));
    std::vector<float> offset, scale;
    for (int32_t c = 0; c < channels; ++c) offset.push_back(reader.real());
    for (int32_t c = 0; c < channels; ++c) scale.push_back(reader.real());
    model.plan =
        std::make_unique<Plan>(*best_instruction_set(), options, channels, height, width, offset.data(), scale.data());
    for (int32_t layers = reader.integer_below(1 << 20); layers > 0; --layers)
        model.plan->add(read_layer(reader, options.type));
    std::vector<Plan::Output> outputs;
    for (int32_t left = reader.integer_below(1 << 16); left > 0; --left) {
        Plan::Output output;
        output.map = reader.integer();
        output.scale = reader.real();
        output.zero_point = reader.integer();
        outputs.push_back(output);
    }
    model.plan->finish(outputs);
    return model;
}

}  // namespace mobilenets
