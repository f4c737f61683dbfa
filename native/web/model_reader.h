// A Model as mobilenets.formats.web writes it: what the plan is told, layer by layer, and the preprocessing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "plan/plan.h"
#include "web/preprocessing.h"

namespace mobilenets {

struct WebModel {
    std::unique_ptr<Plan> plan;
    Preprocessing preprocessing;
};

// Reads `size` bytes, which nobody needs afterwards. Refuses what is no such Model.
WebModel read_model(const uint8_t* bytes, size_t size);

}  // namespace mobilenets
