/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "record/record.h"

#include "base/bits.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <libunwind-x86_64.h>
#endif

/*
 * Where a frame ends depends on nothing but the address of its code: it is so many bytes from the stack
 * pointer, or from the frame pointer, which the frame may have saved. libunwind finds out once per address,
 * and the rule is kept: after that a frame costs a look into a table and two loads.
 *
 *     caller's frame
 *     ------------------  <- end of the frame: stack pointer + offset, or frame pointer + offset
 *     return address
 *     saved frame pointer     (or elsewhere, or nowhere)
 *     locals
 *     ------------------  <- stack pointer
 *
 * To learn the rule, libunwind makes one step from a frame that does not exist: its pointers are numbers that
 * no address can be near, and from those that come back it is to be seen what they were made of.
 *
 * Invariant: an entry of the table whose tag fits its address is whole; entries change under no lock.
 */

static _Atomic(uint32_t) epoch = 1; /* goes up when code has gone from memory */

/* -------------------------------------------------------------------------------------------------
 * The last walk.
 */
static uint64_t extend_hash(uint64_t hash, uint64_t back)
{
    hash = (hash ^ back) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

/* The last walk is the one now: `kept` outer frames of it, and inside of them those of the path. */
static void keep_path(record_walk *walk, uint32_t kept, const record_level *path, uint32_t count)
{
    uint64_t hash = kept > 0 ? walk->levels[kept - 1].hash : 0;
    for (uint32_t i = 0; i < count; i++) {
        record_level *level = &walk->levels[kept + i];
        *level = path[count - 1 - i];
        hash = extend_hash(hash, level->back);
        level->hash = hash;
    }
    walk->count = kept + count;
}

static bool find_walk(record_thread *self)
{
    if (self->walk == NULL) {
        void *memory = mmap(NULL, sizeof *self->walk, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            return false;
        }
        self->walk = memory;
    }
    const uint32_t now = atomic_load_explicit(&epoch, memory_order_relaxed);
    if (self->walk->epoch != now) {
        self->walk->epoch = now;
        self->walk->count = 0;
    }
    return true;
}

#if defined(__x86_64__)

enum {
    RULES = 1 << 16, /* a power of two */
    PROBES = 8,
    OFFSET_SHIFT =
        8, /* bits of the rule: 0-7 kind, 8-31 offset in words, 32-39 saved at, 40-63 tag */
    SAVED_SHIFT = 32,
    TAG_SHIFT = 40,
    OFFSET_MAX = (1 << 24) - 1,
    SAVED_MAX = 255
};

enum { RULE_NONE, RULE_BY_STACK, RULE_BY_FRAME, RULE_END };

typedef struct unwind_rule {
    _Atomic(uint64_t) address;
    _Atomic(uint64_t) rule;
} unwind_rule;

static unwind_rule *rules;
static _Atomic(bool) has_strangers; /* rules of addresses that are no file's code */

/* Of libunwind, found when stacks are asked for: programs that are recorded without need not load it. */
static struct {
    unw_addr_space_t (*create)(unw_accessors_t *accessors, int order);
    int (*init)(unw_cursor_t *cursor, unw_addr_space_t space, void *context);
    int (*step)(unw_cursor_t *cursor);
    int (*get)(unw_cursor_t *cursor, int name, unw_word_t *value);
    unw_accessors_t *(*accessors)(unw_addr_space_t space);
    unw_addr_space_t *here;
    unw_addr_space_t space;
} unwinder;

/* -------------------------------------------------------------------------------------------------
 * Learning a rule.
 */

/* Numbers that no address of a program is near: not canonical, and far from each other. */
#define FAKE_STACK UINT64_C(0x1000000000000000)
#define FAKE_FRAME UINT64_C(0x2000000000000000)
#define FAKE_RANGE UINT64_C(0x0800000000000000)

/* What was read of the frame that does not exist. */
typedef struct unwind_lesson {
    uint64_t code; /* the address */
    uint64_t reads;
} unwind_lesson;

static bool is_near(uint64_t number, uint64_t fake)
{
    return number - (fake - FAKE_RANGE) < 2 * FAKE_RANGE;
}

/* NOLINTBEGIN(readability-non-const-parameter): libunwind's types of functions */
static int find_code(unw_addr_space_t space, unw_word_t address, unw_proc_info_t *info, int need,
                     void *context)
{
    (void)space;
    unw_accessors_t *real = unwinder.accessors(*unwinder.here);
    return real->find_proc_info(*unwinder.here, address, info, need, context);
}

static void put_code(unw_addr_space_t space, unw_proc_info_t *info, void *context)
{
    (void)space;
    unw_accessors_t *real = unwinder.accessors(*unwinder.here);
    if (real->put_unwind_info != NULL) {
        real->put_unwind_info(*unwinder.here, info, context);
    }
}

static int no_list(unw_addr_space_t space, unw_word_t *list, void *context)
{
    (void)space;
    (void)list;
    (void)context;
    return -UNW_ENOINFO;
}

/* A word of the frame is its own address + 1, so that a value says that it was saved, and where. All else
 * is the program's unwind tables. */
static int access_memory(unw_addr_space_t space, unw_word_t address, unw_word_t *value,
                         int is_write, void *context)
{
    (void)space;
    unwind_lesson *lesson = context;
    if (is_write != 0) {
        return -UNW_EINVAL;
    }
    if (is_near(address, FAKE_STACK) || is_near(address, FAKE_FRAME)) {
        lesson->reads++;
        *value = address + 1;
        return 0;
    }
    memcpy(value, (const void *)(uintptr_t)address, sizeof *value);
    return 0;
}

static int access_register(unw_addr_space_t space, unw_regnum_t name, unw_word_t *value,
                           int is_write, void *context)
{
    (void)space;
    const unwind_lesson *lesson = context;
    if (is_write != 0) {
        return -UNW_EREADONLYREG;
    }
    switch (name) {
    case UNW_X86_64_RIP:
        *value = lesson->code;
        return 0;
    case UNW_X86_64_RSP:
        *value = FAKE_STACK;
        return 0;
    case UNW_X86_64_RBP:
        *value = FAKE_FRAME;
        return 0;
    default:
        *value = 0;
        return 0;
    }
}

static int access_float(unw_addr_space_t space, unw_regnum_t name, unw_fpreg_t *value, int is_write,
                        void *context)
{
    (void)space;
    (void)name;
    (void)value;
    (void)is_write;
    (void)context;
    return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t space, unw_cursor_t *cursor, void *context)
{
    (void)space;
    (void)cursor;
    (void)context;
    return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t space, unw_word_t address, char *name, size_t size,
                   unw_word_t *offset, void *context)
{
    (void)space;
    (void)address;
    (void)name;
    (void)size;
    (void)offset;
    (void)context;
    return -UNW_ENOINFO;
}

/* NOLINTEND(readability-non-const-parameter) */

static int find_segment(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    const uint64_t *address = context;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0 &&
            *address - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz) {
            return 1;
        }
    }
    return 0;
}

