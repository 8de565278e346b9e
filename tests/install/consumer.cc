/* SPDX-License-Identifier: MIT */
/* The same from C++: the headers are C's and link as such. */
#include <tarn/malloc.h>

#include <cstdio>
#include <new>

namespace
{
struct point {
    double x, y;
};
} // namespace

int main()
{
    void *memory = tarn_heap_alloc(tarn_malloc_heap(), sizeof(point), alignof(point));
    if (memory == nullptr) {
        std::fprintf(stderr, "consumer: the heap gave no block\n");
        return 1;
    }
    point *p = new (memory) point{1.0, 2.0};
    std::printf("tarn from C++: %g\n", p->x + p->y);
    tarn_heap_free(tarn_malloc_heap(), memory, sizeof(point));
    return 0;
}
