//@ patch: window processor
INLINE void copy_bytes(const uint8_t *from, uint8_t *to, int count)
{
#ifdef HELIUM
    __asm__ volatile("wlstp.8 lr, %[count], 2f\n\t"
                     "1:\n\tvldrb.u8 q0, [%[from]], #16\n\tvstrb.8 q0, [%[to]], #16\n\tletp lr, 1b\n\t2:"
                     : [from] "+r"(from), [to] "+r"(to)
                     : [count] "r"(count)
                     : "q0", "lr", "memory");
#else
#ifdef SIGNAL_PROCESSING
    for (; count > 7; count -= 8, from += 8, to += 8) { /* words need no alignment */
        __builtin_memcpy(to, from, 4);
        __builtin_memcpy(to + 4, from + 4, 4);
    }
#endif
    for (int i = 0; i < count; i++) {
        to[i] = from[i];
    }
#endif
}

/* What one output pixel reads, as one row of bytes: `kernel` rows of `kernel` pixels, in_zero where there is no pixel. */
static void gather(const struct layer *layer, const uint8_t *in, int y, int x, uint8_t *patch)
{
    const int depth = layer->in_channels, kernel = layer->kernel, line = layer->in_width * depth;
    const int row = y * layer->stride - layer->top, column = x * layer->stride - layer->left;
    const int begin = window_begin(column), end = window_end(column, kernel, layer->in_width);
    const int all = kernel * depth;
    if (row >= 0 && row + kernel <= layer->in_height && begin == 0 && end == kernel) {
        const uint8_t *values = in + row * line + column * depth;
        for (const uint8_t *const last = patch + kernel * all; patch < last; patch += all, values += line) {
            copy_bytes(values, patch, all);
        }
        return;
    }
    for (int i = row; i < row + kernel; i++, patch += all) {
        for (int j = 0; j < all; j++) {
            patch[j] = (uint8_t)layer->in_zero;
        }
        if (i >= 0 && i < layer->in_height) {
            copy_bytes(in + i * line + (column + begin) * depth, patch + begin * depth, (end - begin) * depth);
        }
    }
}
//@ convolution: patch store
/* A convolution is a product of matrices: a patch of the map by a row of weights for each output value. Rows are
   `row_bytes` long, their ends filled with 128, and weights are bytes from 0: what they are too large by, 128 and their
   own zero point, times the sum of the patch is taken off again. The bias holds what the input's zero point adds. */
#ifdef HELIUM
/* Vectors of 16 bytes, of three patches in turn: values[i / 16][j][i % 16]. Nothing is written behind the last value.
   Returns the sum of the values. */
INLINE uint32_t copy_patch(const uint8_t *from, int count, uint8_t *values)
{
    uint32_t total = 0;
    __asm__ volatile("wlstp.8 lr, %[count], 2f\n\t"
                     "1:\n\tvldrb.u8 q0, [%[from]], #16\n\tvaddva.u8 %[total], q0\n\t"
                     "vstrb.8 q0, [%[values]], #48\n\tletp lr, 1b\n\t2:"
                     : [from] "+r"(from), [values] "+r"(values), [total] "+Te"(total)
                     : [count] "r"(count)
                     : "q0", "lr", "memory");
    return total;
}

/* A patch that lies inside the map, of rows that are no longer than a vector: what is written behind one is overwritten
   by the next. */
INLINE void gather_inside(const struct layer *layer, const uint8_t *from, int line, uint8_t *patch)
{
    __asm__ volatile("vctp.8 %[row]\n\tdls lr, %[kernel]\n\t"
                     "1:\n\tvpst\n\tvldrbt.u8 q0, [%[from]]\n\tadd %[from], %[line]\n\t"
                     "vstrb.8 q0, [%[patch]]\n\tadd %[patch], %[row]\n\tle lr, 1b"
                     : [from] "+r"(from), [patch] "+r"(patch)
                     : [row] "r"(layer->kernel * layer->in_channels), [line] "r"(line), [kernel] "r"(layer->kernel)
                     : "q0", "lr", "cc", "memory");
}

