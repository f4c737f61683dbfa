//@ window
/* [kernel rows or columns: begin, end) of the window at `first` that lie on a map of `size` pixels. */
static int window_begin(int first)
{
    return first < 0 ? -first : 0;
}

static int window_end(int first, int kernel, int size)
{
    return first + kernel > size ? size - first : kernel;
}
