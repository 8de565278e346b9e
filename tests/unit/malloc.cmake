# SPDX-License-Identifier: MIT
#
# Tests of the general malloc through its own API, which run under the sanitizers too.

tarn_unit_test(malloc_test malloc_test.c)
tarn_unit_test(malloc_heaps_test malloc_heaps_test.c)
tarn_unit_test(malloc_stats_test malloc_stats_test.c)
tarn_unit_test(malloc_conf_test malloc_conf_test.c)
tarn_unit_test(malloc_compact_test malloc_compact_test.c TIMEOUT 240)
tarn_unit_test(malloc_threads_test malloc_threads_test.c TIMEOUT 240 LABELS model)
