/* Just enough for a Cortex-M under an emulator: the vector table, and a jump into newlib's own start. */

extern void initial_stack(void); /* an address of the linker script; declared as what its neighbours are */
extern void _start(void);

static void stop(void)
{
    for (;;) {
    }
}

void reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    *(volatile unsigned *)0xe000ed88 |= 0xfu << 20; /* the coprocessor access register: floating point and vectors */
    __asm__ volatile("dsb\n\tisb");
#endif
    _start();
    stop();
}

__attribute__((section(".vectors"), used)) static void (*const vectors[7])(void) = {
    initial_stack, reset, stop, stop, stop, stop, stop,
};