/* True if code of a file is there. What a frame that was none says is returned to may be any number, and where
 * libunwind knows nothing of an address it reads what is there. */
static bool is_code(uint64_t address)
{
    return dl_iterate_phdr(find_segment, &address) != 0;
}

/* The rule of the code that is returned to at `address`, without its tag. */
static uint64_t learn(uint64_t address)
{
    /* The call that is returned from may be a function's last word: the rule is the call's. */
    unwind_lesson lesson = {.code = address - 1};
    unw_cursor_t cursor;
    if (unwinder.init(&cursor, unwinder.space, &lesson) != 0) {
        return RULE_NONE;
    }
    const int step = unwinder.step(&cursor);
    if (step == 0) {
        return RULE_END;
    }
    unw_word_t end = 0;
    unw_word_t back = 0;
    unw_word_t frame = 0;
    if (step < 0 || unwinder.get(&cursor, UNW_X86_64_RSP, &end) != 0 ||
        unwinder.get(&cursor, UNW_X86_64_RIP, &back) != 0 ||
        unwinder.get(&cursor, UNW_X86_64_RBP, &frame) != 0 || back != end - 8 + 1) {
        return RULE_NONE;
    }
    const bool by_stack = is_near(end, FAKE_STACK);
    if (!by_stack && !is_near(end, FAKE_FRAME)) {
        return RULE_NONE;
    }
    const uint64_t offset = end - (by_stack ? FAKE_STACK : FAKE_FRAME);
    if (offset % 8 != 0 || offset / 8 > OFFSET_MAX || offset == 0) {
        return RULE_NONE;
    }
    uint64_t saved = 0;
    if (frame != FAKE_FRAME) {
        saved = end - (frame - 1);
        if (saved % 8 != 0 || saved == 0 || saved / 8 > SAVED_MAX) {
            return RULE_NONE;
        }
    }
    return (by_stack ? RULE_BY_STACK : RULE_BY_FRAME) | offset / 8 << OFFSET_SHIFT |
           saved / 8 << SAVED_SHIFT;
}

