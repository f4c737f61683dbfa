// What stopped the engine, for the page to read after the trap.
#pragma once

namespace mobilenets {

const char* failure_message();

}  // namespace mobilenets
