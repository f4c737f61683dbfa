//@ patch: window processor
INLINE void copy_bytes(const uint8_t *from, uint8_t *to, int count)
{
#ifdef HELIUM
    for (; count > 0; count -= 16, from += 16, to += 16) {
        const mve_pred16_t some = vctp8q((unsigned)count);
        vstrbq_p_u8(to, vldrbq_z_u8(from, some), some);
    }
#else
    for (int i = 0; i < count; i++) {
        to[i] = from[i];
    }
#endif
}

/* What one output pixel reads, as one row of bytes: `kernel` rows of `kernel` pixels, in_zero where there is no pixel. */
static void gather(const struct layer *layer, const uint8_t *in, int y, int x, uint8_t *patch)
{
    const int depth = layer->in_channels, kernel = layer->kernel;
    const int row = y * layer->stride - layer->top, column = x * layer->stride - layer->left;
    const int begin = window_begin(column), end = window_end(column, kernel, layer->in_width);
    for (int i = 0; i < kernel; i++) {
        const int outside = row + i < 0 || row + i >= layer->in_height;
        const int first = outside ? kernel : begin, last = outside ? kernel : end;
        if (first > 0 || last < kernel) {
            for (int j = 0; j < kernel * depth; j++) {
                patch[j] = (uint8_t)layer->in_zero;
            }
        }
        if (!outside) {
            const uint8_t *values = in + ((row + i) * layer->in_width + column + first) * depth;
            copy_bytes(values, patch + first * depth, (last - first) * depth);
        }
        patch += kernel * depth;
    }
}
/* The values that an output pixel reads: those of the map where they lie side by side, or gathered into `patch`. */
static const uint8_t *patch_of(const struct layer *layer, const uint8_t *in, int pixel, uint8_t *patch)
{
    if (layer->kernel == 1) {
        return in + pixel * layer->in_channels;
    }
    gather(layer, in, pixel / layer->out_width, pixel % layer->out_width, patch);
    return patch;
}
//@ convolution: patch store
/* A convolution is a product of matrices: a patch of the map by a row of weights for each output value. Rows are
   `row_bytes` long, their ends filled with 128, and weights are bytes from 0: what they are too large by, 128 and their
   own zero point, times the sum of the patch is taken off again. The bias holds what the input's zero point adds. */
#ifdef HELIUM
/* Vectors of 16 bytes, of three patches in turn: values[i / 16][j][i % 16], zeros behind the last. */
INLINE uint32_t copy_patch(const uint8_t *from, int count, uint8_t *values)
{
    uint32_t total = 0;
    for (; count > 0; count -= 16, from += 16, values += 48) {
        const uint8x16_t vector = vldrbq_z_u8(from, vctp8q((unsigned)count));
        total = vaddvaq_u8(total, vector);
        vstrbq_u8(values, vector);
    }
    return total;
}

/* sums[j][channel] of the three patches, two channels at a time. */
APART void three_sums(const struct layer *layer, const uint8_t *values, const uint8_t *end, uint32_t *sums)
{
    const int channels = layer->out_channels, row = layer->row_bytes;
    const uint8_t *weight = layer->rows;
    uint32_t *const last = sums + channels;
    for (; sums + 1 < last; sums += 2, weight += 2 * row) {
        const uint8_t *factor = weight, *other = weight + row;
        uint32_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
        for (const uint8_t *value = values; value < end; value += 48, factor += 16, other += 16) {
            const uint8x16_t factors = vldrbq_u8(factor), others = vldrbq_u8(other);
            const uint8x16_t first = vldrbq_u8(value), second = vldrbq_u8(value + 16), third = vldrbq_u8(value + 32);
            a = vmladavaq_u8(a, factors, first);
            b = vmladavaq_u8(b, factors, second);
            c = vmladavaq_u8(c, factors, third);
            d = vmladavaq_u8(d, others, first);
            e = vmladavaq_u8(e, others, second);
            f = vmladavaq_u8(f, others, third);
        }
        sums[0] = a, sums[1] = d;
        sums[channels] = b, sums[channels + 1] = e;
        sums[2 * channels] = c, sums[2 * channels + 1] = f;
    }
    if (sums < last) {
        uint32_t a = 0, b = 0, c = 0;
        for (const uint8_t *value = values; value < end; value += 48, weight += 16) {
            const uint8x16_t factors = vldrbq_u8(weight);
            a = vmladavaq_u8(a, factors, vldrbq_u8(value));
            b = vmladavaq_u8(b, factors, vldrbq_u8(value + 16));
            c = vmladavaq_u8(c, factors, vldrbq_u8(value + 32));
        }
        sums[0] = a, sums[channels] = b, sums[2 * channels] = c;
    }
}

