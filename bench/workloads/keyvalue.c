/* SPDX-License-Identifier: MIT */

/*
 * A mix like a key-value store's: a hash table with a limit on its bytes, which drops what was
 * used longest ago. Values are long-lived and of all sizes; halfway through, the sizes change, as
 * they do when the data of a service changes, so memory of one size must serve another.
 */

#include "work.h"

enum { BUCKETS = 1 << 16, KEYS = 200000, OPS = 2500000, LIMIT = 48 << 20 };

struct entry {
    struct entry *next; /* of its bucket */
    struct entry *newer;
    struct entry *older;
    char *value;
    uint32_t size; /* bytes of the value */
    uint32_t key;
    char name[]; /* the key as text */
};

struct store {
    work_random random;
    uint64_t checksum;
    uint64_t ops;
    struct entry *buckets[BUCKETS];
    struct entry *newest;
    struct entry *oldest;
    size_t bytes;
    int second_half;
};

static void unlink_use(struct store *store, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &store->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &store->oldest) = entry->newer;
}

static void link_newest(struct store *store, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = store->newest;
    *(store->newest != NULL ? &store->newest->newer : &store->oldest) = entry;
    store->newest = entry;
}

static struct entry **place_of(struct store *store, uint32_t key)
{
    struct entry **place = &store->buckets[work_mix(key) % BUCKETS];
    while (*place != NULL && (*place)->key != key) {
        place = &(*place)->next;
    }
    return place;
}

static void drop_oldest(struct store *store)
{
    struct entry *oldest = store->oldest;
    struct entry **place = place_of(store, oldest->key);
    *place = oldest->next;
    unlink_use(store, oldest);
    store->bytes -= oldest->size;
    store->checksum += work_read(oldest->value, oldest->size);
    free(oldest->value);
    free(oldest);
}

static uint32_t draw_size(struct store *store)
{
    const uint32_t kind = work_below(&store->random, 100);
    if (kind < (store->second_half ? 30u : 80u)) {
        return work_size(&store->random, 16, 511);
    }
    return kind < 97 ? work_size(&store->random, 512, 4095)
                     : work_size(&store->random, 4096, 65536);
}

static struct entry *add(struct entry **place, uint32_t key)
{
    char name[32];
    const int length = snprintf(name, sizeof name, "user:%u:profile", key);
    struct entry *entry = work_got(malloc(sizeof *entry + (size_t)length + 1));
    *entry = (struct entry){.next = *place, .key = key};
    memcpy(entry->name, name, (size_t)length + 1);
    *place = entry;
    return entry;
}

static void put(struct store *store, uint32_t key)
{
    struct entry **place = place_of(store, key);
    struct entry *entry = *place;
    if (entry == NULL) {
        entry = add(place, key);
    } else {
        store->bytes -= entry->size;
        store->checksum += work_read(entry->value, entry->size);
        free(entry->value);
        unlink_use(store, entry);
    }
    entry->size = draw_size(store);
    entry->value = work_got(malloc(entry->size));
    work_write(entry->value, entry->size, work_next(&store->random));
    link_newest(store, entry);
    store->bytes += entry->size;
    while (store->bytes > LIMIT && store->oldest != NULL) {
        drop_oldest(store);
    }
}

/* Copies the value into a reply, as a server does before it sends it. */
static void get(struct store *store, uint32_t key)
{
    struct entry *entry = *place_of(store, key);
    if (entry == NULL) {
        put(store, key);
        return;
    }
    unlink_use(store, entry);
    link_newest(store, entry);
    char *reply = work_got(malloc(entry->size + 32u));
    memcpy(reply, entry->value, entry->size);
    store->checksum += work_read(reply, entry->size) + (unsigned char)entry->name[5];
    free(reply);
}

int main(int argc, char **argv)
{
    static struct store store;
    store.random.state = work_mix(work_seed(argc, argv, 1));
    for (size_t i = 0; i < OPS; i++) {
        store.second_half = i > OPS / 2;
        /* Some keys are asked for much more often than others. */
        const uint32_t key = work_size(&store.random, 1, KEYS);
        if (work_below(&store.random, 10) < 3) {
            put(&store, key);
        } else {
            get(&store, key);
        }
    }
    while (store.oldest != NULL) {
        drop_oldest(&store);
    }
    work_report(OPS, store.checksum);
    return 0;
}
