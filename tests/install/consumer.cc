/* SPDX-License-Identifier: MIT */
/* The same from C++: the headers of C link as such, and containers and owners stand on them. */
#include <tarn/cxx.hpp>
#include <tarn/malloc.h>

#include <cstdio>
#include <list>
#include <map>
#include <new>
#include <utility>

namespace
{
struct point {
    double x, y;
    point(double at_x, double at_y) : x(at_x), y(at_y)
    {
    }
};
} // namespace

int main()
{
    void *memory = tarn_heap_alloc(tarn_malloc_heap(), sizeof(point), alignof(point));
    if (memory == nullptr) {
        std::fprintf(stderr, "consumer: the heap gave no block\n");
        return 1;
    }
    point *p = new (memory) point(1.0, 2.0);
    std::printf("tarn from C++: %g\n", p->x + p->y);
    tarn_heap_free(tarn_malloc_heap(), memory, sizeof(point));

    tarn::pools pools;
    std::list<int, tarn::allocator<int>> list;
    std::map<int, int, std::less<int>, tarn::pool_allocator<std::pair<const int, int>>> map(pools);
    tarn::arena arena;
    for (int i = 0; i < 1000; i++) {
        list.push_back(i);
        map[i] = i;
    }
    const point *q = arena.make<point>(3.0, 4.0);
    std::printf("containers: %zu and %zu elements, %g\n", list.size(), map.size(), q->x * q->y);
    return 0;
}
