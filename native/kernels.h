// What a kernel is, and the one list of all of them. The driver, the tests and the benchmark read nothing else.
//
// A kernel does one kind of operation on one range of one image (or of pixels of a batch), for one instruction set.
// It owns its packing: the driver asks for `packed_bytes`, hands it plain weights once, and later gives the packed
// bytes back to `run`. The driver splits the work across threads at multiples of `grain`; a kernel never knows about
// threads, batches, the network, or whether its input is a whole map or a ring of rows.
//
// To add a kernel: write it in native/kernels/<type>/<set>.cpp, put a `Kernel` into that file's list (the first in the
// list that fits is taken, so put the special before the general), and run `kernels_test` and `kernels_bench`.
// The portable kernels fit every operation and are the meaning of all the others: uint8 kernels must equal them bit
// for bit, float32 kernels within rounding, and both must give the same bits however the work is split.
//
// Files of one instruction set are compiled with its flags. So that none of that code leaks into the rest of the
// program, they keep everything but their list in an anonymous namespace and use no templates of the standard library.
//
// Layout and numbers, for every kind
//   Activations are NHWC. uint8 activations mean scale · (q − zero_point), but kernels need not know: bias already
//   holds −in_zero_point · Σ weight, and padding is `padding_value`, so that  acc = Σ q · w + bias  in int32
//   (wrapping). A uint8 result is  clamp(rint(float(acc) · multiplier[c]) + out_zero_point, low, high)  with the
//   product rounded to float32 before rint, and rint to nearest even. The driver gives optimized kernels only
//   operations where |acc · multiplier| < 2^30 and int32 never overflows (`bounded`). A float32 result of a uint8
//   operation (`real_output`) is  clamp(float(acc) · multiplier[c], low_real, high_real). A float32 operation gives
//   clamp(Σ x · w + bias, low_real, high_real);  fused multiply-adds are welcome. low_real and high_real may be
//   infinite.
//
// Memory
//   A kernel may READ up to kSlack bytes before the first and after the last byte of anything it is given (rows, pixel
//   runs, packed weights are its own). What lies there is unspecified, in float even NaN. It may WRITE nothing but the
//   outputs of its range: count × [channel_begin, channel_end) and its scratch.
//   Packed and scratch memory is 64-byte aligned and packed memory starts zeroed; nothing else is aligned to more than
//   its element.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mobilenets {

constexpr size_t kSlack = 256;

enum class Type : uint8_t { kUint8, kFloat32 };

enum class Kind : uint8_t {
    // 1×1 convolution, linear layers and, after the driver has gathered windows, every other dense convolution.
    // Weight (out_channels, in_channels). `count` pixels, `in_stride` bytes apart, from `in`. `kernel` etc. unused.
    kPointwise,
    // One filter per channel, any size, stride and padding. Weight (channels, kernel, kernel). Input `rows`.
    kDepthwise,
    // Dense convolution, one group. Weight (out_channels, in_channels, kernel, kernel). Input `rows`. Only asked where
    // a
    // kernel that is not portable fits; windows are gathered otherwise.
    kConvolution,
    // First convolution, from interleaved pixel bytes whatever the type. Weight (out_channels, in_channels, kernel,
    // kernel), in_channels usually 3. Input `rows` of bytes. float32: x = float(byte) − offset[in channel], which is
    // exactly 0 in the padding; the weights already hold 1 / (255 · std). padding_value is for uint8 only: in float32
    // a row outside the map is a null pointer.
    kStem,
    // Largest value under the window. No weights; padding_value is 0 or −infinity. Input `rows`.
    kMaxPool,
    // Mean of `count` contiguous pixels. uint8: float(Σ q + bias[0]) · multiplier[0] and then as above;
    // float32: Σ x · multiplier[0]. One output pixel.
    kAveragePool,
    // Element-wise sum of `inputs` ≥ 1 activations, `count` contiguous pixels each, rows[i] the i-th. uint8, two: rint
    // of
    // fma(q₀, multiplier[0], fma(q₁, multiplier[1], multiplier[2])), then clamp; multiplier[2] holds the zero points.
    // uint8, more: Σ_i float(q_i − bias[i]) · multiplier[i], from left to right with every product and sum rounded to
    // float32, divided by multiplier[inputs]; then rint, zero point and clamp. float32: Σ x, then clamp; with one input
    // it copies (concatenation).
    kSum,
    // Element-wise product of two activations: rows[0] of `count` contiguous pixels, and rows[1] of as many or, where
    // `per_channel`, of one for all. uint8: float((q₀ − bias[0]) · (q₁ − bias[1])) · multiplier[0] + out_zero_point
    // with every step rounded to float32, then rint and clamp. float32: x₀ · x₁, then clamp.
    kProduct,
    // `activation` of `count` pixels from `in`, which may be `out` itself. uint8: weight is a table of 256 bytes, and q
    // becomes weight[q]. float32: the function itself, every step rounded to float32, so that results do not depend on
    // the instruction set.
    kActivation,
};

// The function after a layer. Low and high carry the first three; the others are an operation of their own.
enum class Activation : uint8_t {
    kNone,
    kRelu,
    kRelu6,
    kHardSigmoid,  // min(max(x · (1 / 6) + 0.5, 0), 1)
    kHardSwish,    // x · hard-sigmoid(x)
};