/* -------------------------------------------------------------------------------------------------
 * The table.
 */
static uint64_t mix(uint64_t address)
{
    return (address * UINT64_C(0x9E3779B97F4A7C15)) >> 20;
}

static uint64_t tag_of(uint64_t hash)
{
    return (hash >> 20 & 0xFFFFFF) << TAG_SHIFT;
}

static __attribute__((noinline)) uint64_t learn_and_keep(record_process *process,
                                                         record_thread *self, uint64_t address)
{
    const record_change change = record_modules(process, self);
    if (change == RECORD_SOME_GONE || (change == RECORD_SOME_NEW && atomic_load(&has_strangers))) {
        /* Other code may be where code was, or was none. */
        memset(rules, 0, RULES * sizeof *rules);
        atomic_store(&has_strangers, false);
        atomic_fetch_add(&epoch, 1);
    }
    const bool is_known = is_code(address - 1);
    if (!is_known) {
        atomic_store(&has_strangers, true);
    }
    const uint64_t rule = is_known ? learn(address) : RULE_END;
    const uint64_t hash = mix(address);
    unwind_rule *slot = NULL;
    for (unsigned i = 0; i < PROBES && slot == NULL; i++) {
        unwind_rule *here = &rules[(hash + i) % RULES];
        if (atomic_load_explicit(&here->address, memory_order_relaxed) == 0) {
            slot = here;
        }
    }
    if (slot == NULL) {
        slot = &rules[(hash + address / 16 % PROBES) % RULES];
    }
    atomic_store_explicit(&slot->rule, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->address, address, memory_order_release);
    atomic_store_explicit(&slot->rule, rule | tag_of(hash), memory_order_release);
    return rule;
}

static inline uint64_t rule_of(record_process *process, record_thread *self, uint64_t address)
{
    const uint64_t hash = mix(address);
    for (unsigned i = 0; i < PROBES; i++) {
        const unwind_rule *slot = &rules[(hash + i) % RULES];
        if (atomic_load_explicit(&slot->address, memory_order_relaxed) == address) {
            const uint64_t rule = atomic_load_explicit(&slot->rule, memory_order_acquire);
            if ((rule >> TAG_SHIFT) << TAG_SHIFT == tag_of(hash) && (rule & 0xFF) != RULE_NONE) {
                return rule;
            }
            if (rule != 0 && (rule >> TAG_SHIFT) << TAG_SHIFT == tag_of(hash)) {
                return RULE_NONE;
            }
        }
    }
    return learn_and_keep(process, self, address);
}

/* -------------------------------------------------------------------------------------------------
 * The walk.
 */

/* The end of the first thread's stack, from the loader. */
extern void *__libc_stack_end; /* NOLINT(bugprone-reserved-identifier): glibc's name */

static void find_stack(record_thread *self)
{
    self->has_stack_range = true;
    if (syscall(SYS_gettid) == getpid()) {
        const uintptr_t end = (uintptr_t)__libc_stack_end;
        self->stack_high = base_align_up(end, os_page_size());
        /* As far as it may grow. What is further down is mapped by others; where there is no limit,
         * they are far away. */
        struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
        getrlimit(RLIMIT_STACK, &limit);
        const uintptr_t most = (uintptr_t)1 << 30;
        self->stack_low =
            self->stack_high - (limit.rlim_cur < most ? (uintptr_t)limit.rlim_cur : most);
        return;
    }
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        void *low;
        size_t size;
        if (pthread_attr_getstack(&attributes, &low, &size) == 0) {
            self->stack_low = (uintptr_t)low;
            self->stack_high = (uintptr_t)low + size;
        }
        pthread_attr_destroy(&attributes);
    }
}

