/* SPDX-License-Identifier: MIT */
/* The command speaks to public headers only; this is not built. */
#include "os/os.h"
#include "tarn/arena.h"
