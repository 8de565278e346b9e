/* SPDX-License-Identifier: MIT */
/* Expect: tarn: double free \(malloc, block 0x[0-9a-f]+\) */
#include <cstdio>

int main()
{
    long *object = new long[20];
    std::printf("blamed %p\n", static_cast<void *>(object));
    std::fflush(stdout);
    delete[] object;
    __asm__ volatile("" : "+r"(object) : : "memory");
    delete[] object;
    return 0;
}
