/* SPDX-License-Identifier: MIT */
#ifndef TARN_CXX_HPP
#define TARN_CXX_HPP

#include "tarn/arena.h"
#include "tarn/heap.h"
#include "tarn/heaps.h"
#include "tarn/malloc.h"
#include "tarn/pool.h"
#include "tarn/twolevel.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#if __has_include(<memory_resource>)
#include <memory_resource>
#endif

/*
 * Tarn from C++: allocators for containers, a std::pmr::memory_resource, and owners. C++17, nothing
 * to link but libtarn.
 *
 *     std::list<int, tarn::allocator<int>> anywhere;             pools of the process, any thread
 *     std::list<int, tarn::allocator<int>> there(heap);          any tarn_heap
 *
 *     tarn::pools pools;                                         one thread at a time: the fastest
 *     std::map<int, text, std::less<int>,
 *              tarn::pool_allocator<std::pair<const int, text>>> map(pools);
 *
 *     tarn::memory_resource resource(heap);                      one type for all: std::pmr
 *     std::pmr::vector<int> vector(&resource);
 *
 *     tarn::pool<order> orders;                                  objects of one class
 *     tarn::pool<order>::unique_ptr order = orders.make_unique(17, "tea");
 *
 *     tarn::arena request;                                       objects that end together
 *     header *h = request.make<header>("Host", "example.org");
 *
 * Containers of nodes (list, map, set, unordered_map, ...) ask for one node at a time, always of
 * one size. For these the compiler picks the fixed-size pool, by the size of the node, when it
 * compiles the container. What asks for several things at once, a vector, a string, the table of an
 * unordered_map, is served by a heap.
 *
 * No memory: std::bad_alloc, or std::bad_array_new_length if the bytes asked for would pass
 * PTRDIFF_MAX; nothing has changed then. Compiled without exceptions, the program aborts instead;
 * all files of a program have to agree on that.
 *
 * Allocators. Each holds one pointer, which may be compared, and copies share what it points to,
 * which must outlive them and their blocks. Two that are equal may free each other's blocks.
 *
 *   - A copy of a container takes from where the container itself takes from.
 *   - An assigned copy stays where it is: only the elements come.
 *   - Move and swap take the memory, and the allocator with it, in constant time.
 *
 * Threads. What threads may use an allocator is said with it; a container itself is for one thread
 * at a time, as ever. None takes a lock that everything shares.
 *
 * Sources: Stroustrup, The C++ Programming Language (3rd edition, 1997), section 19.4.2, for one
 * pool for each size of node behind an allocator; Halpern, "Polymorphic Memory Resources" (WG21
 * N3916, 2014).
 */
