# SPDX-License-Identifier: MIT
# tarn_flags: how every object of this project is compiled. Link it PRIVATE.

add_library(tarn_flags INTERFACE)
target_compile_features(tarn_flags INTERFACE c_std_17)
target_compile_options(
    tarn_flags
    INTERFACE -Wall
              -Wextra
              -Wpedantic
              -Wshadow
              -Wconversion
              -Wvla
              -Wundef
              $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
              $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
              -fno-common
              -fvisibility=hidden)

if(TARN_WERROR)
    target_compile_options(tarn_flags INTERFACE -Werror)
endif()

if(TARN_HARDENED)
    target_compile_options(
        tarn_flags INTERFACE -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
                             -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -ftrivial-auto-var-init=zero)
    # Fixed-size pools look at each free.
    target_compile_definitions(tarn_flags INTERFACE TARN_HARDENED=1)
    target_link_options(tarn_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
else()
    # Each entry point is a handful of instructions, and endbr64 would be one more of them in every function;
    # the hardened preset turns it on.
    include(CheckCCompilerFlag)
    check_c_compiler_flag(-fcf-protection=none TARN_HAS_CF_PROTECTION)
    if(TARN_HAS_CF_PROTECTION)
        target_compile_options(tarn_flags INTERFACE -fcf-protection=none)
    endif()
endif()

if(TARN_SANITIZE)
    target_compile_options(tarn_flags INTERFACE -fsanitize=${TARN_SANITIZE} -fno-sanitize-recover=all
                                                -fno-omit-frame-pointer)
    target_link_options(tarn_flags INTERFACE -fsanitize=${TARN_SANITIZE})
endif()

if(TARN_COVERAGE)
    target_compile_options(tarn_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(tarn_flags INTERFACE --coverage)
endif()

if(TARN_ANALYZE)
    target_compile_options(tarn_flags INTERFACE -fanalyzer)
endif()
