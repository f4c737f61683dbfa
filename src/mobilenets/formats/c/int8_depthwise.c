//@ depthwise: store window
/* Weights are (channels, columns of the window, its rows). The bias holds what the input's zero point adds in a whole
   window; where rows or columns are missing, in_zero stands for them. */
static void taps(const struct layer *layer, const uint8_t *in, int y, int x, const uint8_t *none, const uint8_t **tap)
{
    const int row = y * layer->stride - layer->top, column = x * layer->stride - layer->left;
    const int kernel = layer->kernel, width = layer->in_width, height = layer->in_height, channels = layer->in_channels;
    if (row >= 0 && column >= 0 && row + kernel <= height && column + kernel <= width) {
        const uint8_t *line = in + (row * width + column) * channels;
        for (int j = 0; j < kernel; j++, line += channels) {
            const uint8_t *pixel = line;
            for (const uint8_t **const end = tap + kernel; tap < end; pixel += width * channels) {
                *tap++ = pixel;
            }
        }
        return;
    }
    for (int j = column; j < column + kernel; j++) {
        for (int i = row; i < row + kernel; i++) {
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
#if defined(HELIUM) || defined(SIGNAL_PROCESSING)
/* Whether windows are 3 by 3 and every one has a column on the map. */
static int by_threes(const struct layer *layer)
{
    const int last = (layer->out_width - 1) * layer->stride - layer->left;
    return layer->kernel == 3 && layer->stride < 3 && layer->left < 3 && last < layer->in_width;
}

/* Whether channels may be made one after the other: outputs then overwrite only inputs of their own channel. */
static int apart(const struct layer *layer, const uint8_t *in, const uint8_t *bytes)
{
    const uintptr_t from = (uintptr_t)in, to = (uintptr_t)bytes, channels = (uintptr_t)layer->in_channels;
    return to + (uintptr_t)(layer->out_height * layer->out_width) * channels <= from ||
           from + (uintptr_t)(layer->in_height * layer->in_width) * channels <= to ||
           (from > to ? from - to : to - from) % channels == 0;
}
#endif
#ifdef HELIUM
/* Every eight channels of one pixel; whole eights only. Products are made of channels 0, 2, 4, 6 and of 1, 3, 5, 7. */
static void eights(const struct layer *layer, const uint8_t *const *const taps, uint8_t *bytes)
{
    const struct result result = result_of(layer);
    const int channels = layer->in_channels, window = layer->kernel * layer->kernel;
    const uint16x8_t places = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)window);
    for (int channel = 0; channel + 8 <= channels; channel += 8) {
        const int32x4x2_t bias = vld2q_s32(layer->bias + channel);
        const float32x4x2_t multipliers = vld2q_f32(layer->multiplier + channel);
        const int8_t *weight = layer->weight + channel * window;
        int32x4_t even = bias.val[0], odd = bias.val[1];
        for (const uint8_t *const *tap = taps; tap < taps + window; tap++, weight++) {
            const int16x8_t values = vreinterpretq_s16_u16(vldrbq_u16(*tap + channel));
            const int16x8_t factors = vldrbq_gather_offset_s16(weight, places);
            even = vaddq_s32(even, vmullbq_int_s16(values, factors));
            odd = vaddq_s32(odd, vmulltq_int_s16(values, factors));
        }
        const uint32x4_t first = to_outputs(result, even, multipliers.val[0]);
        const uint32x4_t second = to_outputs(result, odd, multipliers.val[1]);
        vstrbq_u16(bytes + channel, vreinterpretq_u16_u32(vorrq_u32(first, vshlq_n_u32(second, 16))));
    }
}

/* A window of 3 by 3 is one vector, where a channel's three rows lie in turn, column after column: then one instruction
   makes a whole sum. Eight channels, each PLANE bytes, of COLUMNS columns are laid out so, as signed bytes. */
#define PLANE 62
#define COLUMNS 20

/* What four channels have in common, in the order in which the instructions below read it. */
struct four {
    int32_t bias[4];
    float multiplier[4];
    int16_t low[8], high[8];
    int8_t weight[4][16];
};

/* A strip of output pixels beside each other. */
struct strip {
    const uint8_t *in; /* the channels of the map's first pixel */
    int row, column;   /* where its first window begins */
    int count;
    int channels;
    int step; /* from one window to the next, laid out */
    int zero;
};

static void read_four(const struct layer *layer, int channel, struct four *four)
{
    const mve_pred16_t nine = vctp8q(9);
    for (int i = 0; i < 4; i++, channel++) {
        const int8x16_t weights = vldrbq_z_s8(layer->weight + 9 * channel, nine);
        vst1q_s8(four->weight[i], weights);
        four->bias[i] = layer->bias[channel] + 128 * vaddvq_s8(weights); /* laid out values are too small by 128 */
        four->multiplier[i] = layer->multiplier[channel];
    }
    vst1q_s16(four->low, vdupq_n_s16((int16_t)(layer->least + layer->out_zero)));
    vst1q_s16(four->high, vdupq_n_s16((int16_t)(layer->most + layer->out_zero)));
}

/* One row of a column of eight channels. */
#define LAY_OUT_ROW(from, step, places) \
    "vldrb.u16 q0, [%[" from "]]\n\tadd %[" from "], %[" step "]\n\tvadd.i16 q0, q0, %q[sign]\n\t" \
    "vstrb.16 q0, [%[to], %q[" places "]]\n\t"

/* Lay out eight channels of what a strip reads. */
APART void lay_out(const struct layer *layer, const struct strip *strip, int8_t *planes)
{
    const int channels = strip->channels, line = layer->in_width * channels, row = strip->row;
    const int columns = (strip->count - 1) * layer->stride + 3, begin = window_begin(strip->column);
    const int inside = window_end(strip->column, columns, layer->in_width) - begin;
    const uint16x8_t first = vmulq_n_u16(vidupq_n_u16(0, 1), PLANE), second = vaddq_n_u16(first, 1);
    const uint16x8_t third = vaddq_n_u16(second, 1);
    const int16x8_t sign = vdupq_n_s16(-128), edge = vdupq_n_s16((int16_t)(layer->in_zero - 128));
    const uint8_t *upper = strip->in + row * line + (strip->column + begin) * channels;
    const uint8_t *middle = upper + line, *lower = middle + line;
    uint8_t none[8];
    int steps[3] = {channels, channels, channels};
    if (row < 0 || row + 3 > layer->in_height) {
        vstrbq_u16(none, vdupq_n_u16((uint16_t)layer->in_zero));
        const uint8_t **const lines[3] = {&upper, &middle, &lower};
        for (int i = 0; i < 3; i++) {
            if (row + i < 0 || row + i >= layer->in_height) {
                *lines[i] = none;
                steps[i] = 0;
            }
        }
    }
    for (int8_t *to = planes, *const end = planes + 3 * begin; to < end; to += 3) {
        vstrbq_scatter_offset_s16(to, first, edge);
        vstrbq_scatter_offset_s16(to, second, edge);
        vstrbq_scatter_offset_s16(to, third, edge);
    }
    int8_t *to = planes + 3 * begin;
    __asm__ volatile("wls lr, %[count], 2f\n\t1:\n\t"
                     LAY_OUT_ROW("upper", "upper_step", "first") LAY_OUT_ROW("middle", "middle_step", "second")
                     LAY_OUT_ROW("lower", "lower_step", "third") "add %[to], #3\n\tle lr, 1b\n\t2:"
                     : [upper] "+l"(upper), [middle] "+l"(middle), [lower] "+l"(lower), [to] "+r"(to)
                     : [upper_step] "r"(steps[0]), [middle_step] "r"(steps[1]), [lower_step] "r"(steps[2]),
                       [count] "r"(inside), [sign] "w"(sign), [first] "w"(first), [second] "w"(second),
                       [third] "w"(third)
                     : "q0", "lr", "memory");
    for (int8_t *const end = planes + 3 * columns; to < end; to += 3) {
        vstrbq_scatter_offset_s16(to, first, edge);
        vstrbq_scatter_offset_s16(to, second, edge);
        vstrbq_scatter_offset_s16(to, third, edge);
    }
}

/* Sums of four channels of one pixel, laid out. */
#define FOUR_SUMS(sums) \
    "vldrb.u8 q4, [%[plane], #-62]\n\tvmladav.s8 r0, q4, q0\n\t" \
    "vldrb.u8 q4, [%[plane]]\n\tvmladav.s8 r8, q4, q1\n\t" \
    "vldrb.u8 q4, [%[plane], #62]\n\tvmladav.s8 r10, q4, q2\n\t" \
    "vldrb.u8 q4, [%[plane], #124]\n\tvmladav.s8 r12, q4, q3\n\t" \
    "vmov " sums "[2], " sums "[0], r0, r10\n\tvmov " sums "[3], " sums "[1], r8, r12\n\t" \
    "add %[plane], %[step]\n\t"
#define BOUNDED \
    "vqadd.s16 q5, q5, %[zero]\n\tvldrh.u16 q4, [%[four], #48]\n\tvmin.s16 q5, q5, q4\n\t" \
    "vldrh.u16 q4, [%[four], #32]\n\tvmax.s16 q5, q5, q4\n\tvstrb.32 q5, [%[byte]]\n\t"

/* Four channels of a strip. */
APART void four_channels(const struct four *four, const struct strip *strip, const int8_t *planes, uint8_t *bytes)
{
    const int8_t *plane = planes + PLANE;
    __asm__ volatile("vldrb.u8 q0, [%[four], #64]\n\tvldrb.u8 q1, [%[four], #80]\n\t"
                     "vldrb.u8 q2, [%[four], #96]\n\tvldrb.u8 q3, [%[four], #112]\n\t"
                     "lsr r0, %[count], #1\n\twls lr, r0, 2f\n\t"
                     "1:\n\t" FOUR_SUMS("q5") FOUR_SUMS("q6")
                     "vldrw.u32 q4, [%[four]]\n\tvldrw.u32 q7, [%[four], #16]\n\t"
                     "vadd.i32 q5, q5, q4\n\tvadd.i32 q6, q6, q4\n\tvcvt.f32.s32 q5, q5\n\tvcvt.f32.s32 q6, q6\n\t"
                     "vmul.f32 q5, q5, q7\n\tvmul.f32 q6, q6, q7\n\tvcvtn.s32.f32 q5, q5\n\tvcvtn.s32.f32 q6, q6\n\t"
                     "vqmovnb.s32 q5, q5\n\tvqmovnt.s32 q5, q6\n\t" BOUNDED
                     "add %[byte], %[channels]\n\tvshr.u32 q5, q5, #16\n\t"
                     "vstrb.32 q5, [%[byte]]\n\tadd %[byte], %[channels]\n\tle lr, 1b\n\t"
                     "2:\n\ttst %[count], #1\n\tbeq 3f\n\t" FOUR_SUMS("q5")
                     "vldrw.u32 q4, [%[four]]\n\tvldrw.u32 q7, [%[four], #16]\n\t"
                     "vadd.i32 q5, q5, q4\n\tvcvt.f32.s32 q5, q5\n\tvmul.f32 q5, q5, q7\n\tvcvtn.s32.f32 q5, q5\n\t"
                     "vqmovnb.s32 q5, q5\n\t" BOUNDED
                     "3:"
                     : [plane] "+r"(plane), [byte] "+l"(bytes)
                     : [four] "r"(four), [count] "r"(strip->count), [step] "r"(strip->step), [zero] "r"(strip->zero),
                       [channels] "r"(strip->channels)
                     : "r0", "r8", "r10", "r12", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "cc", "memory");
}

/* Every eight channels of a window of 3 by 3, one eight after the other. */
static void threes(const struct layer *layer, const uint8_t *in, uint8_t *bytes, int8_t *planes)
{
    const int stride = layer->stride, width = layer->out_width, most = stride == 1 ? COLUMNS - 2 : (COLUMNS - 1) / 2;
    struct four first, second;
    struct strip strip = {in, 0, 0, 0, layer->in_channels, 3 * stride, layer->out_zero};
    for (int channel = 0; channel + 8 <= strip.channels; channel += 8, strip.in += 8) {
        uint8_t *line = bytes + channel;
        read_four(layer, channel, &first);
        read_four(layer, channel + 4, &second);
        for (int y = 0; y < layer->out_height; y++) {
            for (int x = 0; x < width; x += most) {
                strip.row = y * stride - layer->top;
                strip.column = x * stride - layer->left;
                strip.count = width - x < most ? width - x : most;
                lay_out(layer, &strip, planes);
                four_channels(&first, &strip, planes, line);
                four_channels(&second, &strip, planes + 4 * PLANE, line + 4);
                line += strip.count * strip.channels;
            }
        }
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

#define TAP_SUMS \
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
            __asm__ volatile(TAP TAP TAP TAP TAP TAP TAP TAP TAP : TAP_SUMS : [channel] "r"(channel) : "memory");
        } else {
            while (tap < end) {
                __asm__ volatile(TAP : TAP_SUMS : [channel] "r"(channel) : "memory");
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

/* Weights (channels, window) as (channels / 4, window, 2) words: channels 0 and 2, 1 and 3. */
static void spread_window(const struct layer *layer, int window, uint32_t *words)
{
    for (int channel = 0; channel + 4 <= layer->in_channels; channel += 4) {
        const int8_t *weight = layer->weight + channel * window;
        for (int i = 0; i < window; i++, weight++) {
            *words++ = (uint16_t)weight[0] | (uint32_t)weight[2 * window] << 16;
            *words++ = (uint16_t)weight[window] | (uint32_t)weight[3 * window] << 16;
        }
    }
}

/* Windows of 3 by 3, four channels at a time: of every column six words, which several windows read. Each has two rows
   of a channel, 0, 2, 1 and 3, for two products in one instruction; then come the third row's channels 0 and 2, 1 and 3. */
#define COLUMNS 18

static void columns_of_weights(const int8_t *weight, uint32_t *words)
{
    for (int j = 0; j < 9; j += 3) { /* (channels, columns, rows) */
        for (int i = 0; i < 4; i++) {
            const int8_t *two = weight + (i % 2 * 2 + i / 2) * 9 + j;
            *words++ = (uint16_t)two[0] | (uint32_t)(uint16_t)two[1] << 16;
        }
        *words++ = (uint16_t)weight[j + 2] | (uint32_t)(uint16_t)weight[j + 20] << 16;
        *words++ = (uint16_t)weight[j + 11] | (uint32_t)(uint16_t)weight[j + 29] << 16;
    }
}

/* Of four channels of a column, whose rows are in r4, r5 and r6. */
#define SIX_WORDS \
    "uxtb16 r8, r4, ror #8\n\tuxtb16 r4, r4\n\tuxtb16 r9, r5, ror #8\n\tuxtb16 r5, r5\n\t" \
    "uxtb16 r10, r6, ror #8\n\tuxtb16 r6, r6\n\tstrd r6, r10, [%[words], #16]\n\t" \
    "pkhtb r6, r5, r4, asr #16\n\tpkhbt r5, r4, r5, lsl #16\n\t" \
    "pkhtb r10, r9, r8, asr #16\n\tpkhbt r9, r8, r9, lsl #16\n\t" \
    "stmia %[words], {r5, r6, r9, r10}\n\tadd %[words], #24\n\t"

/* A column beside the map. */
INLINE void lay_out_edge(uint32_t none, uint32_t *words)
{
    const uint32_t both = none & 0xff00ff;
    words[0] = both, words[1] = both, words[2] = both, words[3] = both, words[4] = both, words[5] = both;
}

/* The columns that a strip of windows reads, from `column` on; `in` is the channels of the map's first pixel. */
APART void lay_out(const struct layer *layer, const uint8_t *in, int row, int column, int columns, uint32_t *words)
{
    const int channels = layer->in_channels, line = layer->in_width * channels;
    const uint32_t none = (uint32_t)layer->in_zero * 0x01010101u;
    const int inside = row >= 0 && row + 3 <= layer->in_height;
    const uint8_t *upper = in + row * line + (column > 0 ? column : 0) * channels;
    const uint8_t *middle = upper + line, *lower = middle + line;
    int steps[3] = {channels, channels, channels};
    if (!inside) {
        const uint8_t **const lines[3] = {&upper, &middle, &lower};
        for (int i = 0; i < 3; i++) {
            if (row + i < 0 || row + i >= layer->in_height) {
                *lines[i] = (const uint8_t *)&none;
                steps[i] = 0;
            }
        }
    }
    const int end = column + columns, last = end < layer->in_width ? end : layer->in_width;
    for (; column < 0; column++, words += 6) {
        lay_out_edge(none, words);
    }
    if (inside && column < last) {
        uint32_t *const stop = words + 6 * (last - column);
        int offset = 0;
        __asm__ volatile("1:\n\tldr r4, [%[upper], %[offset]]\n\tldr r5, [%[middle], %[offset]]\n\t"
                         "ldr r6, [%[lower], %[offset]]\n\tadd %[offset], %[step]\n\t" SIX_WORDS
                         "ldr r4, %[stop]\n\tcmp %[words], r4\n\tbne 1b"
                         : [words] "+r"(words), [offset] "+r"(offset)
                         : [upper] "r"(upper), [middle] "r"(middle), [lower] "r"(lower), [step] "r"(channels),
                           [stop] "m"(stop)
                         : "r4", "r5", "r6", "r8", "r9", "r10", "cc", "memory");
        column = last;
    }
    for (; column < last; column++) {
        __asm__ volatile("ldr r4, [%[upper]]\n\tldr r5, [%[middle]]\n\tldr r6, [%[lower]]\n\t" SIX_WORDS
                         : [words] "+r"(words)
                         : [upper] "r"(upper), [middle] "r"(middle), [lower] "r"(lower)
                         : "r4", "r5", "r6", "r8", "r9", "r10", "memory");
        upper += steps[0], middle += steps[1], lower += steps[2];
    }
    for (; column < end; column++, words += 6) {
        lay_out_edge(none, words);
    }
}

/* Sums of channels 0 to 3 in r0 to r3. */
#define COLUMN \
    "ldmia %[column]!, {r4, r5, r6}\n\tldmia r12!, {r8, r9, r10}\n\t" \
    "smlad r0, r4, r8, r0\n\tsmlad r2, r5, r9, r2\n\tsmlad r1, r6, r10, r1\n\t" \
    "ldmia %[column]!, {r4, r5, r6}\n\tldmia r12!, {r8, r9, r10}\n\t" \
    "smlad r3, r4, r8, r3\n\tsmlabb r0, r5, r9, r0\n\tsmlatt r2, r5, r9, r2\n\t" \
    "smlabb r1, r6, r10, r1\n\tsmlatt r3, r6, r10, r3\n\t"
#define FOUR_CHANNELS "ldr r12, %[weight]\n\tldr r0, %[bias]\n\tldmia r0, {r0, r1, r2, r3}\n\t" COLUMN COLUMN COLUMN
#define NEXT_PIXEL \
    "ldr r4, %[next]\n\tadd %[column], r4\n\tldr r4, %[channels]\n\tadd %[bytes], r4\n\t" \
    "ldr r4, %[end]\n\tcmp %[bytes], r4\n\tbne 1b"
#define CHANGED "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "cc", "memory"

#if defined(__ARM_FP) && __ARM_FP & 4
#define FOUR_BYTES(ZERO) \
    "vmov s0, s1, r0, r1\n\tvmov s2, s3, r2, r3\n\t" \
    "vcvt.f32.s32 s0, s0\n\tvcvt.f32.s32 s1, s1\n\tvcvt.f32.s32 s2, s2\n\tvcvt.f32.s32 s3, s3\n\t" \
    "vmul.f32 s0, s0, %[first]\n\tvmul.f32 s1, s1, %[second]\n\t" \
    "vmul.f32 s2, s2, %[third]\n\tvmul.f32 s3, s3, %[fourth]\n\t" \
    "vcvtr.s32.f32 s0, s0\n\tvcvtr.s32.f32 s1, s1\n\tvcvtr.s32.f32 s2, s2\n\tvcvtr.s32.f32 s3, s3\n\t" \
    "vmov r0, r1, s0, s1\n\tvmov r2, r3, s2, s3\n\t" ZERO \
    "usat r0, #8, r0\n\tusat r1, #8, r1\n\tusat r2, #8, r2\n\tusat r3, #8, r3\n\t" \
    "strb r0, [%[bytes]]\n\tstrb r1, [%[bytes], #1]\n\tstrb r2, [%[bytes], #2]\n\tstrb r3, [%[bytes], #3]\n\t"
#define ADD_ZERO \
    "ldr r4, %[zero]\n\tqadd r0, r0, r4\n\tqadd r1, r1, r4\n\tqadd r2, r2, r4\n\tqadd r3, r3, r4\n\t"

/* Four channels of `count` pixels beside each other, as any byte. */
APART void strip(const struct layer *layer, int channel, const uint32_t *weight, const uint32_t *column, int count,
                 uint8_t *bytes)
{
    const int32_t *const bias = layer->bias + channel;
    const float *const multiplier = layer->multiplier + channel;
    const int channels = layer->in_channels, next = 24 * layer->stride - 72, zero = layer->out_zero;
    const uint8_t *const end = bytes + count * channels;
    const float first = multiplier[0], second = multiplier[1], third = multiplier[2], fourth = multiplier[3];
    if (zero == 0) {
        __asm__ volatile("1:\n\t" FOUR_CHANNELS FOUR_BYTES("") NEXT_PIXEL
                         : [column] "+r"(column), [bytes] "+r"(bytes)
                         : [weight] "m"(weight), [bias] "m"(bias), [next] "m"(next), [channels] "m"(channels), [end] "m"(end),
                           [first] "t"(first), [second] "t"(second), [third] "t"(third), [fourth] "t"(fourth)
                         : "s0", "s1", "s2", "s3", CHANGED);
    } else {
        __asm__ volatile("1:\n\t" FOUR_CHANNELS FOUR_BYTES(ADD_ZERO) NEXT_PIXEL
                         : [column] "+r"(column), [bytes] "+r"(bytes)
                         : [weight] "m"(weight), [bias] "m"(bias), [next] "m"(next), [channels] "m"(channels), [end] "m"(end),
                           [zero] "m"(zero), [first] "t"(first), [second] "t"(second), [third] "t"(third),
                           [fourth] "t"(fourth)
                         : "s0", "s1", "s2", "s3", CHANGED);
    }
}
#endif

/* The same for any bounds. */
APART void bounded_strip(const struct layer *layer, int channel, const uint32_t *weight, const uint32_t *column,
                         int count, uint8_t *bytes)
{
    const struct result result = result_of(layer);
    const int32_t *const bias = layer->bias + channel;
    const float *const multiplier = layer->multiplier + channel;
    const int channels = layer->in_channels, next = 6 * layer->stride - 18;
    for (const uint8_t *const end = bytes + count * channels; bytes < end; bytes += channels, column += next) {
        int32_t sums[4], *sum = sums;
        __asm__ volatile(FOUR_CHANNELS "ldr r4, %[sum]\n\tstmia r4, {r0, r1, r2, r3}"
                         : [column] "+r"(column)
                         : [weight] "m"(weight), [bias] "m"(bias), [sum] "m"(sum)
                         : CHANGED);
        for (int i = 0; i < 4; i++) {
            bytes[i] = to_output(result, (uint32_t)sums[i], multiplier[i]);
        }
    }
}

/* Every four channels of a window of 3 by 3, one four after the other. */
static void threes(const struct layer *layer, const uint8_t *in, uint8_t *bytes, uint32_t *columns)
{
    const int stride = layer->stride, width = layer->out_width, most = stride == 1 ? COLUMNS - 2 : (COLUMNS - 1) / 2;
    uint32_t weights[18];
#if defined(__ARM_FP) && __ARM_FP & 4
    const int every = every_byte(result_of(layer));
#endif
    for (int channel = 0; channel + 4 <= layer->in_channels; channel += 4) {
        uint8_t *byte = bytes + channel;
        columns_of_weights(layer->weight + 9 * channel, weights);
        for (int y = 0; y < layer->out_height; y++) {
            for (int x = 0; x < width; x += most) {
                const int count = width - x < most ? width - x : most, row = y * stride - layer->top;
                lay_out(layer, in + channel, row, x * stride - layer->left, (count - 1) * stride + 3, columns);
#if defined(__ARM_FP) && __ARM_FP & 4
                if (every) {
                    strip(layer, channel, weights, columns, count, byte);
                    byte += count * layer->in_channels;
                    continue;
                }
#endif
                bounded_strip(layer, channel, weights, columns, count, byte);
                byte += count * layer->in_channels;
            }
        }
    }
}
#endif

static void depthwise(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch)
{
    const int channels = layer->in_channels, window = layer->kernel * layer->kernel;
    const uint8_t **tap = scratch;
    uint8_t *none = (uint8_t *)(tap + window);
    int begin = 0;
#ifdef HELIUM
    const int by_eights = bytes != 0;
    if (bytes && !layer->table && by_threes(layer) && apart(layer, in, bytes)) {
        threes(layer, in, bytes, scratch);
        begin = channels / 8 * 8;
        if (begin == channels) {
            return;
        }
    }
    pixel_of_zeros(layer, none);
#elif defined(SIGNAL_PROCESSING)
    if (bytes && by_threes(layer) && apart(layer, in, bytes)) {
        threes(layer, in, bytes, scratch);
        begin = channels / 4 * 4;
        if (begin == channels) {
            return;
        }
    }
    uint32_t *words = (uint32_t *)pixel_of_zeros(layer, none);
    spread_window(layer, window, words);
#else
    pixel_of_zeros(layer, none);
#endif
    const struct result result = result_of(layer);
    for (int y = 0, pixel = 0; y < layer->out_height; y++) {
        for (int x = 0; x < layer->out_width; x++, pixel += channels) {
            int channel = begin;
            taps(layer, in, y, x, none, tap);
#ifdef HELIUM
            if (by_eights && begin == 0) {
                eights(layer, tap, bytes + pixel);
                channel = channels / 8 * 8;
            }
#elif defined(SIGNAL_PROCESSING)
            if (begin == 0) {
                fours(layer, tap, words, bytes ? bytes + pixel : 0, reals ? reals + pixel : 0);
                channel = channels / 4 * 4;
            }
#endif
            for (int index = pixel + channel; channel < channels; channel++, index++) {
                const int8_t *factor = layer->weight + channel * window;
                uint32_t sum = (uint32_t)layer->bias[channel];
                for (const uint8_t *const *one = tap; one < tap + window; one++) {
                    sum += (uint32_t)((*one)[channel] * *factor++);
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