namespace tarn
{

/* Private. */
namespace detail
{

[[noreturn, gnu::cold, gnu::noinline]] inline void no_memory()
{
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::abort();
#endif
}

[[noreturn, gnu::cold, gnu::noinline]] inline void too_many()
{
#if defined(__cpp_exceptions)
    throw std::bad_array_new_length();
#else
    std::abort();
#endif
}

inline void *or_throw(void *block)
{
    if (__builtin_expect(block == nullptr, 0)) {
        no_memory();
    }
    return block;
}

/* Sizes of objects that have a pool. Each of these is as well aligned as it can be without losing a
 * byte, so that the pool is found by the size alone; an object that needs more has none. */
inline constexpr std::size_t pool_step =
    8; /* bytes from the objects of one pool to the next one's */
inline constexpr std::size_t pool_max = TARN_POOL_OF_PROCESS_MAX; /* bytes */
inline constexpr std::size_t pool_alignment_max = 64;             /* bytes */
inline constexpr std::size_t pool_count = pool_max / pool_step;

constexpr bool has_pool(std::size_t size, std::size_t alignment)
{
    return size <= pool_max && alignment <= pool_alignment_max;
}

constexpr std::size_t pool_index(std::size_t size)
{
    return (size - 1) / pool_step;
}

/* The process's pool for this size, which is asked for only once. */
template <std::size_t Size> tarn_pool *pool_of_process()
{
    static std::atomic<tarn_pool *> known{nullptr};
    tarn_pool *pool = known.load(std::memory_order_acquire);
    if (__builtin_expect(pool == nullptr, 0)) {
        pool = tarn_pool_of_process(Size);
        if (pool == nullptr) {
            no_memory();
        }
        known.store(pool, std::memory_order_release);
    }
    return pool;
}

/* Stands where no pool has been made yet: it has nothing at hand, which is found out on the way that a pool in use
 * takes when it has nothing at hand. Told by its having no functions. */
inline void *nothing_below[1] = {};
constexpr tarn_pool make_unmade()
{
    tarn_pool pool = {};
    pool.open.top = nothing_below + 1;
    pool.open.limit = nothing_below + 1;
    return pool;
}
inline tarn_pool unmade = make_unmade();

/* Frees a block unless it is told not to, when a constructor throws. */
template <class Free> class guard
{
  public:
    explicit guard(Free free) : free_(free)
    {
    }
    guard(const guard &) = delete;
    guard &operator=(const guard &) = delete;
    ~guard()
    {
        if (is_armed_) {
            free_();
        }
    }
    void disarm()
    {
        is_armed_ = false;
    }

  private:
    Free free_;
    bool is_armed_ = true;
};

/* A move-only owner of what `End` ends. */
template <class C, void (*End)(C *)> class owner
{
  public:
    owner(owner &&other) noexcept : it_(std::exchange(other.it_, nullptr))
    {
    }
    owner &operator=(owner &&other) noexcept
    {
        if (this != &other) {
            C *const old = std::exchange(it_, std::exchange(other.it_, nullptr));
            if (old != nullptr) {
                End(old);
            }
        }
        return *this;
    }
    ~owner()
    {
        if (it_ != nullptr) {
            End(it_);
        }
    }
    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;

    /* For the functions in C; NULL after it was moved from, or released. */
    C *get() const noexcept
    {
        return it_;
    }
    /* It is the caller's now, to be ended by the function in C. */
    C *release() noexcept
    {
        return std::exchange(it_, nullptr);
    }
    explicit operator bool() const noexcept
    {
        return it_ != nullptr;
    }

  protected:
    explicit owner(C *it) : it_(it)
    {
        (void)or_throw(it);
    }

  private:
    C *it_;
};

struct pools_source;

} // namespace detail

/* ------------------------------------------------------------------------------------------------
 * Pools of one's own
 */

/*
 * A set of fixed-size pools for containers, one for each size of node in steps of 8 bytes, each
 * made when the first node asks for it. Nodes of up to 1024 bytes and an alignment of up to 64 come
 * from there, all else from `heap()`.
 *
 * For one thread at a time: the set, and every container that takes from it. It can be neither
 * copied nor moved, as its containers know where it is.
 *
 * Cost: a node is about seven instructions, inline; then tarn/pool.h has it. A set that no container
 * uses holds nothing; each pool that is made takes a page for its books, and its chunks.
 */
class pools
{
  public:
    /* Chunks, and what has no pool, come from `upstream`, which must outlive the set. NULL: chunks
     * from tarn_pages_heap(), the rest from tarn_system_heap(). */
    explicit pools(tarn_heap *upstream = nullptr) noexcept
        : upstream_(upstream), heap_(upstream != nullptr ? upstream : tarn_system_heap())
    {
        pools_.fill(&detail::unmade);
    }

    /* Every node goes, in use or not, and without its destructor; so containers go first. What came
     * from heap() does not. */
    ~pools()
    {
        for (tarn_pool *pool : pools_) {
            if (is_made(pool)) {
                tarn_pool_destroy(pool);
            }
        }
    }

    pools(const pools &) = delete;
    pools &operator=(const pools &) = delete;

    /* Where blocks come from that have no pool. */
    tarn_heap *heap() const noexcept
    {
        return heap_;
    }

    /* The pool for objects of `size` bytes, made if need be. Throws std::bad_alloc, also for a size
     * that has no pool: 0, or above 1024. */
    tarn_pool *pool_for(std::size_t size)
    {
        const std::size_t index = detail::pool_index(size);
        if (index >= detail::pool_count) {
            detail::no_memory();
        }
        tarn_pool *const pool = pools_[index];
        return is_made(pool) ? pool : make(index);
    }

    /* Gives every chunk without a node in use back upstream; returns the bytes. Linear in the nodes
     * at hand and in the chunks. */
    std::size_t trim() noexcept
    {
        std::size_t bytes = 0;
        for (tarn_pool *pool : pools_) {
            bytes += is_made(pool) ? tarn_pool_trim(pool) : 0;
        }
        return bytes;
    }

