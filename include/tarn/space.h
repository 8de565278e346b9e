/* SPDX-License-Identifier: MIT */
#ifndef TARN_SPACE_H
#define TARN_SPACE_H

#include "tarn/base.h"
#include "tarn/frames.h"
#include "tarn/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Spaces: virtual addresses over physical frames.
 *
 *     47      39 38      30 29      21 20      12 11         0
 *     [ index 4 ][ index 3 ][ index 2 ][ index 1 ][  offset  ]     a virtual address
 *          |          |          |          |
 *     root table -> table ---> table ---> table -> entry: frame and bits
 *
 * A space is a page table of four levels with 512 entries each, in memory from upstream, that leads
 * from the 48-bit addresses of the space to frames. Two spaces have the same addresses for different
 * frames, and neither can reach what is not in its own table. An address is canonical if its bits
 * 48 to 63 repeat bit 47; others have no translation. Where frames are large pages, the table has
 * fewer levels, and a page is as large as a frame.
 *
 * tarn_space_translate() does what a processor's memory unit does with each access: it looks into a
 * translation buffer (TLB) of its own, and on a miss walks the table, sets the entry's accessed and
 * dirty bits, and puts it into the buffer; or tells the precise fault.
 *
 * tarn_space_attach() has the processor do it: the addresses of the space appear in the program's
 * own, as a *window*, where plain pointers reach the frames at full speed and the processor enforces
 * what the table allows. Every later change of the table changes the windows with it, or fails and
 * changes neither.
 *
 * tarn_space_fork() makes a space with the same contents in the time that it takes to copy the
 * table. Both keep the frames, each writable page is *copy on write* in both, and who writes first
 * gets a frame of its own. An image (tarn_space_snapshot()) is a fork that nobody writes to.
 *
 * Sizes and addresses are in bytes and multiples of a page, unless said otherwise.
 *
 * Memory: tables of 4 KiB, as many as the addresses need, and 100 bytes for each window. The frames
 * belong to the pool of frames, and a mapped page holds one reference to its frame.
 *
 * Cost: a translation takes constant time. Map, unmap, protect, share and fork take time linear in
 * the pages; for each window in reach, one call of the kernel for every stretch of neighbouring
 * pages that have neighbouring frames and the same access.
 *
 * Threads: one thread at a time may call the functions here on a space; different spaces are
 * independent, even with the same frames. Loads and stores through windows are for all threads at
 * any time: also stores that a window handles while another thread forks, maps or unmaps. Only
 * tarn_space_translate(), read and write keep apart from other threads' stores to pages that are
 * copy on write. A space belongs to the process that made it; after fork(2) the child must leave it
 * alone. A handler of a signal must not store to pages that are copy on write, for what it interrupts
 * may hold the lock that the copy needs; and a thread that blocks SIGSEGV ends by such a store.
 *
 * Misuse that is found: ending a space twice, detaching what is no window of it, and what
 * tarn/frames.h says. Fatal, see tarn/base.h.
 *
 * Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3A, chapter 4, for
 * tables, bits and faults; Denning, "Virtual Memory" (ACM Computing Surveys 2:3, 1970), and Organick,
 * The Multics System (1972), for segments over pages; Bobrow et al., "TENEX" (CACM 15:3, 1972), for
 * copy on write.
 */

/* The bits of an entry, where an x86-64 processor has them. */
#define TARN_PAGE_PRESENT 0x001U
#define TARN_PAGE_WRITABLE 0x002U
#define TARN_PAGE_USER 0x004U     /* accesses with TARN_ACCESS_USER, and pointers, may reach it */
#define TARN_PAGE_ACCESSED 0x020U /* translated since this bit was cleared */
#define TARN_PAGE_DIRTY 0x040U    /* translated for writing since */
#define TARN_PAGE_COPY 0x200U     /* copy on write: writable once it has a frame of its own */
#define TARN_PAGE_SHARED 0x400U   /* a fork shares it, instead of making it copy on write */

/* What an access wants of a page: reading, and the sum of these. */
#define TARN_ACCESS_READ 0U
#define TARN_ACCESS_WRITE TARN_PAGE_WRITABLE
#define TARN_ACCESS_USER TARN_PAGE_USER /* with no more rights than a program has */