/* On another stack (a signal's, a coroutine's) nobody knows where it ends: its pages have to be there. */
static bool is_mapped(uintptr_t address, uintptr_t *page_that_is)
{
    const size_t page_size = os_page_size();
    const uintptr_t page = base_align_down(address, page_size);
    if (page == *page_that_is) {
        return true;
    }
    /* The kernel reads it for us, and says what cannot be read; where that is forbidden, it at least
     * says what is mapped. */
    uint64_t word;
    const struct iovec to = {.iov_base = &word, .iov_len = sizeof word};
    const struct iovec from = {.iov_base = (void *)page, .iov_len = sizeof word};
    unsigned char resident;
    if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)sizeof word &&
        ((errno != EPERM && errno != ENOSYS) || mincore((void *)page, page_size, &resident) != 0)) {
        return false;
    }
    *page_that_is = page;
    return true;
}

static uint64_t word_at(uintptr_t address)
{
    uint64_t word;
    memcpy(&word, (const void *)address, sizeof word);
    return word;
}

/* True if memory says of every frame outside of `level` what it said the last time. Else `*limit` is the
 * one of which it does not. */
static bool is_as_before(const record_walk *walk, uint32_t level, uint32_t *limit)
{
    for (uint32_t i = level; i-- > 0;) {
        const record_level *outer = &walk->levels[i];
        if (word_at(outer->stack - 8) != outer->back ||
            (outer->saved != 0 && word_at(outer->saved) != outer->frame_pointer)) {
            *limit = i;
            return false;
        }
    }
    return true;
}

bool record_unwind(record_process *process, record_thread *self, void *const *frame)
{
    if (!self->has_stack_range) {
        find_stack(self);
    }
    if (!find_walk(self)) {
        return false;
    }
    record_walk *walk = self->walk;
    record_level *path = walk->path;
    uint32_t count = 0;
    record_level at = {.stack = (uintptr_t)(frame + 2),
                       .frame_pointer = (uintptr_t)frame[0],
                       .back = (uintptr_t)frame[1]};
    const bool is_own = at.stack > self->stack_low && at.stack < self->stack_high;
    const uintptr_t high = is_own ? self->stack_high : UINTPTR_MAX - 4096;
    uintptr_t page = 0;
    uint32_t before = is_own ? walk->count : 0; /* of the last walk: frames that are further out */
    uint32_t limit = before;
    while (at.back > 4096 && count < RECORD_PATH) {
        while (before > 0 && walk->levels[before - 1].stack < at.stack) {
            before--;
        }
        if (before > 0 && before <= limit) {
            const record_level *level = &walk->levels[before - 1];
            if (level->stack == at.stack && level->back == at.back &&
                level->frame_pointer == at.frame_pointer) {
                if (is_as_before(walk, before - 1, &limit)) {
                    break;
                }
            }
        }
        path[count++] = at;
        const uint64_t rule = rule_of(process, self, at.back);
        const unsigned kind = rule & 0xFF;
        if (kind != RULE_BY_STACK && kind != RULE_BY_FRAME) {
            before = 0;
            break;
        }
        const uintptr_t offset = (rule >> OFFSET_SHIFT & OFFSET_MAX) * 8;
        const uintptr_t end = (kind == RULE_BY_STACK ? at.stack : at.frame_pointer) + offset;
        const uintptr_t saved = end - (rule >> SAVED_SHIFT & SAVED_MAX) * 8;
        /* Frames only ever go outwards; what does not was no frame. */
        if (end <= at.stack || end > high || end % 8 != 0 || saved < at.stack - 16 ||
            (!is_own && (!is_mapped(end - 8, &page) || !is_mapped(saved, &page)))) {
            before = 0;
            break;
        }
        at.saved = 0;
        if (saved != end) {
            at.saved = saved;
            at.frame_pointer = word_at(saved);
        }
        at.back = word_at(end - 8);
        at.stack = end;
    }
    if (at.back <= 4096 || count == RECORD_PATH || before + count > RECORD_LEVELS) {
        before = 0;
    }
    keep_path(walk, before, path, count);
    return walk->count > 0;
}

/* libunwind opens pipes at its first step and keeps them. So that programs find the numbers that they expect for
 * their own files, the low ones are taken while it does. */
enum { NUMBERS_MAX = 1024, NUMBERS_ABOVE = 24 };

