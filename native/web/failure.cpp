#include "failure.h"

#include <cstdlib>

#include "web/failure_message.h"

namespace mobilenets {
namespace {

char message[256];

void keep(const char* text) {
    size_t length = 0;
    for (; text[length] != 0 && length + 1 < sizeof message; ++length) message[length] = text[length];
    message[length] = 0;
}

}  // namespace

const char* failure_message() {
    return message;
}

void refuse(const std::string& text) {
    keep(text.c_str());
    std::abort();
}

void out_of_memory() {
    keep("there is not enough memory");
    std::abort();
}

}  // namespace mobilenets

// What the standard library does where it would throw. Its own writes to a console, which takes ten kilobytes.
namespace std {
inline namespace __1 {
[[noreturn]] void __libcpp_verbose_abort(const char*, ...) noexcept {
    mobilenets::keep("there is not enough memory");
    abort();
}
}  // namespace __1
}  // namespace std