/* Why an access cannot be. */
typedef enum tarn_fault {
    TARN_FAULT_NONE = 0,
    TARN_FAULT_NOT_PRESENT,   /* no page is mapped there */
    TARN_FAULT_PROTECTION,    /* the page, or the segment, does not allow it */
    TARN_FAULT_NON_CANONICAL, /* no 48-bit address */
    TARN_FAULT_NO_FRAME,      /* a page is copy on write, and there is no frame for the copy */
    TARN_FAULT_NO_MEMORY,     /* the same, but the kernel refuses to change a window */
    TARN_FAULT_NO_SEGMENT,    /* there is no such segment (any more) */
    TARN_FAULT_LIMIT          /* past the end of the segment */
} tarn_fault;

/* The fault in a short English phrase, in static storage; never NULL. */
TARN_API const char *tarn_fault_text(tarn_fault fault);

/* Where an address leads. */
typedef struct tarn_translation {
    tarn_frame frame; /* 0 with a fault */
    uint32_t offset;  /* bytes into the frame */
    tarn_fault fault;
    uint32_t level; /* of the table with the entry that decided, 4 being the root; 0: none did */
} tarn_translation;

/* The number of a segment; 0 is none. */
typedef uint32_t tarn_segment;

#define TARN_SPACE_TLB_SETS 128

/* Two entries of the translation buffer: which 4 KiB of addresses, and what the entries of their
 * pages are. Private. */
typedef struct tarn_space_tlb_set {
    uint64_t pages[2]; /* UINT64_MAX: none */
    uint64_t entries[2];
} tarn_space_tlb_set;

typedef struct tarn_space_options {
    const char *name;    /* for messages and reports; must outlive the space; NULL: "space" */
    tarn_frames *frames; /* must outlive the space */
    tarn_heap *upstream; /* where tables come from; NULL: tarn_pages_heap() */
    /* Addresses from here on cannot be mapped, a multiple of a page; 0: all that are canonical
     * can. */
    uint64_t limit;
    /* Each page that is copy on write has a frame put aside for its copy, so that no write to it
     * fails for want of one; a fork fails instead. */
    bool reserves_copies;
    /* Pages that the first write to one of them copies, if they are neighbours within so many and
     * all copy on write: a power of two up to 64; 0: 1. More of them make fewer faults, and fewer
     * mappings for the kernel, which has a limit (vm.max_map_count); and more copies that nobody
     * may need. */
    size_t copy_pages;
} tarn_space_options;

/* What the space has done and has. */
typedef struct tarn_page_stats {
    size_t pages;      /* mapped */
    size_t copy_pages; /* of these: copy on write */
    size_t tables;     /* with entries, the root among them */
    size_t footprint;  /* bytes held from upstream */
    size_t windows;
    size_t segments;
    uint64_t walks;  /* translations that the buffer did not have */
    uint64_t faults; /* translations that failed */
    uint64_t copies; /* frames copied for a write */
    uint64_t stores; /* stores through windows that were handled */
} tarn_page_stats;

struct space_window;
struct space_segment;

/* The type is complete so that it can live in static storage; its fields are private. It must not
 * be copied or moved while in use. */
typedef struct tarn_space {
    tarn_space_tlb_set tlb[TARN_SPACE_TLB_SETS];
    uint32_t offset_mask; /* of an address: the bits within a page */
    uint32_t shift;       /* log2 of a page's bytes */
    uint32_t lock;        /* guards the table, its books and the windows */
    uint64_t empty_since; /* books.walks when the buffer was empty last */
    uint64_t *root;
    tarn_frames *frames;
    tarn_space_options options; /* as given, with the defaults filled in */
    uint64_t *spare_tables;     /* empty ones, linked through their first word */
    size_t spare_count;
    size_t reserved; /* frames put aside for copies */
    struct space_window *windows;
    struct space_segment *segments;
    uint32_t segment_count; /* entries of the segment table in use or free */
    uint32_t segment_capacity;
    uint32_t segment_free; /* the first free entry, plus one; 0: none */
    uint32_t users;        /* stores that are being handled */
    uint32_t handlers;     /* windows that handle stores */
    tarn_page_stats books;
} tarn_space;

