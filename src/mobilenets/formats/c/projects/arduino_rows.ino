// Classifies one frame after the other: give readRow() your camera.

#include "@stem@.h"

static @name@_arena arena;
static float scores[@NAME@_CLASSES];

// Writes row `row` of the image, @NAME@_WIDTH pixels of @NAME@_CHANNELS bytes each (red, green, blue), into `pixels`: of a
// camera whose frame is read line by line, or of a frame that lies in slower memory. Until one is here, a grey frame.
static void readRow(void *context, int row, uint8_t *pixels) {
    (void)context, (void)row;
    for (int i = 0; i < @NAME@_WIDTH * @NAME@_CHANNELS; i++) {
        pixels[i] = 128;
    }
}

void setup() {
    Serial.begin(115200);
}

void loop() {
    unsigned long begin = micros();
    @name@_run(&arena, readRow, NULL, scores);
    unsigned long taken = micros() - begin;
    int best = 0;
    for (int i = 1; i < @NAME@_CLASSES; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    Serial.print(@name@_labels[best]);
    Serial.print("  ");
    Serial.print(scores[best]);
    Serial.print("  ");
    Serial.print(taken);
    Serial.println(" us");
    delay(500);
}
