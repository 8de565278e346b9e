/* SPDX-License-Identifier: MIT */
#include "tarn/base.h"

/*
 * How a running program is recorded: `tarn record --pid` stops it, has it load the recorder, and writes a jump
 * to an island at the start of each function here; islands are within reach of a short jump, and jump on to
 * the recorder.
 *
 *     malloc:   jmp island ----> island:   jmp recorder's malloc ----> again_malloc
 *
 * So switching it on is possible at any time, and costs nothing until then: neither time nor, at start, a relocation.
 */

/* 40 islands of 16 bytes, which end whoever goes there as long as they are not used. */
#if defined(__x86_64__)
__asm__(".pushsection .text.islands,\"ax\",@progbits\n"
        ".balign 16\n"
        ".globl tarn_record_islands\n"
        ".type tarn_record_islands, @function\n"
        "tarn_record_islands:\n"
        ".fill 640, 1, 0xcc\n"
        ".size tarn_record_islands, . - tarn_record_islands\n"
        ".popsection\n");
#endif

#define LIBC(each)                                                                                 \
    each(malloc) each(calloc) each(realloc) each(reallocarray) each(free) each(cfree)              \
        each(free_sized) each(free_aligned_sized) each(aligned_alloc) each(posix_memalign)         \
            each(memalign) each(valloc) each(pvalloc)
#define CXX(each)                                                                                  \
    each(_Znwm) each(_Znam) each(_ZnwmRKSt9nothrow_t) each(_ZnamRKSt9nothrow_t)                    \
        each(_ZnwmSt11align_val_t) each(_ZnamSt11align_val_t)                                      \
            each(_ZnwmSt11align_val_tRKSt9nothrow_t) each(_ZnamSt11align_val_tRKSt9nothrow_t)      \
                each(_ZdlPv) each(_ZdaPv) each(_ZdlPvRKSt9nothrow_t) each(_ZdaPvRKSt9nothrow_t)    \
                    each(_ZdlPvSt11align_val_t) each(_ZdaPvSt11align_val_t)                        \
                        each(_ZdlPvSt11align_val_tRKSt9nothrow_t)                                  \
                            each(_ZdaPvSt11align_val_tRKSt9nothrow_t) each(_ZdlPvm) each(_ZdaPvm)  \
                                each(_ZdlPvmSt11align_val_t) each(_ZdaPvmSt11align_val_t)

#define DECLARE(name)                                                                              \
    extern unsigned char entry_of_##name[] __asm__(#name);                                         \
    extern unsigned char again_of_##name[] __asm__("again_" #name)                                 \
        __attribute__((visibility("hidden")));
LIBC(DECLARE)
CXX(DECLARE)

TARN_API bool tarn_record_entry(unsigned index, const char **name, void **entry, void **again);

/* The function number `index`: its name, where it begins, and the second one. False when there are no more. */
bool tarn_record_entry(unsigned index, const char **name, void **entry, void **again)
{
#define RETURN(function)                                                                           \
    if (index-- == 0) {                                                                            \
        *name = #function;                                                                         \
        *entry = entry_of_##function;                                                              \
        *again = again_of_##function;                                                              \
        return true;                                                                               \
    }
    LIBC(RETURN)
    CXX(RETURN)
    return false;
}
