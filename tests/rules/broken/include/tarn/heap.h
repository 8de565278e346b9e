/* SPDX-License-Identifier: MIT */
/* A header that does not stand alone, knows too much, and hides a function; it is not built. */
#include "tarn/malloc.h"

#ifdef __cplusplus
extern "C" {
#endif

TARN_API size_t tarn_declared_but_not_exported(void);
void tarn_without_mark(void);

#ifdef __cplusplus
}
#endif
