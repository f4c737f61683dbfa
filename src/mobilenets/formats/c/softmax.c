//@ softmax
/* Logits become probabilities: the softmax of what they are, divided by the temperature. */
static void softmax(float *values, int count, float temperature)
{
    float largest = values[0], total = 0.0f;
    for (int i = 1; i < count; i++) {
        largest = values[i] > largest ? values[i] : largest;
    }
    for (int i = 0; i < count; i++) {
        values[i] = expf((values[i] - largest) / temperature);
        total += values[i];
    }
    for (int i = 0; i < count; i++) {
        values[i] /= total;
    }
}
//@ sigmoids
/* Logits become probabilities of labels that do not exclude each other. */
static void sigmoids(float *values, int count, float temperature)
{
    for (int i = 0; i < count; i++) {
        values[i] = 1.0f / (1.0f + expf(-values[i] / temperature));
    }
}