/* ------------------------------------------------------------------------------------------------
 * Spaces
 */

/* Makes an empty space. On failure `space` is unusable and holds nothing: TARN_BAD_ARGUMENT without
 * frames, or for a limit or copy_pages that are none; TARN_NO_MEMORY. Constant time. */
TARN_API tarn_status tarn_space_init(tarn_space *space, const tarn_space_options *options);

/* Ends the space: its windows go, and each page gives its reference back. Linear in the pages. */
TARN_API void tarn_space_deinit(tarn_space *space);

typedef struct tarn_map_options {
    unsigned access; /* a sum of TARN_PAGE_WRITABLE, TARN_PAGE_USER and TARN_PAGE_SHARED */
    /* The first of a run of frames that somebody holds: each gets a reference more, and the pages
     * are TARN_PAGE_SHARED. Where a frame is mapped so, it has to be TARN_PAGE_SHARED in every space
     * that has it: an image of a space to which it is private would see what others write. 0: new
     * frames, which read as zero. */
    tarn_frame frame;
    /* When not NULL: makes a segment of the pages, and gets its number. Its base is the address, its
     * limit `limit` bytes, at most `size` (0: that), its access that of the pages. */
    tarn_segment *segment;
    uint64_t limit;
} tarn_map_options;

/* Maps [address, address + size). NULL options are the zero ones. On failure nothing has changed:
 * TARN_BAD_LAYOUT    the size is 0, or one of the two is no multiple of a page.
 * TARN_BAD_ARGUMENT  a part is outside of the space's range or not canonical; an access or a limit
 *                    that is none; frames that nobody holds.
 * TARN_BUSY          a page there is mapped already.
 * TARN_NO_ROOM       there are not so many free frames.
 * TARN_TOO_LARGE     a frame would have 2^31 references.
 * TARN_NO_MEMORY     upstream has no memory for tables, or the kernel refuses to change a window, for
 *                    instance because the process has too many mappings (vm.max_map_count).
 *                    Also if there are 65,535 segments. */
TARN_API tarn_status tarn_space_map(tarn_space *space, uint64_t address, uint64_t size,
                                    const tarn_map_options *options);

/* Maps the frames of [from_address, from_address + size) of `from`, all of which is mapped there,
 * at `address` of `space` too: what is written through one of them is there in both, and a fork of
 * either shares it. `from` may be the space itself. Pages that are copy on write in `from` get
 * their own frames first, and keep them if the call then fails. Fails as tarn_space_map(); TARN_BAD_ARGUMENT also if a page of `from` is
 * not mapped, or the spaces have not the same frames. */
TARN_API tarn_status tarn_space_share(tarn_space *space, uint64_t address, tarn_space *from,
                                      uint64_t from_address, uint64_t size, unsigned access);

/* Unmaps what is mapped in [address, address + size); frames whose last reference that was are free.
 * With nothing changed: TARN_BAD_LAYOUT, TARN_BAD_ARGUMENT as tarn_space_map(); TARN_NO_MEMORY if
 * the kernel refuses to change a window. */
TARN_API tarn_status tarn_space_unmap(tarn_space *space, uint64_t address, uint64_t size);

/* Sets what [address, address + size) allows, to a sum of TARN_PAGE_WRITABLE and TARN_PAGE_USER. A
 * page that has to be copied before it is written to is then copy on write. Fails as
 * tarn_space_unmap(); TARN_BAD_ARGUMENT also if a page there is not mapped; TARN_NO_ROOM if there
 * are no frames to put aside for copies. */
TARN_API tarn_status tarn_space_protect(tarn_space *space, uint64_t address, uint64_t size,
                                        unsigned access);

typedef struct tarn_fork_options {
    const char *name;     /* as those of a space; NULL: the parent's */
    tarn_heap *upstream;  /* NULL: the parent's */
    bool is_image;        /* no page of the child is writable */
    bool reserves_copies; /* as that of a space, for the child */
} tarn_fork_options;

