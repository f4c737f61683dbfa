/* Kernels. Maps are (height, width, channels) in bytes: real = scale * (byte - zero).

   A map's pixels are made in order, and no pixel is written before everything that it and later pixels read has been
   read; that is why an output may overlap its input in the arena. Sums are unsigned so that they wrap around, as the
   definition of the arithmetic says. */

struct layer {
    int in_height, in_width, in_channels;
    int out_height, out_width, out_channels;
    int kernel, stride, top, left, groups;
    int in_zero, out_zero;
    int least, most;               /* bounds of an output less out_zero: they carry an activation that is a clamp */
    int activation;                /* of a float output: 0 none, 1 ReLU, 2 ReLU6, 3 hard-sigmoid, 4 hard-swish */
    const uint8_t *table;          /* output byte by the byte before the activation function, or NULL */
    const uint8_t *rows;           /* weights plus 128, (out, row_bytes): rows of kernel * kernel * in, and 128 */
    int row_bytes;                 /* a multiple of 8 */
    int threes;                    /* of pixels, that memory is there for at a time (Armv7E-M) */
    const int8_t *weight;          /* or (channels, columns, rows), with zero points (rows, columns, channels), or of groups (out, kernel, kernel, in / groups) */
    const int8_t *weight_zero;     /* one per output channel, or NULL for zeros */
    const int32_t *bias;           /* one per output channel */
    const float *multiplier;       /* one per output channel (average: one): sum -> output */
};
//@ clamped
static uint8_t clamped(float rounded, int low, int high)
{
    if (rounded <= (float)low) {
        return (uint8_t)low;
    }
    return rounded >= (float)high ? (uint8_t)high : (uint8_t)rounded;
}
//@ to_byte: clamped
static uint8_t to_byte(float value, int zero, int low, int high)
{
    return clamped(rintf(value) + (float)zero, low, high);
}
//@ activate
static float between(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

static float activate(float value, int activation)
{
    /* volatile, or a compiler may fuse the product into the sum and round once instead of twice */
    volatile float sixth = value * (1.0f / 6.0f);
    switch (activation) {
    case 1:
        return value < 0.0f ? 0.0f : value;
    case 2:
        return between(value, 0.0f, 6.0f);
    case 3:
        return between(sixth + 0.5f, 0.0f, 1.0f);
    case 4:
        return value * between(sixth + 0.5f, 0.0f, 1.0f);
    default:
        return value;
    }
}
//@ grouped: store window
/* Convolutions of more than one group, which are rare. */
static uint32_t dot(const uint8_t *values, const int8_t *weight, int count, int zero, int weight_zero)
{
    uint32_t sum = 0;
    for (int i = 0; i < count; i++) { /* factors of 16 bits, whose products compilers know instructions for */
        const int16_t value = (int16_t)(values[i] - zero), factor = (int16_t)(weight[i] - weight_zero);
        sum += (uint32_t)(value * factor);
    }
    return sum;
}

static void grouped(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals)
{
    const int depth = layer->in_channels / layer->groups, share = layer->out_channels / layer->groups;
    const int kernel = layer->kernel;
    int index = 0;
    for (int y = 0; y < layer->out_height; y++) {
        const int row = y * layer->stride - layer->top;
        const int row_end = window_end(row, kernel, layer->in_height);
        for (int x = 0; x < layer->out_width; x++) {
            const int column = x * layer->stride - layer->left, column_begin = window_begin(column);
            const int columns = window_end(column, kernel, layer->in_width) - column_begin;
            for (int channel = 0; channel < layer->out_channels; channel++, index++) {
                const int weight_zero = layer->weight_zero ? layer->weight_zero[channel] : 0;
                uint32_t sum = (uint32_t)layer->bias[channel];
                for (int i = window_begin(row); i < row_end; i++) {
                    const int pixel = (row + i) * layer->in_width + column + column_begin;
                    const uint8_t *values = in + pixel * layer->in_channels + channel / share * depth;
                    const int8_t *weight = layer->weight + ((channel * kernel + i) * kernel + column_begin) * depth;
                    for (int j = 0; j < columns; j++, values += layer->in_channels, weight += depth) {
                        sum += dot(values, weight, depth, layer->in_zero, weight_zero);
                    }
                }
                store(layer, sum, layer->multiplier[channel], bytes, reals, index);
            }
        }
    }
}
//@ depthwise_with_zeros: store window
/* Depthwise convolutions whose weights have zero points. */
static void depthwise_with_zeros(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals)
{
    const int channels = layer->in_channels, kernel = layer->kernel;
    int index = 0;
    for (int y = 0; y < layer->out_height; y++) {
        const int row = y * layer->stride - layer->top;
        const int row_end = window_end(row, kernel, layer->in_height);
        for (int x = 0; x < layer->out_width; x++) {
            const int column = x * layer->stride - layer->left;
            const int column_end = window_end(column, kernel, layer->in_width);
            for (int channel = 0; channel < channels; channel++, index++) {
                const int weight_zero = layer->weight_zero[channel];
                uint32_t sum = (uint32_t)layer->bias[channel];
                for (int i = window_begin(row); i < row_end; i++) {
                    const int pixel = (row + i) * layer->in_width + column;
                    const int8_t *weight = layer->weight + i * kernel * channels + channel;
                    for (int j = window_begin(column); j < column_end; j++) {
                        const int value = in[(pixel + j) * channels + channel] - layer->in_zero;
                        sum += (uint32_t)(value * (weight[j * channels] - weight_zero));
                    }
                }
                store(layer, sum, layer->multiplier[channel], bytes, reals, index);
            }
        }
    }
}
//@ max_pool: window
static void max_pool(const struct layer *layer, const uint8_t *in, uint8_t *bytes)
{
    const int channels = layer->in_channels;
    int index = 0;
    for (int y = 0; y < layer->out_height; y++) {
        const int row = y * layer->stride - layer->top;
        const int row_end = window_end(row, layer->kernel, layer->in_height);
        for (int x = 0; x < layer->out_width; x++) {
            const int column = x * layer->stride - layer->left;
            const int column_end = window_end(column, layer->kernel, layer->in_width);
            for (int channel = 0; channel < channels; channel++, index++) {
                uint8_t largest = 0;
                for (int i = window_begin(row); i < row_end; i++) {
                    for (int j = window_begin(column); j < column_end; j++) {
                        const uint8_t value = in[((row + i) * layer->in_width + column + j) * channels + channel];
                        largest = value > largest ? value : largest;
                    }
                }
                bytes[index] = largest;
            }
        }
    }
}
//@ average_pool: store
static void average_pool(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals)
{
    const int pixels = layer->in_height * layer->in_width;
    for (int channel = 0; channel < layer->in_channels; channel++) {
        uint32_t sum = 0;
        for (int i = 0; i < pixels; i++) {
            sum += (uint32_t)(in[i * layer->in_channels + channel] - layer->in_zero);
        }
        store(layer, sum, layer->multiplier[0], bytes, reals, channel);
    }
}
//@ fused
/* a * b + c, rounded once, for a byte a. Processors with an instruction for it take that. Others add in double, in which
   the product is exact, and make an inexact sum odd, so that rounding it to float rounds as if it were exact. */
static float fused(float a, float b, float c)
{
#ifdef __FP_FAST_FMAF
    return fmaf(a, b, c);
#else
    const double product = (double)a * b, sum = product + c;
    const double part = sum - product, error = (product - (sum - part)) + (c - part);
    union {
        double value;
        int64_t bits;
    } odd = {sum};
    if (error != 0.0 && odd.bits % 2 == 0) {
        odd.bits += (error > 0.0) == (sum > 0.0) ? 1 : -1;
    }
    return (float)odd.value;
#endif
}
//@ add: clamped fused
/* Bytes of two inputs with what they are multiplied by; the constant holds all zero points. */
static void add(const uint8_t *first, float first_multiplier, const uint8_t *second, float second_multiplier,
                float constant, uint8_t *bytes, int size, int low, int high, const uint8_t *table)
{
    for (int i = 0; i < size; i++) {
        const float inner = fused((float)second[i], second_multiplier, constant);
        const uint8_t byte = clamped(rintf(fused((float)first[i], first_multiplier, inner)), low, high);
        bytes[i] = table ? table[byte] : byte;
    }
}
//@ add_many: to_byte
/* More than two inputs: inputs[i] has zero point zeros[i] and scales[i]; scales[count] is that of the output. */
static void add_many(const uint8_t *const *inputs, const int *zeros, const float *scales, int count, uint8_t *bytes,
                     int size, int zero, int low, int high, const uint8_t *table)
{
    for (int i = 0; i < size; i++) {
        float total = (float)(inputs[0][i] - zeros[0]) * scales[0];
        for (int j = 1; j < count; j++) {
            /* volatile, or a compiler may fuse the product into the sum and round once instead of twice */
            volatile float term = (float)(inputs[j][i] - zeros[j]) * scales[j];
            total += term;
        }
        const uint8_t byte = to_byte(total / scales[count], zero, low, high);
        bytes[i] = table ? table[byte] : byte;
    }
}
//@ multiply: clamped
/* Products of two maps, or of a map and one number per channel: then `channels` is not 0. */
static void multiply(const uint8_t *first, int first_zero, const uint8_t *second, int second_zero, int channels,
                     float multiplier, uint8_t *bytes, int size, int zero, int low, int high, const uint8_t *table)
{
    for (int i = 0; i < size; i++) {
        const int product = (first[i] - first_zero) * (second[channels ? i % channels : i] - second_zero);
        volatile float scaled = (float)product * multiplier; /* volatile: not fused into the sum */
        const uint8_t byte = clamped(rintf(scaled + (float)zero), low, high); /* rounded with the zero point in it */
        bytes[i] = table ? table[byte] : byte;
    }
}
//@ concatenate
/* One part of a concatenation: `channels` of the `out_channels` of every pixel, by a table unless scales are the same. */
static void concatenate(const uint8_t *in, int channels, const uint8_t *table, uint8_t *bytes, int out_channels,
                        int pixels)
{
    for (int i = 0; i < pixels; i++) {
        for (int j = 0; j < channels; j++) {
            const uint8_t byte = in[i * channels + j];
            bytes[i * out_channels + j] = table ? table[byte] : byte;
        }
    }
}
//@ leave
static void leave(const uint8_t *bytes, int size, int zero, float scale, float *reals)
{
    for (int i = 0; i < size; i++) {
        reals[i] = (float)(bytes[i] - zero) * scale;
    }
}
