// uint8 kernels for AVX-VNNI.
#include "../kernels.h"

namespace mobilenets {

const KernelList kU8AvxVnni = {nullptr, 0};

}  // namespace mobilenets