/* Makes `child` a copy of `space`: with the same pages and segments, and no windows. Pages that are
 * writable and not TARN_PAGE_SHARED are copy on write in both from now on, also in the windows of
 * `space`. No page of the child is accessed or dirty. NULL options are the zero ones.
 *
 * It takes effect at one moment: a store through a window of `space` by another thread is either in
 * the child or not, and every store that is in the child came before every one that is not, if the
 * program ordered the two.
 *
 * On failure nothing has changed and `child` is unusable: TARN_NO_MEMORY for tables, or if the
 * kernel refuses to change a window; TARN_NO_ROOM if there are no frames to put aside for copies;
 * TARN_TOO_LARGE as tarn_space_map(). */
TARN_API tarn_status tarn_space_fork(tarn_space *space, tarn_space *child,
                                     const tarn_fork_options *options);

/* A fork that is an image: what the space holds now, for as long as `image` is not ended. */
TARN_API tarn_status tarn_space_snapshot(tarn_space *space, tarn_space *image);

/* ------------------------------------------------------------------------------------------------
 * Accesses
 */

/* The full walk that translate does when the buffer has not what it needs. */
TARN_API tarn_translation tarn_space_walk(tarn_space *space, uint64_t address, unsigned access);

/* Gives frame and offset of any address, for an access that is a sum of TARN_ACCESS_..., or the
 * fault. A write to a page that is copy on write gives it a frame of its own. The translation is
 * good until the next call that changes the page. */
static inline tarn_translation tarn_space_translate(tarn_space *space, uint64_t address,
                                                    unsigned access)
{
    const uint64_t page = address >> 12;
    const tarn_space_tlb_set *set = &space->tlb[page % TARN_SPACE_TLB_SETS];
    const uint64_t is_first = set->pages[0] == page;
    const uint64_t is_second = set->pages[1] == page;
    /* Both are loaded and one is chosen without a branch, which nobody could foresee. */
    const uint64_t entry = (set->entries[0] & (0 - is_first)) | (set->entries[1] & (0 - is_second));
    /* A write also wants the dirty bit, which only a walk sets. */
    const uint64_t wanted =
        TARN_PAGE_PRESENT | access |
        (uint64_t)(access & TARN_ACCESS_WRITE) * (TARN_PAGE_DIRTY / TARN_ACCESS_WRITE);
    if ((entry & wanted) == wanted) {
        tarn_translation found = {0, 0, TARN_FAULT_NONE, 0};
        found.frame = (tarn_frame)(entry >> 12);
        found.offset = (uint32_t)address & space->offset_mask;
        return found;
    }
    return tarn_space_walk(space, address, access);
}

/* Reads or writes `size` bytes across any number of pages; `to` and `from` are the program's own
 * memory, also in a window. `access` may be TARN_ACCESS_USER. All pages are translated first: with a
 * fault not one byte has been copied, and *where, if that is not NULL, is the first address that
 * faults. */
TARN_API tarn_fault tarn_space_read(tarn_space *space, uint64_t address, void *to, size_t size,
                                    unsigned access, uint64_t *where);
TARN_API tarn_fault tarn_space_write(tarn_space *space, uint64_t address, const void *from,
                                     size_t size, unsigned access, uint64_t *where);

/* The bits of the entry for `address`, and the frame if `frame` is not NULL; 0 and 0 if nothing is
 * mapped there. Looks, and touches no bit. */
TARN_API unsigned tarn_space_look(tarn_space *space, uint64_t address, tarn_frame *frame);

/* Clears bits of what is mapped in [address, address + size): a sum of TARN_PAGE_ACCESSED and
 * TARN_PAGE_DIRTY, for who replaces pages or writes them back. Accesses through windows are not seen by
 * these bits. Fails as tarn_space_unmap(). */
TARN_API tarn_status tarn_space_clear(tarn_space *space, uint64_t address, uint64_t size,
                                      unsigned bits);

/* ------------------------------------------------------------------------------------------------
 * Windows
 */

typedef struct tarn_attach_options {
    /* A store to a page that is copy on write gives the page its own frame and goes on; without it,
     * such a store is a segmentation fault as any other. Unlike the kernel's after fork(2), this copy is
     * made for stores of the program alone: a system call that writes to such a page, as read(2) into
     * it, fails with EFAULT; store a byte there first, or use tarn_space_write(). The
     * first window that wants this makes the process's action for SIGSEGV a handler that calls the
     * previous one for every fault that is not of this kind; when the last one goes, the action is
     * again what it was. */
    bool handles_stores;
} tarn_attach_options;

