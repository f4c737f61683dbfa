#include "failure.h"

#include <new>
#include <stdexcept>

namespace mobilenets {

void refuse(const std::string& message) {
    throw std::invalid_argument(message);
}

void out_of_memory() {
    throw std::bad_alloc();
}

}  // namespace mobilenets
