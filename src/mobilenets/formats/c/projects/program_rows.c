/* Classifies one frame after the other: give read_row() your camera. */

#include <stdint.h>
#include <stdio.h>

#include "@stem@.h"

static @name@_arena arena;

/* Writes row `row` of the image, @NAME@_WIDTH pixels of @NAME@_CHANNELS bytes each (red, green, blue), into `pixels`: of a
   camera whose frame is read line by line, or of a frame that lies in slower memory. Until one is here, a grey frame. */
static void read_row(void *context, int row, uint8_t *pixels)
{
    (void)context, (void)row;
    for (int i = 0; i < @NAME@_WIDTH * @NAME@_CHANNELS; i++) {
        pixels[i] = 128;
    }
}

@entry@
{
    static float scores[@NAME@_CLASSES];
    for (int frame = 0; frame < 1; frame++) { /* while there are more */
        int best = 0;
        @name@_run(&arena, read_row, NULL, scores);
        for (int i = 1; i < @NAME@_CLASSES; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        printf("%s (score %d / 1000)\n", @name@_labels[best], (int)(1000 * scores[best]));
    }
}
