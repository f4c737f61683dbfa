/* Classifies one frame after the other: give read_frame() your camera, such as esp_camera_fb_get() of esp32-camera. */

#include <stdint.h>
#include <stdio.h>

#include "@stem@.h"

static @name@_arena arena;

/* Writes @NAME@_HEIGHT rows of @NAME@_WIDTH pixels, @NAME@_CHANNELS bytes each (red, green, blue), into `pixels`.
   Returns 0 when there are no more. Until a camera is here, one grey frame. */
static int read_frame(uint8_t *pixels)
{
    static int frames = 1;
    for (long i = 0; i < (long)@NAME@_HEIGHT * @NAME@_WIDTH * @NAME@_CHANNELS; i++) {
        pixels[i] = 128;
    }
    return frames-- > 0;
}

@entry@
{
    static float scores[@NAME@_CLASSES];
    while (read_frame(@name@_input(&arena))) {
        int best = 0;
        @name@_run(&arena, scores);
        for (int i = 1; i < @NAME@_CLASSES; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        printf("%s (score %d / 1000)\n", @name@_labels[best], (int)(1000 * scores[best]));
    }
}
