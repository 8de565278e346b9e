/* SPDX-License-Identifier: MIT */
/* Expect: tarn: wrong size in sized free \(malloc, block 0x[0-9a-f]+\) */
#include <cstdio>
#include <new>

/* What deleting through a base class without a virtual destructor comes to. */
struct base {
    long number = 1;
};
struct derived : base {
    long more[50] = {};
};

int main()
{
    base *object = new derived;
    std::printf("blamed %p\n", static_cast<void *>(object));
    std::fflush(stdout);
    __asm__ volatile("" : "+r"(object) : : "memory");
    delete object;
    return 0;
}
