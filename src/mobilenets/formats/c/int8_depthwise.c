//@ depthwise: store window
/* The bias holds what the input's zero point adds in a whole window; where rows or columns are missing, a row of
   in_zero stands for them. */
static void taps(const struct layer *layer, const uint8_t *in, int y, int x, const uint8_t *none, const uint8_t **tap)
{
    const int row = y * layer->stride - layer->top, column = x * layer->stride - layer->left;
    const int kernel = layer->kernel, width = layer->in_width, height = layer->in_height, channels = layer->in_channels;
    if (row >= 0 && column >= 0 && row + kernel <= height && column + kernel <= width) {
        const uint8_t *line = in + (row * width + column) * channels;
        for (int i = 0; i < kernel; i++, line += width * channels) {
            const uint8_t *pixel = line;
            for (const uint8_t **const end = tap + kernel; tap < end; pixel += channels) {
                *tap++ = pixel;
            }
        }
        return;
    }
    for (int i = row; i < row + kernel; i++) {
        for (int j = column; j < column + kernel; j++) {
            const int inside = i >= 0 && i < height && j >= 0 && j < width;
            *tap++ = inside ? in + (i * width + j) * channels : none;
        }
    }
}

/* The beginning of both kinds: a pixel of in_zero. Returns where scratch goes on. */
static uint8_t *pixel_of_zeros(const struct layer *layer, uint8_t *none)
{
    for (int channel = 0; channel < layer->in_channels; channel++) {
        none[channel] = (uint8_t)layer->in_zero;
    }
    return none + (layer->in_channels + 3) / 4 * 4;
}
#ifdef HELIUM
/* Every eight channels of one pixel; whole eights only. Products are made of channels 0, 2, 4, 6 and of 1, 3, 5, 7. */
static void eights(const struct layer *layer, const uint8_t *const *const taps, uint8_t *bytes)
{
    const struct result result = result_of(layer);
    const int channels = layer->in_channels, window = layer->kernel * layer->kernel;
    for (int channel = 0; channel + 8 <= channels; channel += 8) {
        const int32x4x2_t bias = vld2q_s32(layer->bias + channel);
        const float32x4x2_t multipliers = vld2q_f32(layer->multiplier + channel);
        const int8_t *weight = layer->weight + channel;
        int32x4_t even = bias.val[0], odd = bias.val[1];
        for (const uint8_t *const *tap = taps; tap < taps + window; tap++, weight += channels) {
            const int16x8_t values = vreinterpretq_s16_u16(vldrbq_u16(*tap + channel)), factors = vldrbq_s16(weight);
            even = vaddq_s32(even, vmullbq_int_s16(values, factors));
            odd = vaddq_s32(odd, vmulltq_int_s16(values, factors));
        }
        const uint32x4_t first = to_outputs(result, even, multipliers.val[0]);
        const uint32x4_t second = to_outputs(result, odd, multipliers.val[1]);
        vstrbq_u16(bytes + channel, vreinterpretq_u16_u32(vorrq_u32(first, vshlq_n_u32(second, 16))));
    }
}
#elif defined(SIGNAL_PROCESSING)
/* One tap of four channels: bytes 0 and 2, and bytes 1 and 3, are spread to 16 bits. */
#define TAP \
    "ldr %[x], [%[tap]], #4\n\t" \
    "ldr %[x], [%[x], %[channel]]\n\t" \
    "ldrd %[v], %[w], [%[weight]], #8\n\t" \
    "uxtb16 %[y], %[x]\n\t" \
    "uxtb16 %[x], %[x], ror #8\n\t" \
    "smlabb %[a], %[y], %[v], %[a]\n\t" \
    "smlabb %[b], %[x], %[w], %[b]\n\t" \
    "smlatt %[c], %[y], %[v], %[c]\n\t" \
    "smlatt %[d], %[x], %[w], %[d]\n\t"