    /* Frees every node at once, without destructors: of containers that are never looked at again.
     * Linear in the chunks' books. */
    void reset() noexcept
    {
        for (tarn_pool *pool : pools_) {
            if (is_made(pool)) {
                tarn_pool_reset(pool);
            }
        }
    }

    /* Those of all pools together, heap() not included. Peaks are sums of peaks. */
    tarn_stats stats() const noexcept
    {
        tarn_stats all = {};
        for (tarn_pool *pool : pools_) {
            if (is_made(pool)) {
                const tarn_stats one = tarn_pool_stats(pool);
                all.live += one.live;
                all.peak_live += one.peak_live;
                all.footprint += one.footprint;
                all.peak_footprint += one.peak_footprint;
                all.largest_free =
                    one.largest_free > all.largest_free ? one.largest_free : all.largest_free;
                all.blocks += one.blocks;
                all.allocs += one.allocs;
                all.frees += one.frees;
                all.failures += one.failures;
            }
        }
        return all;
    }

    /* True if the books of all pools balance; else as tarn_pool_check() says. */
    bool check(char *fault = nullptr, std::size_t fault_size = 0) const noexcept
    {
        for (tarn_pool *pool : pools_) {
            if (is_made(pool) && !tarn_pool_check(pool, fault, fault_size)) {
                return false;
            }
        }
        return true;
    }

  private:
    friend detail::pools_source;

    /* An object out of the pool's cache; or NULL, also where there is no pool yet. */
    void *at_hand(std::size_t size) const noexcept
    {
        tarn_pool *const pool = pools_[detail::pool_index(size)];
        void **const top = pool->open.top;
        void *const object = top[-1];
        if (__builtin_expect(object != nullptr, 1)) {
            pool->open.top = top - 1;
        }
        return object;
    }

    [[gnu::noinline]] void *alloc_slow(std::size_t size)
    {
        return detail::or_throw(tarn_pool_alloc(pool_for(size)));
    }

    /* That of an object that came from it, so it is there. */
    tarn_pool *pool_of(std::size_t size) const noexcept
    {
        return pools_[detail::pool_index(size)];
    }

    [[gnu::cold, gnu::noinline]] tarn_pool *make(std::size_t index)
    {
        tarn_pool_options options = {};
        options.size = (index + 1) * detail::pool_step;
        options.alignment = options.size & (~options.size + 1);
        if (options.alignment > detail::pool_alignment_max) {
            options.alignment = detail::pool_alignment_max;
        }
        options.upstream = upstream_;
        options.name = "pools";
        if (tarn_pool_create(&pools_[index], &options) != TARN_OK) {
            detail::no_memory();
        }
        return pools_[index];
    }

    static bool is_made(const tarn_pool *pool) noexcept
    {
        return pool->heap.ops != nullptr;
    }

    std::array<tarn_pool *, detail::pool_count> pools_; /* unmade ones, until they are asked for */
    tarn_heap *upstream_;
    tarn_heap *heap_;
};

/* ------------------------------------------------------------------------------------------------
 * Where allocators take from. Each holds a pointer, and knows at compile time how large and how
 * well aligned a block is; `one` is for a single object, `many` for any bytes. Private.
 * */
namespace detail
{

inline void *from_heap(tarn_heap *heap, std::size_t bytes, std::size_t alignment)
{
    return or_throw(tarn_heap_alloc(heap, bytes, alignment));
}

/* A heap; without one, the process's pools, and the system heap for what has none. */
struct heap_source {
    tarn_heap *heap = nullptr;

    heap_source() = default;
    heap_source(tarn_heap *it) : heap(it) /* NOLINT: converts, as a std::pmr allocator does */
    {
    }

    template <std::size_t Size, std::size_t Alignment> void *one() const
    {
        if constexpr (has_pool(Size, Alignment)) {
            if (heap == nullptr) {
                return or_throw(tarn_pool_alloc_slow(pool_of_process<Size>()));
            }
        }
        return many<Alignment>(Size);
    }
    template <std::size_t Size, std::size_t Alignment> void free_one(void *block) const
    {
        if constexpr (has_pool(Size, Alignment)) {
            if (heap == nullptr) {
                tarn_pool_free_slow(pool_of_process<Size>(), block);
                return;
            }
        }
        free_many<Alignment>(block, Size);
    }
    template <std::size_t Alignment> void *many(std::size_t bytes) const
    {
        return from_heap(heap != nullptr ? heap : tarn_system_heap(), bytes, Alignment);
    }
    template <std::size_t Alignment> void free_many(void *block, std::size_t bytes) const
    {
        tarn_heap_free(heap != nullptr ? heap : tarn_system_heap(), block, bytes);
    }
    bool operator==(const heap_source &other) const
    {
        return heap == other.heap;
    }
};

struct pools_source {
    pools *set;

