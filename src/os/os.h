/* SPDX-License-Identifier: MIT */
#ifndef TARN_OS_OS_H
#define TARN_OS_OS_H

/*
 * The kernel behind one contract. Nothing else in the project speaks to it about pages, locks, clocks or
 * randomness. No function here allocates from libc, sets errno for its caller, or takes a lock.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a kernel page: a power of two, asked once and then remembered. */
size_t os_page_size(void);

/* Maps `size` bytes (a multiple of the page size) of zeroed private memory at a multiple of `alignment` (a power of
 * two, at least the page size). NULL when the kernel refuses. */
void *os_pages_map(size_t size, size_t alignment);

/* The same at `hint` when that is free, else anywhere. */
void *os_pages_map_near(uintptr_t hint, size_t size);

/* Unmaps whole pages. */
void os_pages_unmap(void *start, size_t size);

/* Gives the pages' contents back to the kernel at once (MADV_DONTNEED): they stay mapped and read as zero.
 * False when the kernel refuses, for instance on locked memory: then the contents are as they were. */
bool os_pages_purge(void *start, size_t size);

/* Says that the pages are dense and will stay so: the kernel may back them by large pages. */
void os_pages_are_dense(void *start, size_t size);

/* Makes the pages inaccessible, or readable and writable again. */
bool os_pages_protect(void *start, size_t size, bool accessible);

/* Moves or grows a mapping, pages not bytes, to a multiple of `alignment`; both sizes multiples of the page size.
 * NULL with the old mapping as it was when the kernel refuses. */
void *os_pages_remap(void *start, size_t old_size, size_t new_size, size_t alignment);

/* Moves the pages of `from` to `to`, of the same size and mapped as well; `from` stays mapped and reads as zero. False
 * with nothing changed when the kernel refuses. */
bool os_pages_move(void *from, void *to, size_t size);

/* Moves a mapping onto another of `new_size` bytes, which it replaces. False when the kernel refuses: then `to` is mapped,
 * and `from` as it was. */
bool os_pages_move_to(void *from, size_t old_size, void *to, size_t new_size);

/* Resizes a mapping where it stands; false with nothing changed when there is no room. */
bool os_pages_resize(void *start, size_t old_size, size_t new_size);

/* Milliseconds of a clock that never goes back; cheap and coarse. */
uint64_t os_clock_ms(void);

/* Microseconds of a clock that never goes back; exact, and free of system calls where the kernel lets it be. */
uint64_t os_clock_us(void);

/* 64 bits that an attacker cannot guess; works before main. */
uint64_t os_random(void);

/* Writes the bytes to a descriptor, retrying what was interrupted. */
void os_write(int descriptor, const char *text, size_t size);

/* A lock of one word: free of allocation, usable before main, in atexit and after fork. Zero is unlocked. */
typedef struct os_lock {
    _Atomic(uint32_t) state; /* 0 free, 1 held, 2 held and somebody sleeps */
} os_lock;

void os_lock_slow(os_lock *lock);
void os_unlock_slow(os_lock *lock);

static inline void os_lock_take(os_lock *lock)
{
    uint32_t expected = 0;
    if (!atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                 memory_order_relaxed)) {
        os_lock_slow(lock);
    }
}

static inline bool os_lock_try(os_lock *lock)
{
    uint32_t expected = 0;
    return atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void os_lock_release(os_lock *lock)
{
    if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2) {
        os_unlock_slow(lock);
    }
}

/* The same for a lock in memory that several processes have mapped. */
void os_shared_lock_slow(os_lock *lock);
void os_shared_unlock_slow(os_lock *lock);

static inline void os_shared_lock_take(os_lock *lock)
{
    if (!os_lock_try(lock)) {
        os_shared_lock_slow(lock);
    }
}

static inline void os_shared_lock_release(os_lock *lock)
{
    if (atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2) {
        os_shared_unlock_slow(lock);
    }
}

/* The number of this process, also after a fork, free of system calls where nothing forked. */
uint32_t os_process_id(void);

/* Names the set of processes whose numbers mean the same to each other; 0 if the system does not say. */
uint64_t os_process_realm(void);

/* A lock in memory that several processes have mapped, which says who holds it, so that one who dies does not keep it.
 * Zero is unlocked. `is_peer`: every process that uses the lock is of the same realm; else nobody finds out who died. */
typedef struct os_process_lock {
    _Atomic(uint32_t)
        holder; /* 0, or the number of the process, with the highest bit if somebody sleeps */
} os_process_lock;

