/* SPDX-License-Identifier: MIT */
#include "heap/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct record {
    heap_ledger_entry entry;
    unsigned mark;
} record;

/* A block's address is only a key here; close ones make searches collide. */
static void *key(size_t number)
{
    return (void *)(uintptr_t)(number * 16 + 16);
}

static void grow(tarn_ledger *ledger)
{
    const size_t size = heap_ledger_next_size(ledger);
    const tarn_memory old = heap_ledger_house(ledger, (tarn_memory){malloc(size), size});
    free(old.start);
}

static void records_are_found_while_others_come_and_go(void **state)
{
    (void)state;
    enum { KEYS = 700 };
    static bool is_in[KEYS];
    tarn_ledger ledger;
    heap_ledger_init(&ledger, sizeof(record));
    uint64_t random = 1;
    for (int i = 0; i < 30000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const unsigned number = (unsigned)(random >> 40) % KEYS;
        record *found = heap_ledger_find(&ledger, key(number));
        assert_int_equal(found != NULL, is_in[number]);
        if (found != NULL) {
            assert_int_equal(found->mark, number);
            assert_int_equal(found->entry.size, number + 1);
            assert_ptr_equal(heap_ledger_at(&ledger, heap_ledger_number(&ledger, found)), found);
            heap_ledger_remove(&ledger, found);
        } else {
            if (heap_ledger_is_full(&ledger)) {
                grow(&ledger);
            }
            record *added = heap_ledger_add(&ledger, key(number), number + 1);
            added->mark = number;
        }
        is_in[number] = !is_in[number];
        if (i % 500 == 0) {
            assert_true(heap_ledger_check(&ledger, (char[1]){0}, 1));
        }
    }
    /* Vacant records are used again: at most KEYS were ever needed at once. */
    assert_true(ledger.touched <= KEYS);
    free(heap_ledger_empty(&ledger).start);
    assert_true(heap_ledger_is_full(&ledger));
    assert_null(heap_ledger_find(&ledger, key(0)));
}

static void a_ledger_too_large_for_its_index_is_not_grown(void **state)
{
    (void)state;
    tarn_ledger ledger;
    heap_ledger_init(&ledger, sizeof(record));
    ledger.capacity = (uint32_t)1 << 30;
    assert_true(heap_ledger_next_size(&ledger) == SIZE_MAX);
    ledger.capacity = (uint32_t)1 << 20;
    assert_true(heap_ledger_next_size(&ledger) == (size_t)(1 << 21) * (sizeof(record) + 8));
}

static void check_finds_a_record_that_cannot_be_found(void **state)
{
    (void)state;
    tarn_ledger ledger;
    char fault[100];
    heap_ledger_init(&ledger, sizeof(record));
    grow(&ledger);
    record *added = heap_ledger_add(&ledger, key(5), 1);
    added->entry.block = key(6);
    assert_false(heap_ledger_check(&ledger, fault, sizeof fault));
    assert_string_equal(fault, "block 0x70 is not found in the ledger");
    added->entry.block = key(5);
    ledger.count = 2;
    assert_false(heap_ledger_check(&ledger, fault, sizeof fault));
    assert_string_equal(fault, "the ledger has 1 records but counts 2");
    free(heap_ledger_empty(&ledger).start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_found_while_others_come_and_go),
        cmocka_unit_test(a_ledger_too_large_for_its_index_is_not_grown),
        cmocka_unit_test(check_finds_a_record_that_cannot_be_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