    pools_source(pools &it) : set(&it) /* NOLINT: converts */
    {
    }

    template <std::size_t Size, std::size_t Alignment> void *one() const
    {
        if constexpr (has_pool(Size, Alignment)) {
            void *const object = set->at_hand(Size);
            return __builtin_expect(object != nullptr, 1) ? object : set->alloc_slow(Size);
        } else {
            return many<Alignment>(Size);
        }
    }
    template <std::size_t Size, std::size_t Alignment> void free_one(void *block) const
    {
        if constexpr (has_pool(Size, Alignment)) {
            if (block == nullptr) {
                __builtin_unreachable(); /* which spares the pool the test */
            }
            tarn_pool_free(set->pool_of(Size), block);
        } else {
            free_many<Alignment>(block, Size);
        }
    }
    template <std::size_t Alignment> void *many(std::size_t bytes) const
    {
        return from_heap(set->heap(), bytes, Alignment);
    }
    template <std::size_t Alignment> void free_many(void *block, std::size_t bytes) const
    {
        tarn_heap_free(set->heap(), block, bytes);
    }
    bool operator==(const pools_source &other) const
    {
        return set == other.set;
    }
};

struct arena_source {
    tarn_arena *arena;

    arena_source(tarn_arena *it) : arena(it) /* NOLINT: converts */
    {
    }

    template <std::size_t Size, std::size_t Alignment> void *one() const
    {
        return many<Alignment>(Size);
    }
    template <std::size_t Size, std::size_t Alignment> void free_one(void *block) const
    {
        tarn_arena_free(arena, block, Size);
    }
    template <std::size_t Alignment> void *many(std::size_t bytes) const
    {
        return or_throw(tarn_arena_alloc_aligned(arena, bytes, Alignment));
    }
    template <std::size_t Alignment> void free_many(void *block, std::size_t bytes) const
    {
        tarn_arena_free(arena, block, bytes);
    }
    bool operator==(const arena_source &other) const
    {
        return arena == other.arena;
    }
};

struct twolevel_source {
    tarn_twolevel *instance = nullptr;

    twolevel_source() = default;
    twolevel_source(tarn_twolevel *it) : instance(it) /* NOLINT: converts */
    {
    }

    tarn_twolevel *where() const
    {
        return instance != nullptr ? instance : tarn_twolevel_of_thread();
    }
    template <std::size_t Size, std::size_t Alignment> void *one() const
    {
        return many<Alignment>(Size);
    }
    template <std::size_t Size, std::size_t Alignment> void free_one(void *block) const
    {
        free_many<Alignment>(block, Size);
    }
    /* Its typed functions align to 16 at most. */
    template <std::size_t Alignment> void *many(std::size_t bytes) const
    {
        if constexpr (Alignment > 16) {
            return from_heap(&where()->heap, bytes, Alignment);
        } else {
            return or_throw(tarn_twolevel_alloc(where(), bytes));
        }
    }
    template <std::size_t Alignment> void free_many(void *block, std::size_t bytes) const
    {
        if constexpr (Alignment > 16) {
            tarn_heap_free(&where()->heap, block, bytes);
        } else {
            tarn_twolevel_free(where(), block, bytes);
        }
    }
    bool operator==(const twolevel_source &other) const
    {
        return instance == other.instance;
    }
};

/* What the containers are told. */
template <class T, class Source> class allocator_over
{
  public:
    using value_type = T;
    using propagate_on_container_copy_assignment = std::false_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::false_type;

    template <class S = Source, class = std::enable_if_t<std::is_default_constructible_v<S>>>
    allocator_over() noexcept
    {
    }

    /* From what the source is made from: a heap, a set of pools, ... */
    template <class From, class = std::enable_if_t<std::is_convertible_v<From &&, Source>>>
    allocator_over(From &&from) noexcept /* NOLINT: converts, as a std::pmr allocator does */
        : source_(std::forward<From>(from))
    {
    }

    template <class U>
    allocator_over(const allocator_over<U, Source> &other) noexcept /* NOLINT: containers need it */
        : source_(other.source())
    {
    }

    /* Room for `count` objects; 0 is served as 1. */
    [[nodiscard]] T *allocate(std::size_t count)
    {
        if (count == 1) {
            return static_cast<T *>(source_.template one<sizeof(T), alignof(T)>());
        }
        if (__builtin_expect(count > max_size(), 0)) {
            too_many();
        }
        return static_cast<T *>(source_.template many<alignof(T)>(count * sizeof(T)));
    }

    /* `count` is what was asked for. */
    void deallocate(T *block, std::size_t count) noexcept
    {
        if (count == 1) {
            source_.template free_one<sizeof(T), alignof(T)>(block);
        } else {
            source_.template free_many<alignof(T)>(block, count * sizeof(T));
        }
    }

    std::size_t max_size() const noexcept
    {
        return static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T);
    }

