/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "trace/attach.h"
#include "record/next.h"
#include "record/record.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

/*
 * Recording a program that runs already, on libtarn-malloc. `tarn record` has had this library loaded by a thread
 * of the program, and has the same thread call the function below; then it stops all threads and puts the jumps in
 * place.
 */

#define EXPORT __attribute__((visibility("default")))

static attach_plan plan = {.magic = ATTACH_MAGIC, .version = ATTACH_VERSION};

typedef bool entry_function(unsigned index, const char **name, void **entry, void **again);

static entry_function *entry_of;

void *record_next_symbol(const char *name)
{
    if (entry_of == NULL) {
        return dlsym(RTLD_NEXT, name);
    }
    const char *known;
    void *entry;
    void *again;
    for (unsigned i = 0; entry_of(i, &known, &entry, &again); i++) {
        if (strcmp(known, name) == 0) {
            return again;
        }
    }
    return NULL;
}

static void *own_function(const char *name)
{
    Dl_info here;
    void *file = dladdr(&plan, &here) != 0 ? dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    void *function = file != NULL ? dlsym(file, name) : NULL;
    if (file != NULL) {
        dlclose(file); /* it is loaded for good */
    }
    return function;
}

static bool is_planned(const void *entry)
{
    for (uint32_t i = 0; i < plan.count; i++) {
        if (plan.patches[i].entry == (uintptr_t)entry) {
            return true;
        }
    }
    return false;
}

/* The islands of the allocator, `count` of them; NULL: it has none. */
static const unsigned char *find_islands(size_t *count)
{
    void *islands = dlsym(RTLD_DEFAULT, "tarn_record_islands");
    Dl_info file;
    ElfW(Sym) *symbol = NULL;
    if (islands == NULL || dladdr1(islands, &file, (void **)&symbol, RTLD_DL_SYMENT) == 0 ||
        symbol == NULL) {
        return NULL;
    }
    *count = symbol->st_size / ATTACH_ISLAND;
    return islands;
}

static bool make_plan(void)
{
    size_t island_count = 0;
    const unsigned char *islands = find_islands(&island_count);
    void *function = dlsym(RTLD_DEFAULT, "tarn_record_entry");
    if (islands == NULL || function == NULL) {
        return false;
    }
    memcpy(&entry_of, &function, sizeof function);
    const char *name;
    void *entry;
    void *again;
    /* The last island stays free: `tarn record` has calls return to it. */
    for (unsigned i = 0; plan.count + 1 < island_count && plan.count < ATTACH_PATCHES &&
                         entry_of(i, &name, &entry, &again);
         i++) {
        void *target = own_function(strcmp(name, "cfree") != 0 ? name : "free");
        /* The compiler may have made one function of two. */
        if (target != NULL && !is_planned(entry)) {
            plan.patches[plan.count] = (attach_patch){
                .entry = (uintptr_t)entry,
                .target = (uintptr_t)target,
                .island = (uintptr_t)islands + (uintptr_t)plan.count * ATTACH_ISLAND,
            };
            plan.count++;
        }
    }
    return plan.count > 0;
}

/* True if the program began with the recorder preloaded, and so calls it whether it is recorded or not. */
static bool is_preloaded(void)
{
    void *first = dlsym(RTLD_DEFAULT, "malloc");
    return first == own_function("malloc");
}

EXPORT attach_plan *tarn_record_attach(const char *home, unsigned long is_quiet);

/* Makes ready to be recorded by the `tarn record` that is at `home`; if that is NULL, it only ends what is left of an earlier
 * recording. `is_quiet` says that no thread is in this library. */
attach_plan *tarn_record_attach(const char *home, unsigned long is_quiet)
{
    record_thread *self = &record_self;
    const bool was_busy = self->is_busy;
    self->is_busy = true;
    if (plan.count == 0 && !make_plan()) {
        plan.status = ATTACH_NO_ENTRIES;
    } else if (record_is_on()) {
        plan.status = ATTACH_BUSY;
    } else if (home == NULL) {
        record_end();
        plan.status = ATTACH_READY;
    } else {
        record_find_next();
        plan.turn++;
        plan.status = record_begin_again(self, home, plan.turn, is_quiet != 0 && !is_preloaded())
                          ? ATTACH_READY
                          : ATTACH_NO_ANSWER;
    }
    self->is_busy = was_busy;
    return &plan;
}