// All that is known before there is data. Sizes are of one image.
struct Operation {
    Kind kind = Kind::kPointwise;
    Type type = Type::kUint8;
    bool real_output =
        false;  // uint8 operation with float32 result (kPointwise, kDepthwise, kConvolution, kStem, kAveragePool)
    bool bounded = true;              // see above; where false only portable kernels are asked
    bool weight_zero_points = false;  // only kernels are asked that take them
    int32_t in_channels = 1, out_channels = 1;
    int32_t in_height = 1, in_width = 1, out_height = 1, out_width = 1;
    int32_t kernel = 1, stride = 1;
    int32_t stride_down = 1;            // of rows; where it is not `stride`, kernels are given one row at a time
    int32_t pad_top = 0, pad_left = 0;  // what lies below and to the right follows from the sizes
    int32_t inputs = 1;
    bool per_channel = false;                   // kProduct
    Activation activation = Activation::kNone;  // kActivation
    int32_t low = 0, high = 255, out_zero_point = 0;
    int32_t padding_value = 0;
    float low_real = 0, high_real = 0;
};

// Plain parameters, as the driver hands them to `pack`. int8 weights with int32 bias, or float32 with float32.
struct Weights {
    const void* weight = nullptr;
    const void* bias = nullptr;
    const float* multiplier = nullptr;   // uint8 types, and kAveragePool
    const int8_t* zero_point = nullptr;  // per output channel, or null; acc = Σ q · (w − zero_point) + bias
    const float* offset = nullptr;       // float32 kStem
};

// One range of the work.
struct Task {
    // Window kinds: rows[i] is input row  first · stride − pad_top + i  for i in [0, (count − 1) · stride + kernel),
    // where `first` is the first output row; rows outside the map point to a row of padding_value
    // (float32 kStem: are null). Each holds in_width pixels;
    // columns outside are for the kernel to supply. kSum, kProduct: see there.
    const void* const* rows = nullptr;
    const void* in = nullptr;                    // kPointwise, kAveragePool, kActivation
    ptrdiff_t in_stride = 0;                     // bytes from pixel to pixel of `in`
    void* out = nullptr;                         // channel 0 of the first pixel of the range (not channel_begin)
    ptrdiff_t out_stride = 0;                    // bytes from pixel to pixel
    ptrdiff_t out_row_stride = 0;                // bytes from row to row, window kinds
    int32_t count = 0;                           // output rows (window kinds) or pixels
    int32_t channel_begin = 0, channel_end = 0;  // output channels
    void* scratch = nullptr;
};

// Where work may be cut: output rows (window kinds) or pixels at multiples of `rows` counted from where the task
// began (only the last range may be ragged), and output channels at multiples of `channels`. A kernel accepts any
// count; the grain is where it loses nothing. Where `together` is more than 1, so many pixels in a row, counted from
// the first of the map, share arithmetic: work must be cut between them only, or their bits would depend on it.
struct Grain {
    int32_t rows = 1, channels = 1;
    int32_t together = 1;
};

struct Kernel {
    const char* name;  // <type>_<kind>_<tile>_<set>, such as u8_pointwise_6x64_avx512vnni
    Kind kind;
    Type type;
    bool (*fits)(const Operation&);
    size_t (*packed_bytes)(const Operation&);
    void (*pack)(const Operation&, const Weights&, void* packed);
    size_t (*scratch_bytes)(const Operation&);  // per thread; may be 0
    Grain (*grain)(const Operation&);
    void (*run)(const Operation&, const void* packed, const Task&);
    bool takes_weight_zero_points = false;
};

struct KernelList {
    const Kernel* first;
    size_t count;
    // Whether the processor has what these kernels need beside the instruction set that lists them; null: nothing.
    bool (*supported)() = nullptr;
    bool usable() const { return supported == nullptr || supported(); }
};

bool has_avx512_vbmi();  // x86 only

// Each written by native/kernels/<type>/<set>.cpp. A list may be empty.
extern const KernelList kU8Portable, kF32Portable;
extern const KernelList kU8Avx512VnniVbmi, kU8Avx512Vnni, kU8Avx512Vbmi, kU8Avx512, kF32Avx512;
extern const KernelList kU8AvxVnni, kU8Avx2, kF32Avx2;
extern const KernelList kU8NeonI8mm, kU8NeonDotprod, kU8Neon, kF32Neon;
extern const KernelList kU8WasmDot, kU8Wasm, kF32Wasm;

// An instruction set: what MOBILENETS_ISA names. Its kernels come first, then those of the sets it contains.
struct InstructionSet {
    const char* name;
    bool (*supported)();
    const KernelList* lists[10];  // best first, null-terminated, ends with the portable ones
};

// Every set that this build has, best first; "portable" is the last.
const InstructionSet* instruction_sets(size_t* count);

// The set of that name, or null.
const InstructionSet* find_instruction_set(const char* name);

// The best set that this processor and its operating system support.
const InstructionSet* best_instruction_set();

// The first kernel of the set that fits. Never null: portable kernels fit everything.
const Kernel* find_kernel(const InstructionSet&, const Operation&);

}  // namespace mobilenets
