/* SPDX-License-Identifier: MIT */
/* An example of what the include rule forbids; it is not built. */
#include "pool/slots.h"
#include "tarn/malloc.h"
#include "slots.h"
#include "heap/slots.c"
#include <sys/mman.h>
#include <tarn/base.h>
/* #include "malloc/cache.h" is in a comment, and so is
 * #include "malloc/map.h"
 */
#include "os/os.h"
#include "tarn/base.h"