/* All output channels of one pixel. */
APART void finish(const struct layer *layer, const uint32_t *sums, uint32_t total, uint8_t *bytes, float *reals)
{
    const struct result result = result_of(layer);
    const int8_t *zeros = layer->weight_zero;
    const int channels = layer->out_channels;
    const uint32_t excess = 128 * total;
    int channel = 0;
    if (bytes && !zeros) {
        const int32_t *bias = layer->bias;
        const float *multiplier = layer->multiplier;
        const uint32_t *sum = sums;
        uint8_t *byte = bytes;
        for (int fours = channels / 4; fours > 0; fours--, bias += 4, multiplier += 4, sum += 4, byte += 4) {
            const int32x4_t begin = vsubq_n_s32(vldrwq_s32(bias), (int32_t)excess);
            const int32x4_t values = vaddq_s32(vreinterpretq_s32_u32(vldrwq_u32(sum)), begin);
            vstrbq_u32(byte, to_outputs(result, values, vldrwq_f32(multiplier)));
        }
        channel = channels / 4 * 4;
    }
    for (; channel < channels; channel++) {
        const uint32_t zero = zeros ? total * (uint32_t)zeros[channel] : 0;
        const uint32_t sum = sums[channel] + (uint32_t)layer->bias[channel] - excess - zero;
        store(layer, sum, layer->multiplier[channel], bytes, reals, channel);
    }
}

static void convolution(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch)
{
    const int count = layer->kernel * layer->kernel * layer->in_channels, channels = layer->out_channels;
    const int pixels = layer->out_height * layer->out_width;
    uint8_t *const values = scratch, *const patch = values + (count + 15) / 16 * 48;
    uint32_t *const sums = (uint32_t *)patch; /* made after the patches have been read */
    for (int pixel = 0; pixel < pixels; pixel += 3) {
        const int ready = pixels - pixel < 3 ? pixels - pixel : 3;
        uint32_t totals[3];
        for (int j = 0; j < ready; j++) {
            const uint8_t *source = patch_of(layer, in, pixel + j, patch);
            totals[j] = copy_patch(source, count, values + 16 * j);
        }
        three_sums(layer, values, patch, sums);
        for (int j = 0; j < ready; j++) {
            const int index = (pixel + j) * channels;
            finish(layer, sums + j * channels, totals[j], bytes ? bytes + index : 0, reals ? reals + index : 0);
        }
    }
}
#elif defined(SIGNAL_PROCESSING)
/* Armv7E-M: two products in one instruction, of bytes that are spread out to 16 bits. Four pixels share the spreading
   of a weight. */

/* Spread one patch: of every four values, pixel `place` of a block has the words 2 * place and 2 * place + 1 of eight.
   Returns the sum of the values. */
