// How the engine says that it cannot go on. In WebAssembly, which is built without exceptions, it stops there.
#pragma once

#include <string>

namespace mobilenets {

// What the caller gave makes no sense: std::invalid_argument.
[[noreturn]] void refuse(const std::string& message);

// std::bad_alloc.
[[noreturn]] void out_of_memory();

}  // namespace mobilenets