    /* Private. */
    const Source &source() const noexcept
    {
        return source_;
    }

  private:
    Source source_;
};

template <class T, class U, class Source>
bool operator==(const allocator_over<T, Source> &a, const allocator_over<U, Source> &b) noexcept
{
    return a.source() == b.source();
}

template <class T, class U, class Source>
bool operator!=(const allocator_over<T, Source> &a, const allocator_over<U, Source> &b) noexcept
{
    return !(a.source() == b.source());
}

} // namespace detail

/* ------------------------------------------------------------------------------------------------
 * Allocators
 */

/* Made from nothing: one object at a time comes from the pool that the process has for its size
 * (tarn_pool_of_process), anything else from tarn_system_heap(). Any thread may use it, and free
 * what another allocated. About 30 instructions for a node.
 *
 * Made from a `tarn_heap *`: everything comes from that heap, whatever kind of pool it is. Threads
 * and cost are the heap's, and a call through the interface. NULL is the same as nothing. */
template <class T> using allocator = detail::allocator_over<T, detail::heap_source>;

/* Made from a `tarn::pools &`. */
template <class T> using pool_allocator = detail::allocator_over<T, detail::pools_source>;

/* Made from a `tarn_arena *`. Inline, about ten instructions; what is freed is used again only
 * where it is the newest, so it suits what grows and then goes as a whole. Destructors of the
 * elements run with the container's, before the arena's reset, or not at all. */
template <class T> using arena_allocator = detail::allocator_over<T, detail::arena_source>;

/* Made from a `tarn_twolevel *`, for the threads that may use it; or from nothing: the instance of
 * whichever thread calls, and any thread may free what another allocated. Inline, about ten
 * instructions. */
template <class T> using twolevel_allocator = detail::allocator_over<T, detail::twolevel_source>;

/* ------------------------------------------------------------------------------------------------
 * std::pmr, where the standard library has it
 */
#if defined(__cpp_lib_memory_resource) || __has_include(<memory_resource>)

/* A heap, which must outlive it, as a resource. Threads and cost are the heap's. Two are equal if
 * they are over the same heap; without run-time type information, only if they are the same. */
class memory_resource final : public std::pmr::memory_resource
{
  public:
    /* `heap` is not NULL. */
    explicit memory_resource(tarn_heap *heap) noexcept : heap_(heap)
    {
    }

    tarn_heap *heap() const noexcept
    {
        return heap_;
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        return detail::from_heap(heap_, bytes, alignment);
    }

    void do_deallocate(void *block, std::size_t bytes, std::size_t) override
    {
        tarn_heap_free(heap_, block, bytes);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
#if defined(__cpp_rtti) || defined(__GXX_RTTI)
        const auto *const same = dynamic_cast<const memory_resource *>(&other);
        return same != nullptr && same->heap_ == heap_;
#else
        return this == &other;
#endif
    }

    tarn_heap *heap_;
};

#endif

/* ------------------------------------------------------------------------------------------------
 * Owners: each makes what it owns and ends it. They can be moved, not copied; after a move what is
 * moved from owns nothing, and nothing may be asked of it but get(), an assignment and its end.
 * Threads are those of what they own.
 * */

/* A fixed-size pool of objects of a class. Live objects end with the pool, without their
 * destructors; so what has one that matters is destroyed before. */
