/* SPDX-License-Identifier: MIT */
#include "tarn/base.h"

const char *tarn_status_text(tarn_status status)
{
    switch (status) {
    case TARN_OK:
        return "success";
    case TARN_NO_MEMORY:
        return "upstream has no memory left to give";
    case TARN_NO_ROOM:
        return "the memory given is too small";
    case TARN_TOO_LARGE:
        return "the size is too large";
    case TARN_BAD_LAYOUT:
        return "the size is zero or the alignment is no power of two";
    case TARN_BAD_ARGUMENT:
        return "an argument is not one that the call accepts";
    case TARN_UNSUPPORTED:
        return "this heap or this machine cannot do that";
    case TARN_BAD_DATA:
        return "the data is damaged or of another kind";
    case TARN_IO_FAILED:
        return "the system could not read or write";
    case TARN_BUSY:
        return "what would have to go is in use";
    }
    return "not a status of Tarn";
}
