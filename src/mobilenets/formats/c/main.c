/* Classifies a binary PPM image: cc -O3 main.c @stem@.c -lm -o main, then main image.ppm
   An image of another size than the network's is cropped around its centre, and each pixel averages what it covers. */

#include <stdio.h>
#include <stdlib.h>

#include "@stem@.h"

static @name@_arena arena;

static int number(FILE *file)
{
    int character = fgetc(file), value = 0;
    while (character == '#' || character == ' ' || character == '\n' || character == '\r' || character == '\t') {
        while (character == '#' && character != EOF) {
            do {
                character = fgetc(file);
            } while (character != '\n' && character != EOF);
        }
        character = fgetc(file);
    }
    for (; character >= '0' && character <= '9' && value < 100000; character = fgetc(file)) {
        value = value * 10 + (character - '0');
    }
    return value;
}

/* First pixel of `size` that output pixel `i` of `outputs` covers, of a centered box of `box` pixels. */
static int edge(int i, int outputs, int box, int size)
{
    return (size - box) / 2 + (int)((long long)i * box / outputs);
}

struct image {
    const unsigned char *pixels;
    int height, width;
};

/* One row of the network's image: of the box that is kept, each pixel averages what it covers. */
static void shrink_row(void *context, int y, uint8_t *pixels)
{
    const struct image *const image = context;
    const int height = image->height, width = image->width;
    int box_width = width, box_height = height;
    if ((height != @NAME@_HEIGHT || width != @NAME@_WIDTH) && @NAME@_CROP_PERMILLE > 0) {
        const long long wide = (long long)width * @NAME@_HEIGHT, high = (long long)height * @NAME@_WIDTH;
        const long long least = wide < high ? wide : high;
        box_width = (int)(least * @NAME@_CROP_PERMILLE / 1000 / @NAME@_HEIGHT);
        box_height = (int)(least * @NAME@_CROP_PERMILLE / 1000 / @NAME@_WIDTH);
    }
    const int top = edge(y, @NAME@_HEIGHT, box_height, height);
    const int below = edge(y + 1, @NAME@_HEIGHT, box_height, height), bottom = below > top ? below : top + 1;
    for (int x = 0; x < @NAME@_WIDTH; x++) {
        const int left = edge(x, @NAME@_WIDTH, box_width, width);
        const int right = edge(x + 1, @NAME@_WIDTH, box_width, width), end = right > left ? right : left + 1;
        const long long count = (long long)(bottom - top) * (end - left);
        long long sums[3] = {0, 0, 0};
        for (int i = top; i < bottom; i++) {
            const unsigned char *pixel = image->pixels + ((size_t)i * (size_t)width + (size_t)left) * 3;
            for (int j = left; j < end; j++, pixel += 3) {
                sums[0] += pixel[0], sums[1] += pixel[1], sums[2] += pixel[2];
            }
        }
        if (@NAME@_CHANNELS == 1) { /* grey, by ITU-R BT.601 */
            *pixels++ = (uint8_t)((299 * sums[0] + 587 * sums[1] + 114 * sums[2] + 500 * count) / (1000 * count));
            continue;
        }
        for (int channel = 0; channel < 3; channel++) {
            *pixels++ = (uint8_t)((sums[channel] + count / 2) / count);
        }
    }
}

int main(int count, char **arguments)
{
    static float scores[@NAME@_CLASSES];
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (!file || fgetc(file) != 'P' || fgetc(file) != '6') {
        fprintf(stderr, "usage: main IMAGE.ppm (a binary PPM file)\n");
        return 2;
    }
    const int width = number(file), height = number(file), white = number(file);
    if (width < 1 || height < 1 || width > 20000 || height > 20000 || white != 255) {
        fprintf(stderr, "the image must be a PPM file of 8 bits, at most 20000 pixels wide and high\n");
        return 1;
    }
    const size_t size = (size_t)width * (size_t)height * 3;
    unsigned char *image = malloc(size);
    if (!image || fread(image, 1, size, file) != size) {
        fprintf(stderr, "the image is cut short or too large\n");
        return 1;
    }
    fclose(file);
    struct image whole = {image, height, width};
    @run@
    free(image);
    printf("%ld bytes of flash for weights, %ld bytes of RAM for activations\n", (long)@NAME@_FLASH_BYTES,
           (long)@NAME@_RAM_BYTES);
    for (int place = 0; place < 5 && place < @NAME@_CLASSES; place++) {
        int best = 0;
        for (int i = 1; i < @NAME@_CLASSES; i++) {
            best = scores[i] > scores[best] ? i : best;
        }
        printf("%.9g\t%s\n", (double)scores[best], @name@_labels[best]);
        scores[best] = -1e30f;
    }
    return 0;
}
