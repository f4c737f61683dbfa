//@ rows: convolution depthwise
/* The first layers, some rows of the image at a time. Of the input of every layer, its band in the arena holds the rows
   that are still to be read; every layer makes the rows that it can make of them. */
#define MOST_STAGES 12

struct stage {
    const struct layer *layer;
    void (*compute)(const struct layer *layer, const uint8_t *in, uint8_t *bytes, float *reals, void *scratch);
    int band; /* where it begins in the arena */
};

/* Rows of a layer that can be made of the first `made` of its input. */
static int rows_ready(const struct layer *layer, int made)
{
    if (made == layer->in_height) {
        return layer->out_height;
    }
    const int more = made + layer->top - layer->kernel;
    return more < 0 ? 0 : more / layer->stride < layer->out_height ? more / layer->stride + 1 : layer->out_height;
}

static void rows(const struct stage *stages, int count, int at_once, uint8_t *arena,
                 void (*read_row)(void *context, int row, uint8_t *pixels), void *context, uint8_t *bytes, void *scratch)
{
    int16_t made[MOST_STAGES + 1] = {0};  /* rows of the image, and of every layer */
    int16_t first[MOST_STAGES + 1] = {0}; /* of them that its band holds */
    const struct layer *const begin = stages[0].layer;
    while (made[0] < begin->in_height) {
        for (int i = 0; i < at_once && made[0] < begin->in_height; i++, made[0]++) {
            const int line = begin->in_width * begin->in_channels;
            read_row(context, made[0], arena + stages[0].band + (made[0] - first[0]) * line);
        }
        for (int i = 0; i < count; i++) {
            const struct layer *const layer = stages[i].layer;
            uint8_t *const band = arena + stages[i].band;
            const int line = layer->in_width * layer->in_channels, ready = rows_ready(layer, made[i]);
            if (ready > made[i + 1]) {
                struct layer part = *layer;
                uint8_t *to = i + 1 < count ? arena + stages[i + 1].band : bytes;
                part.top = layer->top + first[i] - made[i + 1] * layer->stride;
                part.in_height = made[i] - first[i];
                part.out_height = ready - made[i + 1];
                to += (made[i + 1] - first[i + 1]) * layer->out_width * layer->out_channels;
                stages[i].compute(&part, band, to, 0, scratch);
                made[i + 1] = (int16_t)ready;
            }
            int still = made[i + 1] * layer->stride - layer->top; /* the first that is read again */
            still = still < made[i] ? still : made[i];
            if (still > first[i]) {
                copy_bytes(band + (still - first[i]) * line, band, (made[i] - still) * line);
                first[i] = (int16_t)still;
            }
        }
    }
}
