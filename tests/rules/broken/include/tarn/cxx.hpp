/* SPDX-License-Identifier: MIT */
/* A header of C++ that knows what is private; it is not built. */
#include "pool/core.h"