static uint32_t spread(const uint8_t *values, int count, int row, uint32_t *block, int place)
{
    uint32_t sum = 0, word, even, odd;
    block += 2 * place;
    for (const uint8_t *const end = values + row, *const whole = values + count - 3; values < end; values += 4, block += 8) {
        if (values < whole) {
            __builtin_memcpy(&word, values, 4);
        } else { /* the end of the row: what is left, and zeros */
            word = 0;
            for (int i = 0; values + i < whole + 3; i++) {
                word |= (uint32_t)values[i] << 8 * i;
            }
        }
        __asm__("uxtb16 %0, %1" : "=r"(even) : "r"(word));
        __asm__("uxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(word));
        __asm__("usada8 %0, %1, %2, %0" : "+r"(sum) : "r"(word), "r"(0));
        block[0] = even;
        block[1] = odd;
    }
    return sum;
}

struct block {
    const uint32_t *begin, *end; /* four patches, spread */
    uint32_t totals[4];          /* of their values, times -128 */
    uint32_t sums[4];            /* of a row of weights with each */
};

/* Four weights by four values of each patch. */
#define FOUR_BY_FOUR \
    "ldr r4, [%[weight]], #4\n\t" \
    "ldmia %[values]!, {r5, r6, r8, r9}\n\t" \
    "uxtb16 r10, r4\n\t" \
    "uxtb16 r4, r4, ror #8\n\t" \
    "smlad %[a], r5, r10, %[a]\n\t" \
    "smlad %[a], r6, r4, %[a]\n\t" \
    "smlad %[b], r8, r10, %[b]\n\t" \
    "smlad %[b], r9, r4, %[b]\n\t" \
    "ldmia %[values]!, {r5, r6, r8, r9}\n\t" \
    "smlad %[c], r5, r10, %[c]\n\t" \
    "smlad %[c], r6, r4, %[c]\n\t" \
    "smlad %[d], r8, r10, %[d]\n\t" \
    "smlad %[d], r9, r4, %[d]\n\t"

/* The bias, and the products of one row of weights with the four patches. Returns the next row. */
APART const uint8_t *four_products(const uint8_t *weight, struct block *block, uint32_t bias)
{
    const uint32_t *values = block->begin, *end = block->end;
    uint32_t a = block->totals[0] + bias, b = block->totals[1] + bias, c = block->totals[2] + bias;
    uint32_t d = block->totals[3] + bias;
    __asm__ volatile("1:\n\t" FOUR_BY_FOUR FOUR_BY_FOUR "cmp %[values], %[end]\n\tbne 1b"
                     : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [weight] "+r"(weight), [values] "+r"(values)
                     : [end] "r"(end)
                     : "r4", "r5", "r6", "r8", "r9", "r10", "cc", "memory");
    block->sums[0] = a, block->sums[1] = b, block->sums[2] = c, block->sums[3] = d;
    return weight;
}

/* One output channel of four pixels after the other. */
APART void every_row(const struct layer *layer, struct block *block, uint8_t *bytes)
{
    const int channels = layer->out_channels;
    const struct result result = result_of(layer);
    const uint8_t *weight = layer->rows, *const last = bytes + channels;
    const int32_t *bias = layer->bias;
    const float *multipliers = layer->multiplier;
    if (every_byte(result)) {
        while (bytes < last) {
            weight = four_products(weight, block, (uint32_t)*bias++);
            const float multiplier = *multipliers++;
            uint8_t *byte = bytes++;
            *byte = to_any_byte(result.zero, block->sums[0], multiplier);
            byte += channels;
            *byte = to_any_byte(result.zero, block->sums[1], multiplier);
            byte += channels;
            *byte = to_any_byte(result.zero, block->sums[2], multiplier);
            byte += channels;
            *byte = to_any_byte(result.zero, block->sums[3], multiplier);
        }
    }
    for (; bytes < last; bytes++) {
        weight = four_products(weight, block, (uint32_t)*bias++);
        const float multiplier = *multipliers++;
        for (int j = 0; j < 4; j++) {
            bytes[j * channels] = to_output(result, block->sums[j], multiplier);
        }
    }
}

static void convolution(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch)
{
    const int count = layer->kernel * layer->kernel * layer->in_channels, row = layer->row_bytes;
    const int pixels = layer->out_height * layer->out_width, channels = layer->out_channels;
    uint32_t *spreads = scratch;
    uint8_t *patch = (uint8_t *)(spreads + 2 * row);
    struct block block = {spreads, spreads + 2 * row, {0}, {0}};
    for (int pixel = 0; pixel < pixels; pixel += 4) {
        const int ready = pixels - pixel < 4 ? pixels - pixel : 4;
        for (int j = 0; j < ready; j++) {
            const uint8_t *values = patch_of(layer, in, pixel + j, patch);
            block.totals[j] = 0u - 128 * spread(values, count, row, spreads, j);
        }
        if (bytes && ready == 4 && !layer->weight_zero) {
            every_row(layer, &block, bytes + pixel * channels);
            continue;
        }
        for (int channel = 0; channel < channels; channel++) {
            four_products(layer->rows + channel * row, &block, (uint32_t)layer->bias[channel]);
            for (int j = 0; j < ready; j++) {
                uint32_t sum = block.sums[j];
                if (layer->weight_zero) { /* totals are multiples of 128, and -128 / 128 loses nothing */
                    sum += (uint32_t)((int32_t)block.totals[j] / 128 * layer->weight_zero[channel]);
                }
                store(layer, sum, layer->multiplier[channel], bytes, reals, (pixel + j) * channels + channel);
            }
        }
    }
}
#else
/* Four pixels share the reading of a weight: of every value of their patches, the four lie side by side. */
struct block {
    const uint8_t *begin, *end; /* values */
    uint32_t totals[4];         /* of the values of each */
    uint32_t sums[4];           /* of the products with a row of weights */
};

#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1
/* Armv6-M has eight registers for this: compilers, which read ahead, spill them. */
#define ONE(value, sum) \
    "ldrb %[x], [%[values], #" value "]\n\tmuls %[x], %[w]\n\tadds %[" sum "], %[" sum "], %[x]\n\t"
#define FOUR(i, v0, v1, v2, v3) \
    "ldrb %[w], [%[weight], #" i "]\n\t" ONE(v0, "a") ONE(v1, "b") ONE(v2, "c") ONE(v3, "d")
#define EIGHT_FOURS \
    __asm__ volatile(".syntax unified\n\t" /* as the compiler's own */ \
                     FOUR("0", "0", "1", "2", "3") FOUR("1", "4", "5", "6", "7") FOUR("2", "8", "9", "10", "11") \
                     FOUR("3", "12", "13", "14", "15") FOUR("4", "16", "17", "18", "19") \
                     FOUR("5", "20", "21", "22", "23") FOUR("6", "24", "25", "26", "27") \
                     FOUR("7", "28", "29", "30", "31") \
                     : [a] "+l"(a), [b] "+l"(b), [c] "+l"(c), [d] "+l"(d), [w] "=&l"(w), [x] "=&l"(x) \
                     : [weight] "l"(weight), [values] "l"(values) \
                     : "cc", "memory")
#else
#define FOUR(i) \
    w = weight[i], a += values[4 * i] * w, b += values[4 * i + 1] * w, c += values[4 * i + 2] * w, \
    d += values[4 * i + 3] * w
#define EIGHT_FOURS x = 0, FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6), FOUR(7), (void)x
#endif

/* Rows are multiples of eight. */
APART void four_products(const uint8_t *weight, struct block *block)
{
    uint32_t a = 0, b = 0, c = 0, d = 0, w, x;
    for (const uint8_t *values = block->begin, *const end = block->end; values < end; values += 32, weight += 8) {
        EIGHT_FOURS;
    }
    block->sums[0] = a, block->sums[1] = b, block->sums[2] = c, block->sums[3] = d;
}

static void convolution(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch)
{
    const int count = layer->kernel * layer->kernel * layer->in_channels, row = layer->row_bytes;
    const int pixels = layer->out_height * layer->out_width, channels = layer->out_channels;
    const struct result result = result_of(layer);
    uint8_t *const values = scratch, *const patch = values + 4 * row;
    struct block block = {values, patch, {0}, {0}};
    for (int i = 0; i < 4 * row; i++) {
        values[i] = 0;
    }
    for (int pixel = 0; pixel < pixels; pixel += 4) {
        const int ready = pixels - pixel < 4 ? pixels - pixel : 4;
        for (int j = 0; j < ready; j++) {
            const uint8_t *source = patch_of(layer, in, pixel + j, patch);
            uint32_t total = 0;
            uint8_t *value = values + j;
            for (const uint8_t *const end = source + count; source < end; source++, value += 4) {
                total += *value = *source;
            }
            block.totals[j] = total;
        }
        const uint8_t *weight = layer->rows;
        for (int channel = 0; channel < channels; channel++, weight += row) {
            const uint32_t excess = 128u + (uint32_t)(layer->weight_zero ? layer->weight_zero[channel] : 0);
            const uint32_t bias = (uint32_t)layer->bias[channel];
            const float multiplier = layer->multiplier[channel];
            four_products(weight, &block);
            for (int j = 0, index = pixel * channels + channel; j < ready; j++, index += channels) {
                const uint32_t sum = bias - excess * block.totals[j] + block.sums[j];
                if (bytes) {
                    bytes[index] = to_output(result, sum, multiplier);
                } else {
                    store(layer, sum, multiplier, 0, reals, index);
                }
            }
        }
    }
}
#endif