#define SUMS \
    [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [weight] "+r"(weight), [tap] "+r"(tap), [v] "=&r"(v), \
        [w] "=&r"(w), [x] "=&r"(x), [y] "=&r"(y)

/* Every four channels of one pixel; whole fours only. */
APART void fours(const struct layer *layer, const uint8_t *const *const taps, const uint32_t *weight, uint8_t *bytes,
                 float *reals)
{
    const struct result result = result_of(layer);
    const uint8_t *const *const end = taps + layer->kernel * layer->kernel;
    const int every = bytes && every_byte(result), last = layer->in_channels - 3;
    const int32_t *bias = layer->bias;
    const float *multiplier = layer->multiplier;
    for (int channel = 0; channel < last; channel += 4, bias += 4, multiplier += 4) {
        const uint8_t *const *tap = taps;
        uint32_t a = (uint32_t)bias[0], b = (uint32_t)bias[1], c = (uint32_t)bias[2], d = (uint32_t)bias[3];
        uint32_t v, w, x, y;
        if (end - taps == 9) {
            __asm__ volatile(TAP TAP TAP TAP TAP TAP TAP TAP TAP : SUMS : [channel] "r"(channel) : "memory");
        } else {
            while (tap < end) {
                __asm__ volatile(TAP : SUMS : [channel] "r"(channel) : "memory");
            }
        }
        if (every) {
            bytes[channel] = to_any_byte(result.zero, a, multiplier[0]);
            bytes[channel + 1] = to_any_byte(result.zero, b, multiplier[1]);
            bytes[channel + 2] = to_any_byte(result.zero, c, multiplier[2]);
            bytes[channel + 3] = to_any_byte(result.zero, d, multiplier[3]);
            continue;
        }
        store(layer, a, multiplier[0], bytes, reals, channel);
        store(layer, b, multiplier[1], bytes, reals, channel + 1);
        store(layer, c, multiplier[2], bytes, reals, channel + 2);
        store(layer, d, multiplier[3], bytes, reals, channel + 3);
    }
}

/* Weights (window, channels) as (channels / 4, window, 2) words: channels 0 and 2, 1 and 3. */
static void spread_weights(const struct layer *layer, int window, uint32_t *words)
{
    for (int channel = 0; channel + 4 <= layer->in_channels; channel += 4) {
        const int8_t *weight = layer->weight + channel;
        for (int i = 0; i < window; i++, weight += layer->in_channels) {
            *words++ = (uint16_t)weight[0] | (uint32_t)weight[2] << 16;
            *words++ = (uint16_t)weight[1] | (uint32_t)weight[3] << 16;
        }
    }
}
#endif

static void depthwise(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch)
{
    const int channels = layer->in_channels, window = layer->kernel * layer->kernel;
    const uint8_t **tap = scratch;
    uint8_t *none = (uint8_t *)(tap + window);
#ifdef SIGNAL_PROCESSING
    uint32_t *words = (uint32_t *)pixel_of_zeros(layer, none);
    spread_weights(layer, window, words);
#else
    pixel_of_zeros(layer, none);
#endif
    const struct result result = result_of(layer);
    int index = 0;
    for (int y = 0; y < layer->out_height; y++) {
        for (int x = 0; x < layer->out_width; x++) {
            int channel = 0;
            taps(layer, in, y, x, none, tap);
#ifdef HELIUM
            if (bytes) {
                eights(layer, tap, bytes + index);
                channel = channels / 8 * 8, index += channel;
            }
#elif defined(SIGNAL_PROCESSING)
            fours(layer, tap, words, bytes ? bytes + index : 0, reals ? reals + index : 0);
            channel = channels / 4 * 4, index += channel;
#endif
            for (; channel < channels; channel++, index++) {
                const int8_t *factor = layer->weight + channel;
                uint32_t sum = (uint32_t)layer->bias[channel];
                for (const uint8_t *const *one = tap; one < tap + window; one++, factor += channels) {
                    sum += (uint32_t)((*one)[channel] * *factor);
                }
                if (bytes) {
                    bytes[index] = to_output(result, sum, layer->multiplier[channel]);
                } else {
                    store(layer, sum, layer->multiplier[channel], bytes, reals, index);
                }
            }
        }
    }
}