template <class T> class pool : public detail::owner<tarn_pool, tarn_pool_destroy>
{
    using base = detail::owner<tarn_pool, tarn_pool_destroy>;

  public:
    /* Ends an object of a pool; holds the pool, which must outlive the object. */
    struct deleter {
        tarn_pool *pool = nullptr;
        void operator()(T *object) const noexcept
        {
            object->~T();
            tarn_pool_free(pool, object);
        }
    };
    using unique_ptr = std::unique_ptr<T, deleter>;

    /* NULL: tarn_pages_heap(). Throws std::bad_alloc. */
    explicit pool(tarn_heap *upstream = nullptr) : base(create(over(upstream)))
    {
    }

    /* Size and alignment are those of T whatever the options say; they have neither `construct` nor
     * `destruct`, which is what make() and destroy() are for. Throws std::bad_alloc, also for
     * options that contradict each other. */
    explicit pool(const tarn_pool_options &options) : base(create(options))
    {
    }

    /* A new T; throws std::bad_alloc, also when `max_objects` is reached, and what the constructor
     * does; nothing has changed then. */
    template <class... Args> T *make(Args &&...args)
    {
        tarn_pool *const from = this->get();
        void *const memory = detail::or_throw(tarn_pool_alloc(from));
        detail::guard guard([from, memory] { tarn_pool_free(from, memory); });
        T *const object = ::new (memory) T(std::forward<Args>(args)...);
        guard.disarm();
        return object;
    }

    template <class... Args> unique_ptr make_unique(Args &&...args)
    {
        return unique_ptr(make(std::forward<Args>(args)...), deleter{this->get()});
    }

    /* Ends an object of this pool; ignores NULL. */
    void destroy(T *object) noexcept
    {
        if (object != nullptr) {
            deleter{this->get()}(object);
        }
    }

    /* The pool as a heap. */
    tarn_heap *heap() const noexcept
    {
        return &this->get()->heap;
    }

  private:
    static tarn_pool_options over(tarn_heap *upstream) noexcept
    {
        tarn_pool_options options = {};
        options.upstream = upstream;
        return options;
    }

    static tarn_pool *create(tarn_pool_options options) noexcept
    {
        tarn_pool *made = nullptr;
        options.size = sizeof(T);
        options.alignment = alignof(T);
        return tarn_pool_create(&made, &options) == TARN_OK ? made : nullptr;
    }
};

/* A new T in the arena, which ends with it: if T has a destructor that does something, it is a
 * cleanup of the arena, so it runs at the reset, the release or the end, newest first. Throws
 * std::bad_alloc and what the constructor does; the memory is the arena's again then. */
template <class T, class... Args> T *arena_make(tarn_arena *arena, Args &&...args)
{
    void *const memory = detail::or_throw(tarn_arena_alloc_aligned(arena, sizeof(T), alignof(T)));
    detail::guard guard([arena, memory] { tarn_arena_free(arena, memory, sizeof(T)); });
    T *const object = ::new (memory) T(std::forward<Args>(args)...);
    if constexpr (!std::is_trivially_destructible_v<T>) {
        /* Registered after the constructor, so that what it made in the arena outlives the
         * object. */
        if (tarn_arena_on_reset(
                arena, [](void *context) { static_cast<T *>(context)->~T(); }, object) == nullptr) {
            object->~T();
            detail::no_memory();
        }
    }
    guard.disarm();
    return object;
}

/* `count` new ones side by side, each made from nothing; 0 gives an address, of which nothing may
 * be used. Destructors run as above, the last one's first. */
template <class T> T *arena_make_array(tarn_arena *arena, std::size_t count)
{
    if (count > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / sizeof(T)) {
        detail::too_many();
    }
    struct array {
        T *first;
        std::size_t count;
        void end() noexcept
        {
            while (count > 0) {
                first[--count].~T();
            }
        }
    };
    constexpr bool is_trivial = std::is_trivially_destructible_v<T>;
    array *books = nullptr;
    if constexpr (!is_trivial) {
        books = static_cast<array *>(
            detail::or_throw(tarn_arena_alloc_aligned(arena, sizeof(array), alignof(array))));
    }
    detail::guard books_guard([arena, books] { tarn_arena_free(arena, books, sizeof(array)); });
    const std::size_t bytes = count * sizeof(T);
    void *const memory = detail::or_throw(tarn_arena_alloc_aligned(arena, bytes, alignof(T)));
    detail::guard memory_guard([arena, memory, bytes] { tarn_arena_free(arena, memory, bytes); });
    array made = {static_cast<T *>(memory), 0};
    detail::guard made_guard([&made] { made.end(); });
    for (; made.count < count; made.count++) {
        ::new (static_cast<void *>(made.first + made.count)) T();
    }
    if constexpr (!is_trivial) {
        *books = made;
        if (tarn_arena_on_reset(
                arena, [](void *context) { static_cast<array *>(context)->end(); }, books) ==
            nullptr) {
            detail::no_memory();
        }
    }
    made_guard.disarm();
    memory_guard.disarm();
    books_guard.disarm();
    return made.first;
}

