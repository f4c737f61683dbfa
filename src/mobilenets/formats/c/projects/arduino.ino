// Classifies one frame after the other: give readFrame() your camera.

#include "@stem@.h"

static @name@_arena arena;
static float scores[@NAME@_CLASSES];

// Writes @NAME@_HEIGHT rows of @NAME@_WIDTH pixels, @NAME@_CHANNELS bytes each (red, green, blue), into `pixels`.
// Until a camera is here, a grey frame.
static void readFrame(uint8_t *pixels) {
    for (long i = 0; i < (long)@NAME@_HEIGHT * @NAME@_WIDTH * @NAME@_CHANNELS; i++) {
        pixels[i] = 128;
    }
}

void setup() {
    Serial.begin(115200);
}

void loop() {
    readFrame(@name@_input(&arena));
    unsigned long begin = micros();
    @name@_run(&arena, scores);
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
