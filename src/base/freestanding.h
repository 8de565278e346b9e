/* SPDX-License-Identifier: MIT */
#ifndef TARN_BASE_FREESTANDING_H
#define TARN_BASE_FREESTANDING_H

/*
 * TARN_FREESTANDING is 1 in a build that has nothing but a compiler: no libc, no system, no threads,
 * no tools that watch. The build says so by -DTARN_FREESTANDING, or the compiler by -ffreestanding.
 */

#ifndef TARN_FREESTANDING
#if defined(__STDC_HOSTED__) && __STDC_HOSTED__ == 0
#define TARN_FREESTANDING 1
#else
#define TARN_FREESTANDING 0
#endif
#endif

#endif
