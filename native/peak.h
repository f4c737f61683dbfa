// The arithmetic peak of one core, measured: what every other speed is a share of.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace mobilenets {

// Multiply-accumulates per second of the best instructions that a set has for a type, on registers alone; 0 where
// nothing is known of it.
double measure_peak(const InstructionSet& set, Type type);

}  // namespace mobilenets
