// One thread's part of the steps of a plan.
#pragma once

#include "context.h"

namespace mobilenets {

// Runs all steps; every thread of the team calls it, and they meet between steps.
void execute(const Plan& plan, Context& context, int thread, int threads);

}  // namespace mobilenets