typedef enum os_lock_outcome {
    OS_LOCK_TAKEN = 0,
    OS_LOCK_INHERITED, /* taken from a process that died with it: what it guards may be half done */
    OS_LOCK_LATE       /* not taken within the time */
} os_lock_outcome;

os_lock_outcome os_process_lock_slow(os_process_lock *lock, bool is_peer, uint64_t milliseconds);
void os_process_unlock_slow(os_process_lock *lock);
uint32_t os_process_mark(bool is_peer);

/* Waits at most `milliseconds`; UINT64_MAX: for ever. */
static inline os_lock_outcome os_process_lock_take(os_process_lock *lock, bool is_peer,
                                                   uint64_t milliseconds)
{
    uint32_t expected = 0;
    if (atomic_compare_exchange_strong_explicit(&lock->holder, &expected, os_process_mark(is_peer),
                                                memory_order_acquire, memory_order_relaxed)) {
        return OS_LOCK_TAKEN;
    }
    return os_process_lock_slow(lock, is_peer, milliseconds);
}

static inline void os_process_lock_release(os_process_lock *lock)
{
    const uint32_t holder = atomic_exchange_explicit(&lock->holder, 0, memory_order_release);
    if ((holder >> 31) != 0) {
        os_process_unlock_slow(lock);
    }
}

/* Sleeps while *word is `expected`, at most `milliseconds` (UINT64_MAX: for ever), and may wake for no reason. */
void os_wait(_Atomic(uint32_t) *word, uint32_t expected, uint64_t milliseconds);

/* Wakes who sleeps on the word. */
void os_wake(_Atomic(uint32_t) *word, int count);

/*
 * Files. Descriptors are those of the process. What the system refuses comes back as its error number, 0 being success;
 * os_error_text() has its English words.
 */

/* Opens a file to be read. */
int os_file_open(const char *path, int *descriptor);

/* Makes a new file, which nobody else may read, to be written; it is an error if the path exists. */
int os_file_create(const char *path, int *descriptor);

/* Reads until `size` bytes are there or the file ends; *got says how many there are. */
int os_file_read(int descriptor, void *bytes, size_t size, size_t *got);
int os_file_write(int descriptor, const void *bytes, size_t size);

/* The same at `offset`, at most INT64_MAX - size, wherever the descriptor stands; it stays there. */
int os_file_read_at(int descriptor, void *bytes, size_t size, uint64_t offset, size_t *got);
int os_file_write_at(int descriptor, const void *bytes, size_t size, uint64_t offset);

/* What was written is on the medium. */
int os_file_sync(int descriptor);
int os_file_close(int descriptor);

/* A second descriptor of the same file, closed when another program is executed. */
int os_file_duplicate(int descriptor, int *copy);

/* Puts the file in the place of another, at once, and the change of the folder on the medium. */
int os_file_replace(const char *path, const char *with);
int os_file_remove(const char *path);

const char *os_error_text(int error);

/*
 * Files of memory: pages without a name in any folder, that may be mapped at several places and by several processes.
 * Errors are as for files.
 */

/* What the processor lets a program do with pages: a sum of these. */
#define OS_NONE 0u
#define OS_READ 1u
#define OS_WRITE 2u

/* Makes a file of `size` zero bytes that take memory as they are touched, in pages of `page_size`: the kernel's, or one
 * of its large ones. It is closed when another program is executed. `name` is what /proc/self/maps shows. */
int os_memory_file_create(const char *name, uint64_t size, size_t page_size, int *descriptor);
int os_memory_file_resize(int descriptor, uint64_t size);
int os_memory_file_size(int descriptor, uint64_t *size);

/* Fixes the file's size for good; whether that was done. */
int os_memory_file_seal(int descriptor);
bool os_memory_file_is_sealed(int descriptor);

/* Takes memory for [offset, offset + size) now. */
int os_memory_file_back(int descriptor, uint64_t offset, uint64_t size);

/* What kind of refusal the error number is: of memory or things of which there is a limit; of what the system does not
 * have or does not allow. */
bool os_error_is_shortage(int error);
bool os_error_is_refusal(int error);

/* The error of a call that says NULL when there is no memory. */
int os_shortage_error(void);

/* The pages [offset, offset + size) go back to the kernel and read as zero, wherever they are mapped. */
int os_memory_file_purge(int descriptor, uint64_t offset, uint64_t size);

/* Maps whole pages of the file, in place of whatever is mapped at `at`, or anywhere when that is NULL. What is written
 * through a private mapping stays with it. A failure leaves what is mapped at `at` as it was. */