typedef struct unwind_numbers {
    uint64_t taken[NUMBERS_MAX / 64];
} unwind_numbers;

static void take_numbers(unwind_numbers *numbers)
{
    struct rlimit limit = {.rlim_cur = 0};
    getrlimit(RLIMIT_NOFILE, &limit);
    const int end =
        (int)(limit.rlim_cur < NUMBERS_MAX ? limit.rlim_cur : NUMBERS_MAX) - NUMBERS_ABOVE;
    const int file = end > 0 ? memfd_create("tarn-numbers", MFD_CLOEXEC) : -1;
    if (file < 0) {
        return;
    }
    int number = 0;
    while (number < end) {
        const int taken = fcntl(file, F_DUPFD_CLOEXEC, number);
        if (taken < 0) {
            break;
        }
        if (taken >= end) {
            close(taken);
            break;
        }
        numbers->taken[taken / 64] |= UINT64_C(1) << (unsigned)taken % 64;
        number = taken + 1;
    }
    if (file >= 0 && file < end) {
        numbers->taken[file / 64] |= UINT64_C(1) << (unsigned)file % 64;
    } else {
        close(file);
    }
}

static void give_numbers_back(const unwind_numbers *numbers)
{
    for (int i = 0; i < NUMBERS_MAX; i++) {
        if ((numbers->taken[i / 64] >> i % 64 & 1) != 0) {
            close(i);
        }
    }
}

static void take_first_step(void)
{
    unwind_numbers numbers = {0};
    take_numbers(&numbers);
    unwinder.accessors(*unwinder.here);
    learn((uintptr_t)__builtin_return_address(0));
    give_numbers_back(&numbers);
}

bool record_unwind_start(void)
{
    if (rules != NULL) {
        return true;
    }
    void *library = dlopen("libunwind-x86_64.so.8", RTLD_LAZY | RTLD_LOCAL);
    void *local = dlopen("libunwind.so.8", RTLD_LAZY | RTLD_LOCAL);
    if (library == NULL || local == NULL) {
        return false;
    }
    *(void **)&unwinder.create = dlsym(library, "_Ux86_64_create_addr_space");
    *(void **)&unwinder.init = dlsym(library, "_Ux86_64_init_remote");
    *(void **)&unwinder.step = dlsym(library, "_Ux86_64_step");
    *(void **)&unwinder.get = dlsym(library, "_Ux86_64_get_reg");
    *(void **)&unwinder.accessors = dlsym(local, "_Ux86_64_get_accessors");
    *(void **)&unwinder.here = dlsym(local, "_ULx86_64_local_addr_space");
    if (unwinder.create == NULL || unwinder.init == NULL || unwinder.step == NULL ||
        unwinder.get == NULL || unwinder.accessors == NULL || unwinder.here == NULL) {
        return false;
    }
    static unw_accessors_t accessors = {
        .find_proc_info = find_code,
        .put_unwind_info = put_code,
        .get_dyn_info_list_addr = no_list,
        .access_mem = access_memory,
        .access_reg = access_register,
        .access_fpreg = access_float,
        .resume = no_resume,
        .get_proc_name = no_name,
    };
    /* Little-endian, as the machine is. Nothing is cached there: the rules are. */
    unwinder.space = unwinder.create(&accessors, 1234);
    if (unwinder.space == NULL) {
        return false;
    }
    void *table = mmap(NULL, RULES * sizeof *rules, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        return false;
    }
    rules = table;
    take_first_step();
    return true;
}

#else

/* Elsewhere the frame pointers are followed, which aarch64's compilers keep. */
bool record_unwind(record_process *process, record_thread *self, void *const *frame)
{
    (void)process;
    if (!find_walk(self)) {
        return false;
    }
    record_level *path = self->walk->path;
    uint32_t count = 0;
    while (count < TRACE_FRAMES_MAX && frame != NULL && frame[1] != NULL) {
        path[count++] = (record_level){.back = (uintptr_t)frame[1]};
        void *const *next = frame[0];
        if (next <= frame || (uintptr_t)next % sizeof *next != 0 ||
            (uintptr_t)next - (uintptr_t)frame > 1 << 20) {
            break;
        }
        frame = next;
    }
    keep_path(self->walk, 0, path, count);
    return count > 0;
}

bool record_unwind_start(void)
{
    return true;
}

#endif