/* An arena, in its own first chunk. One with a parent ends with it: then it must be released before
 * the parent is reset or ended. */
class arena : public detail::owner<tarn_arena, tarn_arena_destroy>
{
    using base = detail::owner<tarn_arena, tarn_arena_destroy>;

  public:
    /* Throws std::bad_alloc, also for options that contradict each other. */
    explicit arena(tarn_heap *upstream = nullptr) : base(create(upstream))
    {
    }
    explicit arena(const tarn_arena_options &options) : base(tarn_arena_create(&options))
    {
    }

    /* Takes over one that tarn_arena_create() made; not NULL. */
    static arena adopt(tarn_arena *made)
    {
        return arena(made, adopted());
    }

    /* The arena as a heap. */
    tarn_heap *heap() const noexcept
    {
        return &get()->heap;
    }

    /* A block, at a multiple of `alignment` (0: that of max_align_t); throws. */
    void *alloc(std::size_t size, std::size_t alignment = 0)
    {
        return detail::or_throw(tarn_arena_alloc_aligned(get(), size, alignment));
    }

    template <class T, class... Args> T *make(Args &&...args)
    {
        return arena_make<T>(get(), std::forward<Args>(args)...);
    }

    template <class T> T *make_array(std::size_t count)
    {
        return arena_make_array<T>(get(), count);
    }

    void reset() noexcept
    {
        tarn_arena_reset(get());
    }

    /* Releases, at the end of its scope, what was allocated in it. */
    class scope
    {
      public:
        explicit scope(tarn_arena *arena) noexcept : arena_(arena), mark_(tarn_arena_mark(arena))
        {
        }
        explicit scope(arena &owner) noexcept : scope(owner.get())
        {
        }
        scope(const scope &) = delete;
        scope &operator=(const scope &) = delete;
        ~scope()
        {
            tarn_arena_release(arena_, mark_);
        }

      private:
        tarn_arena *arena_;
        tarn_arena_point mark_;
    };

  private:
    struct adopted {
    };
    arena(tarn_arena *made, adopted) : base(made)
    {
    }

    static tarn_arena *create(tarn_heap *upstream) noexcept
    {
        tarn_arena_options options = {};
        options.upstream = upstream;
        return tarn_arena_create(&options);
    }
};

/* A two-level instance. */
class twolevel : public detail::owner<tarn_twolevel, tarn_twolevel_destroy>
{
    using base = detail::owner<tarn_twolevel, tarn_twolevel_destroy>;

  public:
    /* NULL: tarn_system_heap(). Throws std::bad_alloc. */
    explicit twolevel(tarn_heap *upstream = nullptr) : base(create(upstream))
    {
    }
    explicit twolevel(const tarn_twolevel_options &options) : base(tarn_twolevel_create(&options))
    {
    }

    tarn_heap *heap() const noexcept
    {
        return &get()->heap;
    }

  private:
    static tarn_twolevel *create(tarn_heap *upstream) noexcept
    {
        tarn_twolevel_options options = {};
        options.upstream = upstream;
        return tarn_twolevel_create(&options);
    }
};

/* A malloc of one's own, see tarn_malloc_create(); get() is the heap. */
class malloc_heap : public detail::owner<tarn_heap, tarn_malloc_destroy>
{
    using base = detail::owner<tarn_heap, tarn_malloc_destroy>;

  public:
    /* Throws std::bad_alloc, also for memory that is too small. */
    explicit malloc_heap(const tarn_malloc_options &options = tarn_malloc_options())
        : base(tarn_malloc_create(&options))
    {
    }

    tarn_heap *heap() const noexcept
    {
        return get();
    }
};

} // namespace tarn

#endif