/* Mounts [address, address + size) of the space into the program's own addresses, mapped or not, and
 * gives the start in *window: a multiple of a page. What is mapped there with TARN_PAGE_USER can be
 * read, and written if it is writable; all else faults. A size of 0 is all up to the space's limit.
 * With nothing changed: TARN_BAD_LAYOUT, TARN_BAD_ARGUMENT as tarn_space_map(); TARN_TOO_LARGE for a
 * size without a limit of the space, or past PTRDIFF_MAX; TARN_NO_MEMORY; TARN_UNSUPPORTED if the
 * kernel's page is larger than the space's, or it lets nobody handle faults. */
TARN_API tarn_status tarn_space_attach(tarn_space *space, uint64_t address, uint64_t size,
                                       const tarn_attach_options *options, void **window);

/* Takes the window that starts at `window` away; ignores NULL. */
TARN_API void tarn_space_detach(tarn_space *space, void *window);

/* ------------------------------------------------------------------------------------------------
 * Segments: a base and a limit, on top of pages
 */

/* The address of byte `offset` of the segment in *address, if `size` bytes from there are within its
 * limit and it allows the access; or the fault. What the pages there allow is for the access itself.
 * Constant time. */
TARN_API tarn_fault tarn_segment_address(const tarn_space *space, tarn_segment segment,
                                         uint64_t offset, uint64_t size, unsigned access,
                                         uint64_t *address);

/* The same, and then as the functions of spaces. */
TARN_API tarn_translation tarn_segment_translate(tarn_space *space, tarn_segment segment,
                                                 uint64_t offset, unsigned access);
TARN_API tarn_fault tarn_segment_read(tarn_space *space, tarn_segment segment, uint64_t offset,
                                      void *to, size_t size, unsigned access);
TARN_API tarn_fault tarn_segment_write(tarn_space *space, tarn_segment segment, uint64_t offset,
                                       const void *from, size_t size, unsigned access);

/* Loads the segment's registers: it now begins at `base`, any address, and has `limit` bytes.
 * TARN_BAD_ARGUMENT with nothing changed if there is no such segment, if the limit is 0, or if its
 * end is not canonical or outside of the range. Constant time. */
TARN_API tarn_status tarn_segment_set(tarn_space *space, tarn_segment segment, uint64_t base,
                                      uint64_t limit);

/* Ends the segment; its pages stay. TARN_BAD_ARGUMENT if there is none. Its number is not used again
 * for the next 65,535 segments in its place. */
TARN_API tarn_status tarn_segment_free(tarn_space *space, tarn_segment segment);

/* ------------------------------------------------------------------------------------------------
 * Books
 */

/* Constant time. */
TARN_API tarn_page_stats tarn_space_stats(tarn_space *space);

/* Gives empty tables that are kept for later back upstream; returns the bytes. */
TARN_API size_t tarn_space_trim(tarn_space *space);

/* Neighbouring pages with neighbouring frames and the same bits. */
typedef struct tarn_page_run {
    uint64_t address; /* of the first page */
    uint64_t size;    /* bytes */
    tarn_frame frame; /* of the first page */
    unsigned bits;    /* TARN_PAGE_..., accessed and dirty aside */
} tarn_page_run;

/* Called for a run; returns false to end the visit. The space must not be changed from inside. */
typedef bool tarn_page_visitor(void *context, const tarn_page_run *run);

/* Calls `visitor` for all that is mapped, in the order of addresses from 0 on. Linear in the pages. */
TARN_API void tarn_space_visit(tarn_space *space, tarn_page_visitor *visitor, void *context);

/* True if the books balance; else the first fault is in `fault` (always terminated, cut to
 * fault_size; may be NULL with 0). Reports, never aborts. Linear in the pages. */
TARN_API bool tarn_space_check(tarn_space *space, char *fault, size_t fault_size);

#ifdef __cplusplus
}
#endif

#endif