int os_file_map(int descriptor, uint64_t offset, size_t size, unsigned access, bool is_private,
                void *at, void **start);

/* Address space with nothing behind it, at a multiple of `alignment`; NULL when the kernel refuses. It is given back by
 * os_pages_unmap, whatever has been mapped there since. */
void *os_pages_reserve(size_t size, size_t alignment);

/* Makes [start, start + size) address space with nothing behind it again. */
int os_pages_unback(void *start, size_t size);

/* Sets what may be done with mapped pages. */
int os_pages_set_access(void *start, size_t size, unsigned access);

/* A number that tells the file from any other that exists; 0 when the descriptor is none. */
uint64_t os_file_identity(int descriptor);

/* Gives the calling thread a table of descriptors of its own, with none in it: what the program closes and opens does not
 * concern it any more, nor the other way round. False when the kernel refuses. */
bool os_descriptors_part(void);

/* The calling thread's number, and a descriptor of the program's for what a thread has under `descriptor` in a table of its
 * own; an error number. */
uint32_t os_thread_number(void);
int os_descriptor_from(uint32_t thread, int descriptor, int *own);

/* Gives the descriptor a number far from those that programs count on, where there is room. */
int os_descriptor_raise(int descriptor);

/* Maps the pages behind [from, from + size), which are mapped shared, at `to` as well, in place of what is there; who
 * reads or writes there meanwhile finds the old pages or the new ones. An error number; `to` is
 * then as it was, or, with kernels before 6.12, perhaps no longer mapped. */
int os_pages_alias(void *from, size_t size, void *to);

/* Puts fresh pages that read as zero in place of [start, start + size). */
int os_pages_renew(void *start, size_t size);

/* Shared pages go back to the kernel, wherever they are mapped, and read as zero (MADV_REMOVE). */
int os_pages_remove(void *start, size_t size);

/* Keeps children of a fork from having the mapping. */
void os_pages_keep_from_children(void *start, size_t size);

/* How many pages of a private mapping are copies of the process's own; a count. `pagemap` is what os_pagemap_open gave, a
 * descriptor or -1, with which there are none. */
int os_pagemap_open(void);
size_t os_pages_owned(int pagemap, const void *start, size_t size);

/* False when a page has no mapping. */
bool os_pages_are_mapped(void *start, size_t size);

/* True while the process has locked memory (mlock, mlockall): what it maps may be populated at once, and cannot be given
 * back. */
bool os_memory_is_locked(void);

/* True where the kernel hands out no more memory than there is (vm.overcommit_memory=2): a page of a file of memory that
 * is touched first may then end the process. */
bool os_memory_is_promised(void);

/* How many mappings the process has, and how many the kernel allows; 0 when it does not say. */
size_t os_mapping_count(void);
size_t os_mapping_limit(void);

/*
 * Freezing: whoever writes to frozen pages waits until they thaw. One range at a time, kept by a lock of the caller's.
 */
typedef enum os_freezer {
    OS_FREEZER_NONE,
    /* The kernel lets writers wait (userfaultfd), the program's own and those inside of system calls. */
    OS_FREEZER_KERNEL,
    /* The pages are read-only, and a handler of SIGSEGV lets the program's writers wait. A system call that
     * writes there fails with EFAULT. */
    OS_FREEZER_SIGNAL
} os_freezer;

/* Gets ready, for the calling thread, until os_freezer_finish. */
os_freezer os_freezer_prepare(void);
void os_freezer_finish(void);
/* The last one. */
os_freezer os_freezer_used(void);

/* False, with nothing changed, when the kernel refuses. */
bool os_pages_freeze(void *start, size_t size);

/* `replaced`: others have been put in the pages' place since. */
void os_pages_thaw(void *start, size_t size, bool replaced);

/*
 * Faults: accesses to mapped memory that the processor refused.
 */

/* Called by the thread that faulted, inside of a signal handler: may take locks of ours that the thread cannot hold, and
 * must not allocate. `access` is OS_READ, OS_WRITE, or OS_NONE where the processor does not say. True: try again. */
typedef bool os_fault_handler(void *address, unsigned access);

/* Has the handler asked first about each fault; what it does not want is for the action that was there before. One
 * handler at a time, and one caller of these two. */
int os_faults_handle(os_fault_handler *handler);

/* Puts the action back, unless somebody has put another one in the place of ours, and perhaps calls it. */
void os_faults_leave(void);

#endif