/* The patches of `ready` pixels, and what their values add to sums by weights being too large by 128, less than 0. */
APART void copy_patches(const struct layer *layer, const uint8_t *in, int pixel, int ready, uint8_t *values,
                        int32_t *excess, uint8_t *patch)
{
    const int kernel = layer->kernel, depth = layer->in_channels, count = kernel * kernel * depth;
    if (kernel == 1) {
        const uint8_t *source = in + pixel * count;
        for (int32_t *const end = excess + ready; excess < end; source += count, values += 16) {
            *excess++ = (int32_t)(0u - 128 * copy_patch(source, count, values));
        }
        return;
    }
    const int stride = layer->stride, line = layer->in_width * depth, width = layer->out_width;
    int y = pixel / width, x = pixel % width;
    for (int32_t *const end = excess + ready; excess < end; values += 16) {
        const int row = y * stride - layer->top, column = x * stride - layer->left;
        if (kernel * depth <= 16 && row >= 0 && column >= 0 && row + kernel <= layer->in_height &&
            column + kernel <= layer->in_width) {
            gather_inside(layer, in + row * line + column * depth, line, patch);
        } else {
            gather(layer, in, y, x, patch);
        }
        *excess++ = (int32_t)(0u - 128 * copy_patch(patch, count, values));
        if (++x == width) {
            x = 0, y++;
        }
    }
}

/* Two rows of weights by 16 values of three patches. */
#define SIX_PRODUCTS(a, one, two, three) \
    "vmladav" a ".u8 r0, q0, " one "\n\tvmladav" a ".u8 r2, q1, " one "\n\t" \
    "vmladav" a ".u8 r4, q0, " two "\n\tvmladav" a ".u8 r6, q1, " two "\n\t" \
    "vmladav" a ".u8 r8, q0, " three "\n\tvmladav" a ".u8 r10, q1, " three "\n\t"
#define EVEN_REGISTERS "r0", "r2", "r4", "r6", "r8", "r10", "lr", "cc", "memory"

