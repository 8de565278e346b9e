/* SPDX-License-Identifier: MIT */
#ifndef TARN_PRELOAD_AGAIN_H
#define TARN_PRELOAD_AGAIN_H

/*
 * Included first of all where libc.c and cxx.c are built for the second time, under names of their own that
 * nobody outside sees. While a program that was started without it is recorded, the first ones begin with
 * a jump to the recorder, which asks the second ones: see entries.c.
 */

#define PRELOAD_PREFIX "again_"

#define malloc again_malloc
#define calloc again_calloc
#define realloc again_realloc
#define reallocarray again_reallocarray
#define free again_free
#define cfree again_cfree
#define free_sized again_free_sized
#define free_aligned_sized again_free_aligned_sized
#define aligned_alloc again_aligned_alloc
#define memalign again_memalign
#define posix_memalign again_posix_memalign
#define valloc again_valloc
#define pvalloc again_pvalloc

#endif
