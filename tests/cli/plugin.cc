/* SPDX-License-Identifier: MIT */
#include <cstdio>
#include <new>

/* A plug-in that has its C++ library inside, for a program that has none. */

static void *volatile sink;

extern "C" int plugin_run();

extern "C" int plugin_run()
{
    sink = ::operator new(100001);
    ::operator delete(sink);
    sink = ::operator new[](100016, std::align_val_t(256));
    ::operator delete[](sink, std::align_val_t(256));
    if (::operator new(static_cast<std::size_t>(-1) / 4, std::nothrow) != nullptr) {
        return 1;
    }
    try {
        sink = ::operator new(static_cast<std::size_t>(-1) / 4);
    } catch (const std::bad_alloc &) {
        std::puts("bad_alloc");
        return 0;
    }
    return 2;
}