/* Sums of the three patches: of every two output channels six numbers, those of the first patch first. */
APART void three_sums(const uint8_t *weight, int row, const uint8_t *values, int vectors, uint32_t *sums, int pairs)
{
    if (vectors == 1) { /* values stay in registers */
        __asm__ volatile("vldrb.u8 q2, [%[values]]\n\tvldrb.u8 q3, [%[values], #16]\n\tvldrb.u8 q4, [%[values], #32]\n\t"
                         "dls lr, %[pairs]\n\t"
                         "1:\n\tvldrb.u8 q0, [%[weight]]\n\tadd %[weight], %[row]\n\t"
                         "vldrb.u8 q1, [%[weight]]\n\tadd %[weight], %[row]\n\t"
                         SIX_PRODUCTS("", "q2", "q3", "q4")
                         "stmia %[sums]!, {r0, r2, r4, r6, r8, r10}\n\tle lr, 1b"
                         : [weight] "+r"(weight), [sums] "+r"(sums)
                         : [row] "r"(row), [values] "r"(values), [pairs] "r"(pairs)
                         : "q0", "q1", "q2", "q3", "q4", EVEN_REGISTERS);
    } else if (vectors == 2) {
        __asm__ volatile("vldrb.u8 q2, [%[values]]\n\tvldrb.u8 q3, [%[values], #16]\n\tvldrb.u8 q4, [%[values], #32]\n\t"
                         "vldrb.u8 q5, [%[values], #48]\n\tvldrb.u8 q6, [%[values], #64]\n\t"
                         "vldrb.u8 q7, [%[values], #80]\n\tdls lr, %[pairs]\n\t"
                         "1:\n\tadd r10, %[weight], %[row]\n\t"
                         "vldrb.u8 q0, [%[weight]]\n\tvldrb.u8 q1, [r10]\n\t"
                         SIX_PRODUCTS("", "q2", "q3", "q4")
                         "vldrb.u8 q0, [%[weight], #16]\n\tadd %[weight], %[row]\n\tvldrb.u8 q1, [%[weight], #16]\n\t"
                         "add %[weight], %[row]\n\t"
                         SIX_PRODUCTS("a", "q5", "q6", "q7")
                         "stmia %[sums]!, {r0, r2, r4, r6, r8, r10}\n\tle lr, 1b"
                         : [weight] "+r"(weight), [sums] "+r"(sums)
                         : [row] "r"(row), [values] "r"(values), [pairs] "r"(pairs)
                         : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", EVEN_REGISTERS);
    } else {
        const uint32_t *const end = sums + 6 * pairs;
        const uint8_t *first, *second, *value;
        __asm__ volatile("2:\n\tldr r0, %[row]\n\tmov %[first], %[weight]\n\tadd %[second], %[weight], r0\n\t"
                         "add %[weight], %[second], r0\n\tldr %[value], %[values]\n\t"
                         "vldrb.u8 q0, [%[first]], #16\n\tvldrb.u8 q1, [%[second]], #16\n\t"
                         "vldrb.u8 q2, [%[value]], #16\n\tvldrb.u8 q3, [%[value]], #16\n\tvldrb.u8 q4, [%[value]], #16\n\t"
                         SIX_PRODUCTS("", "q2", "q3", "q4")
                         "dls lr, %[more]\n\t"
                         "1:\n\tvldrb.u8 q0, [%[first]], #16\n\tvldrb.u8 q1, [%[second]], #16\n\t"
                         "vldrb.u8 q2, [%[value]], #16\n\tvldrb.u8 q3, [%[value]], #16\n\tvldrb.u8 q4, [%[value]], #16\n\t"
                         SIX_PRODUCTS("a", "q2", "q3", "q4")
                         "le lr, 1b\n\t"
                         "stmia %[sums]!, {r0, r2, r4, r6, r8, r10}\n\tldr r0, %[end]\n\tcmp %[sums], r0\n\tbne 2b"
                         : [weight] "+r"(weight), [sums] "+r"(sums), [first] "=&r"(first), [second] "=&r"(second),
                           [value] "=&r"(value)
                         : [row] "m"(row), [values] "m"(values), [more] "r"(vectors - 1), [end] "m"(end)
                         : "q0", "q1", "q2", "q3", "q4", EVEN_REGISTERS);
    }
}

/* Four results: sums and what is added to them are read by vectors of addresses. */
#define FOUR_RESULTS(to, sums_at, bias_at, multiplier_at) \
    "vldrw.u32 " to ", [%q[sums], " sums_at "\n\tvldrw.u32 q4, [%q[bias], " bias_at "\n\t" \
    "vadd.i32 " to ", " to ", q4\n\tvadd.i32 " to ", " to ", r0\n\tvcvt.f32.s32 " to ", " to "\n\t" \
    "vldrw.u32 q4, [%q[multiplier], " multiplier_at "\n\tvmul.f32 " to ", " to ", q4\n\tvcvtn.s32.f32 " to ", " to "\n\t"

/* Every 16 output channels of `ready` pixels. */
APART void finish_sixteens(const struct layer *layer, const uint32_t *sums, const int32_t *excess, int ready,
                           uint8_t *bytes)
{
    const int channels = layer->out_channels, zero = layer->out_zero, low = layer->least + zero;
    const uint32x4_t fourth = vmulq_n_u32(vidupq_n_u32(0, 4), 4);
    uint32x4_t sums_at = vaddq_n_u32(vmulq_n_u32(fourth, 3), (uint32_t)(uintptr_t)sums);
    uint32x4_t bias_at = vaddq_n_u32(fourth, (uint32_t)(uintptr_t)layer->bias);
    uint32x4_t multiplier_at = vaddq_n_u32(fourth, (uint32_t)(uintptr_t)layer->multiplier);
    for (const uint8_t *const end = bytes + channels / 16 * 16; bytes < end; bytes += 16) {
        uint8_t *byte = bytes;
        const int32_t *less = excess;
        __asm__ volatile("dls lr, %[ready]\n\t1:\n\tldr r0, [%[less]], #4\n\t"
                         FOUR_RESULTS("q0", "#0]", "#0]", "#0]")
                         FOUR_RESULTS("q1", "#4]", "#4]", "#4]")
                         FOUR_RESULTS("q2", "#24]", "#8]", "#8]")
                         FOUR_RESULTS("q3", "#28]", "#12]", "#12]")
                         "vqmovnb.s32 q0, q0\n\tvqmovnt.s32 q0, q2\n\tvqmovnb.s32 q1, q1\n\tvqmovnt.s32 q1, q3\n\t"
                         "vldrw.u32 q4, [%q[sums], #8]!\n\t" /* for the address */
                         "vqadd.s16 q0, q0, %[zero]\n\tvqadd.s16 q1, q1, %[zero]\n\t"
                         "vqmovunb.s16 q0, q0\n\tvqmovunt.s16 q0, q1\n\t"
                         "vdup.8 q4, %[high]\n\tvmin.u8 q0, q0, q4\n\tvdup.8 q4, %[low]\n\tvmax.u8 q0, q0, q4\n\t"
                         "vstrb.8 q0, [%[byte]]\n\tadd %[byte], %[channels]\n\tle lr, 1b"
                         : [byte] "+r"(byte), [less] "+r"(less), [sums] "+w"(sums_at)
                         : [bias] "w"(bias_at), [multiplier] "w"(multiplier_at), [ready] "r"(ready), [zero] "r"(zero),
                           [low] "r"(low), [high] "r"(layer->most + zero), [channels] "r"(channels)
                         : "r0", "q0", "q1", "q2", "q3", "q4", "lr", "memory");
        sums_at = vaddq_n_u32(sums_at, 192 - 8 * (uint32_t)ready);
        bias_at = vaddq_n_u32(bias_at, 64);
        multiplier_at = vaddq_n_u32(multiplier_at, 64);
    }
}

/* Every four output channels from one on: returns where they end. */
APART int finish_fours(const struct layer *layer, int channel, const uint32_t *sums, const int32_t *excess, int ready,
                       uint8_t *bytes)
{
    const struct result result = result_of(layer);
    const uint32x4_t at = vidupq_n_u32(0, 1), pairs = vaddq_u32(at, vmulq_n_u32(vshrq_n_u32(at, 1), 4));
    const int channels = layer->out_channels;
    for (; channel + 4 <= channels; channel += 4) {
        const uint32_t *sum = sums + 3 * channel;
        uint8_t *byte = bytes + channel;
        const int32x4_t bias = vldrwq_s32(layer->bias + channel);
        const float32x4_t multipliers = vldrwq_f32(layer->multiplier + channel);
        for (int j = 0; j < ready; j++, sum += 2, byte += channels) {
            const int32x4_t values = vreinterpretq_s32_u32(vldrwq_gather_shifted_offset_u32(sum, pairs));
            const int32x4_t whole = vaddq_s32(vaddq_n_s32(values, excess[j]), bias);
            vstrbq_u32(byte, to_outputs(result, whole, multipliers));
        }
    }
    return channel;
}

/* All output channels of `ready` pixels. */
static void finish(const struct layer *layer, const uint32_t *sums, const int32_t *excess, int ready, uint8_t *bytes,
                   float *reals)
{
    const int8_t *zeros = layer->weight_zero;
    const int channels = layer->out_channels;
    int begin = 0;
    if (bytes && !zeros) {
        if (!layer->table && channels >= 16) {
            finish_sixteens(layer, sums, excess, ready, bytes);
            begin = channels / 16 * 16;
        }
        if (begin < channels) {
            begin = finish_fours(layer, begin, sums, excess, ready, bytes);
        }
    }
    for (int channel = begin; channel < channels; channel++) {
        for (int j = 0; j < ready; j++) { /* excess is a multiple of 128, and dividing loses nothing */
            const uint32_t more = (uint32_t)excess[j] + (uint32_t)(zeros ? excess[j] / 128 * zeros[channel] : 0);
            const uint32_t sum = sums[channel / 2 * 6 + channel % 2 + 2 * j] + (uint32_t)layer->bias[channel];
            store(layer, sum + more, layer->multiplier[channel], bytes, reals, j * channels + channel);
        }
    }
}

static void convolution(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch)
{
    const int count = layer->kernel * layer->kernel * layer->in_channels, channels = layer->out_channels;
    const int pixels = layer->out_height * layer->out_width, vectors = (count + 15) / 16;
    uint8_t *const values = scratch, *const patch = values + vectors * 48;
    uint32_t *const sums = (uint32_t *)patch; /* made after the patches have been read */
    for (int i = 0; i < vectors * 48; i++) {
        values[i] = 0;
    }
    for (int pixel = 0; pixel < pixels; pixel += 3) {
        const int ready = pixels - pixel < 3 ? pixels - pixel : 3, index = pixel * channels;
        int32_t excess[3];
        copy_patches(layer, in, pixel, ready, values, excess, patch);
        three_sums(layer->rows, layer->row_bytes, values, vectors, sums, (channels + 1) / 2);
        finish(layer, sums, excess, ready, bytes ? bytes + index : 0, reals ? reals + index : 0);
    }
}
#elif defined(SIGNAL_PROCESSING)
/* Armv7E-M: two products in one instruction, of bytes that are spread out to 16 bits. Two rows of weights and three
   pixels share the spreading and the reading of each other. */

/* Eight values of a patch, spread: of every four, pixel j of three has words j and j + 3 of six. */
INLINE uint32_t *spread_eight(const uint8_t *values, uint32_t *block)
{
    uint32_t first, second, even;
    __builtin_memcpy(&first, values, 4);
    __builtin_memcpy(&second, values + 4, 4);
    __asm__("uxtb16 %0, %1" : "=r"(even) : "r"(first));
    __asm__("uxtb16 %0, %0, ror #8" : "+r"(first));
    block[0] = even, block[3] = first;
    __asm__("uxtb16 %0, %1" : "=r"(even) : "r"(second));
    __asm__("uxtb16 %0, %0, ror #8" : "+r"(second));
    block[6] = even, block[9] = second;
    return block + 12;
}

INLINE void spread(const uint8_t *values, int count, uint32_t *block)
{
    for (const uint8_t *const whole = values + count / 8 * 8; values < whole; values += 8) {
        block = spread_eight(values, block);
    }
    if (count % 8 > 0) {
        uint8_t rest[8] = {0};
        for (int i = 0; i < count % 8; i++) {
            rest[i] = values[i];
        }
        spread_eight(rest, block);
    }
}

/* The patches of `ready` pixels from `pixel` on, in blocks of three. */
APART void spread_pixels(const struct layer *layer, const uint8_t *in, int pixel, int ready, uint32_t *values,
                         uint8_t *patch)
{
    const int kernel = layer->kernel, depth = layer->in_channels, count = kernel * kernel * depth;
    const int block = layer->row_bytes / 2 * 3, width = layer->out_width;
    const uint8_t *source = in + pixel * depth;
    int y = pixel / width, x = pixel % width;
    const int line = layer->in_width * depth, all = kernel * depth;
    for (int place = 0; ready > 0; ready--) {
        if (kernel > 1) {
            const int row = y * layer->stride - layer->top, column = x * layer->stride - layer->left;
            if (row >= 0 && column >= 0 && row + kernel <= layer->in_height && column + kernel <= layer->in_width) {
                const uint8_t *from = in + row * line + column * depth;
                for (uint8_t *to = patch, *const end = patch + kernel * all; to < end; to += all, from += line) {
                    copy_bytes(from, to, all);
                }
            } else {
                gather(layer, in, y, x, patch);
            }
            source = patch;
            if (++x == width) {
                x = 0, y++;
            }
        }
        spread(source, count, values + place);
        source += count;
        if (++place == 3) {
            place = 0, values += block;
        }
    }
}

/* Two rows of weights, spread, two words of each in turn. */
APART void spread_rows(const uint8_t *weight, int row, int zero, int other_zero, uint32_t *words)
{
    uint32_t *const begin = words, *const end = words + row;
    __asm__ volatile("1:\n\tldr r4, [%[weight], %[row]]\n\tldr r3, [%[weight]], #4\n\t"
                     "eor r4, r4, #0x80808080\n\teor r3, r3, #0x80808080\n\t" /* signed again */
                     "sxtb16 r5, r3\n\tsxtb16 r6, r4\n\tsxtb16 r8, r3, ror #8\n\tsxtb16 r9, r4, ror #8\n\t"
                     "stmia %[words]!, {r5, r6, r8, r9}\n\tcmp %[words], %[end]\n\tbne 1b"
                     : [weight] "+r"(weight), [words] "+r"(words)
                     : [row] "r"(row), [end] "r"(end)
                     : "r3", "r4", "r5", "r6", "r8", "r9", "cc", "memory");
    if (zero | other_zero) {
        const uint32_t first = (uint16_t)zero * 0x10001u, second = (uint16_t)other_zero * 0x10001u;
        for (words = begin; words < end; words += 2) {
            __asm__("ssub16 %0, %0, %1" : "+r"(words[0]) : "r"(first));
            __asm__("ssub16 %0, %0, %1" : "+r"(words[1]) : "r"(second));
        }
    }
}

/* Two values of three pixels by two rows. */
#define TWO_BY_SIX \
    "ldmia %[weight]!, {r4, r5}\n\tldmia %[values]!, {r6, r8, r9}\n\t" \
    "smlad %[a], r4, r6, %[a]\n\tsmlad %[b], r5, r6, %[b]\n\tsmlad %[c], r4, r8, %[c]\n\t" \
    "smlad %[d], r5, r8, %[d]\n\tsmlad %[e], r4, r9, %[e]\n\tsmlad %[f], r5, r9, %[f]\n\t"

#define SIX_SUMS \
    "1:\n\t" TWO_BY_SIX TWO_BY_SIX TWO_BY_SIX TWO_BY_SIX "ldr r4, %[end]\n\tcmp %[values], r4\n\tbne 1b\n\t"
#define SUMS \
    [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [e] "+r"(e), [f] "+r"(f), [weight] "+r"(weight), \
        [values] "+r"(values)

/* sums: of the first pixel with both rows, of the second, of the third. Returns the block of the next three pixels. */
INLINE const uint32_t *six_sums(const uint32_t *weight, const uint32_t *values, int row, uint32_t first, uint32_t second,
                                uint32_t *sums)
{
    uint32_t a = first, b = second, c = first, d = second, e = first, f = second;
    const uint32_t *const end = values + row / 2 * 3;
    __asm__ volatile(SIX_SUMS : SUMS : [end] "m"(end) : "r4", "r5", "r6", "r8", "r9", "cc", "memory");
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d, sums[4] = e, sums[5] = f;
    return values;
}

#if defined(__ARM_FP) && __ARM_FP & 4
/* Two results, of sums of one pixel. */
#define TO_REALS(a, b, s, t) "vmov " s ", " t ", " a ", " b "\n\tvcvt.f32.s32 " s ", " s "\n\tvcvt.f32.s32 " t ", " t "\n\t"
#define TO_BYTES(a, b, s, t, ZERO) \
    "vmul.f32 " s ", " s ", %[first]\n\tvmul.f32 " t ", " t ", %[second]\n\t" \
    "vcvtr.s32.f32 " s ", " s "\n\tvcvtr.s32.f32 " t ", " t "\n\tvmov " a ", " b ", " s ", " t "\n\t" ZERO(a) ZERO(b) \
    "usat " a ", #8, " a "\n\tusat " b ", #8, " b "\n\tstrb " a ", [r4]\n\tstrb " b ", [r4, #1]\n\t"
#define FROM_ZERO(a)
#define WITH_ZERO(a) "qadd " a ", " a ", r6\n\t"
#define SIX_BYTES(ZERO) \
    TO_REALS("%[a]", "%[b]", "s0", "s1") TO_REALS("%[c]", "%[d]", "s2", "s3") TO_REALS("%[e]", "%[f]", "s4", "s5") \
    "ldr r4, %[bytes]\n\tldr r5, %[channels]\n\t" TO_BYTES("%[a]", "%[b]", "s0", "s1", ZERO) "add r4, r5\n\t" \
    TO_BYTES("%[c]", "%[d]", "s2", "s3", ZERO) "add r4, r5\n\t" TO_BYTES("%[e]", "%[f]", "s4", "s5", ZERO)

/* Two output channels of whole threes of pixels, as any byte. */
APART void two_channels(const uint32_t *weights, const uint32_t *values, int row, const int32_t *bias,
                        const float *multiplier, int zero, uint8_t *bytes, int channels, int threes)
{
    const uint32_t *end = values;
    for (; threes > 0; threes--, bytes += 3 * channels) {
        const uint32_t *weight = weights;
        uint32_t a = (uint32_t)bias[0], b = (uint32_t)bias[1], c = a, d = b, e = a, f = b;
        end += row / 2 * 3;
        if (zero == 0) {
            __asm__ volatile(SIX_SUMS SIX_BYTES(FROM_ZERO)
                             : SUMS
                             : [end] "m"(end), [bytes] "m"(bytes), [channels] "m"(channels), [first] "t"(multiplier[0]),
                               [second] "t"(multiplier[1])
                             : "r4", "r5", "r6", "r8", "r9", "s0", "s1", "s2", "s3", "s4", "s5", "cc", "memory");
        } else {
            __asm__ volatile(SIX_SUMS "ldr r6, %[zero]\n\t" SIX_BYTES(WITH_ZERO)
                             : SUMS
                             : [end] "m"(end), [bytes] "m"(bytes), [channels] "m"(channels), [first] "t"(multiplier[0]),
                               [second] "t"(multiplier[1]), [zero] "m"(zero)
                             : "r4", "r5", "r6", "r8", "r9", "s0", "s1", "s2", "s3", "s4", "s5", "cc", "memory");
        }
    }
}
#else
APART void two_channels(const uint32_t *weight, const uint32_t *values, int row, const int32_t *bias,
                        const float *multiplier, int zero, uint8_t *bytes, int channels, int threes)
{
    const uint32_t first = (uint32_t)bias[0], second = (uint32_t)bias[1];
    const float factor = multiplier[0], other = multiplier[1];
    for (; threes > 0; threes--) {
        uint32_t sums[6];
        values = six_sums(weight, values, row, first, second, sums);
        for (int j = 0; j < 6; j += 2, bytes += channels) {
            bytes[0] = to_any_byte(zero, sums[j], factor);
            bytes[1] = to_any_byte(zero, sums[j + 1], other);
        }
    }
}
#endif

/* One or two output channels of pixels: those that are few, or end in floats, or are bounded. */
APART void some_channels(const struct layer *layer, const uint32_t *weight, const uint32_t *values, int channel,
                         int pixels, uint8_t *bytes, float *reals)
{
    const int channels = layer->out_channels, both = channel + 1 < channels;
    const uint32_t first = (uint32_t)layer->bias[channel], second = both ? (uint32_t)layer->bias[channel + 1] : 0;
    uint32_t sums[6];
    for (int pixel = 0; pixel < pixels; pixel++) {
        const int index = pixel * channels + channel;
        if (pixel % 3 == 0) {
            values = six_sums(weight, values, layer->row_bytes, first, second, sums);
        }
        for (int j = 0; j <= both; j++) {
            store(layer, sums[pixel % 3 * 2 + j], layer->multiplier[channel + j], bytes, reals, index + j);
        }
    }
}

static void convolution(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch)
{
    const int pixels = layer->out_height * layer->out_width, channels = layer->out_channels, row = layer->row_bytes;
    const int block = row / 2 * 3, many = 3 * layer->threes; /* words of three pixels; pixels that are spread at once */
    const int every = bytes && every_byte(result_of(layer));
    uint32_t *const weight = scratch, *const values = weight + row;
    uint8_t *const patch = (uint8_t *)(values + layer->threes * block);
    for (int pixel = 0; pixel < pixels; pixel += many) {
        const int ready = pixels - pixel < many ? pixels - pixel : many, whole = every ? ready / 3 : 0;
        const int index = pixel * channels;
        spread_pixels(layer, in, pixel, ready, values, patch);
        for (int channel = 0; channel < channels; channel += 2) {
            const int8_t *zeros = layer->weight_zero ? layer->weight_zero + channel : 0;
            const int both = channel + 1 < channels;
            int done = 0;
            spread_rows(layer->rows + channel * row, row, zeros ? zeros[0] : 0, zeros && both ? zeros[1] : 0, weight);
            if (both) {
                uint8_t *const byte = bytes + index + channel;
                const int32_t *const bias = layer->bias + channel;
                const float *const multiplier = layer->multiplier + channel;
                two_channels(weight, values, row, bias, multiplier, layer->out_zero, byte, channels, whole);
                done = 3 * whole;
            }
            if (done < ready) {
                const int from = index + done * channels;
                some_channels(layer, weight, values + done / 3 * block, channel, ready - done, bytes ? bytes + from : 0,
                              reals ? reals + from : 0);
            }
        }
    }
}
#else
/* The values that an output pixel reads: those of the map where they lie side by side, or gathered into `patch`. */
static const uint8_t *patch_of(const struct layer *layer, const uint8_t *in, int pixel, uint8_t *patch)
{
    if (layer->kernel == 1) {
        return in + pixel * layer->in_channels;
    }
    gather(layer, in, pixel / layer->out_width, pixel % layer->out_width, patch);
    return patch;
}

/* Four pixels share the reading of a weight: of every value of their patches, the four lie side by side. */
struct block {
    const uint8_t *begin, *end; /* values */
    uint32_t totals[4];         /* of the values of each */
    uint32_t sums[4];           /* of the products with a row of weights */
};

#if defined(__ARM_ARCH_ISA_THUMB) && __ARM_ARCH_ISA_THUMB == 1 && !defined(PLAIN)
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
