/* Kernels. Maps are (height, width, channels) in floats.

   A map's pixels are made in order, and no pixel is written before everything that it and later pixels read has been
   read; that is why an output may overlap its input in the arena. */

struct layer {
    int in_height, in_width, in_channels;
    int out_height, out_width, out_channels;
    int kernel, stride, top, left, groups;
    int activation;      /* 0 none, 1 ReLU, 2 ReLU6, 3 hard-sigmoid, 4 hard-swish */
    const float *weight; /* (out, kernel, kernel, in / groups), or depthwise (kernel, kernel, channels) */
    const float *bias;   /* one per output channel, or NULL for zeros */
};
//@ activate
static float between(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

static float activate(float value, int activation)
{
    switch (activation) {
    case 1:
        return value < 0.0f ? 0.0f : value;
    case 2:
        return between(value, 0.0f, 6.0f);
    case 3:
        return between(value * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    case 4:
        return value * between(value * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    default:
        return value;
    }
}
//@ normalize
static void normalize(const uint8_t *pixels, int count, int channels, const float *scale, const float *offset,
                      float *out)
{
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < channels; j++) {
            out[i * channels + j] = (float)pixels[i * channels + j] * scale[j] + offset[j];
        }
    }
}
//@ convolution: activate window
/* Eight sums side by side: none waits for another, and a compiler may add several at once without changing the order. */
static float dot(const float *values, const float *weight, int count)
{
    float sums[8] = {0.0f}, sum = 0.0f;
    int i = 0;
    for (; i + 8 <= count; i += 8) {
        for (int j = 0; j < 8; j++) {
            sums[j] += values[i + j] * weight[i + j];
        }
    }
    for (; i < count; i++) {
        sum += values[i] * weight[i];
    }
    for (int j = 0; j < 8; j++) {
        sum += sums[j];
    }
    return sum;
}

static void convolution(const struct layer *layer, const float *in, float *out)
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
                float sum = layer->bias ? layer->bias[channel] : 0.0f;
                for (int i = window_begin(row); i < row_end; i++) {
                    const int pixel = (row + i) * layer->in_width + column + column_begin;
                    const float *values = in + pixel * layer->in_channels + channel / share * depth;
                    const float *weight = layer->weight + ((channel * kernel + i) * kernel + column_begin) * depth;
                    if (layer->groups == 1) { /* neighbours lie side by side */
                        sum += dot(values, weight, columns * depth);
                        continue;
                    }
                    for (int j = 0; j < columns; j++, values += layer->in_channels, weight += depth) {
                        sum += dot(values, weight, depth);
                    }
                }
                out[index] = activate(sum, layer->activation);
            }
        }
    }
}
//@ depthwise: activate window
static void depthwise(const struct layer *layer, const float *in, float *out)
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
                float sum = layer->bias ? layer->bias[channel] : 0.0f;
                for (int i = window_begin(row); i < row_end; i++) {
                    const int pixel = (row + i) * layer->in_width + column;
                    const float *weight = layer->weight + i * kernel * channels + channel;
                    for (int j = window_begin(column); j < column_end; j++) {
                        sum += in[(pixel + j) * channels + channel] * weight[j * channels];
                    }
                }
                out[index] = activate(sum, layer->activation);
            }
        }
    }
}
//@ max_pool: window
static void max_pool(const struct layer *layer, const float *in, float *out)
{
    const int channels = layer->in_channels;
    int index = 0;
    for (int y = 0; y < layer->out_height; y++) {
        const int row = y * layer->stride - layer->top, row_begin = window_begin(row);
        const int row_end = window_end(row, layer->kernel, layer->in_height);
        for (int x = 0; x < layer->out_width; x++) {
            const int column = x * layer->stride - layer->left, column_begin = window_begin(column);
            const int column_end = window_end(column, layer->kernel, layer->in_width);
            for (int channel = 0; channel < channels; channel++, index++) {
                float largest = -FLT_MAX;
                for (int i = row_begin; i < row_end; i++) {
                    for (int j = column_begin; j < column_end; j++) {
                        const float value = in[((row + i) * layer->in_width + column + j) * channels + channel];
                        largest = value > largest ? value : largest;
                    }
                }
                out[index] = largest;
            }
        }
    }
}
//@ average_pool
static void average_pool(const struct layer *layer, const float *in, float *out)
{
    const int pixels = layer->in_height * layer->in_width;
    for (int channel = 0; channel < layer->in_channels; channel++) {
        float sum = 0.0f;
        for (int i = 0; i < pixels; i++) {
            sum += in[i * layer->in_channels + channel];
        }
        out[channel] = sum / (float)pixels;
    }
}
//@ add: activate
static void add(const float *const *inputs, int count, float *out, int size, int activation)
{
    for (int i = 0; i < size; i++) {
        float total = inputs[0][i];
        for (int j = 1; j < count; j++) {
            total += inputs[j][i];
        }
        out[i] = activate(total, activation);
    }
}
//@ multiply: activate
/* Products of two maps, or of a map and one number per channel: then `channels` is not 0. */
static void multiply(const float *first, const float *second, int channels, float *out, int size, int activation)
{
    for (int i = 0; i < size; i++) {
        out[i] = activate(first[i] * second[channels ? i % channels : i], activation);
    }
}
//@ concatenate
/* One part of a concatenation: `channels` of the `out_channels` of every pixel. */
static void concatenate(const float *in, int channels, float *out, int out_channels, int pixels)
{
    for (int i = 0; i < pixels; i++) {
        for (int j = 0; j < channels; j++) {
            out[i * out_channels + j] = in[i * channels + j];
        }
    }
}
//@ leave
static void leave(const float *values, int size, float *reals)
{
    for (int i = 0; i < size; i++) {
        reals[i] = values[i];
    }
}
