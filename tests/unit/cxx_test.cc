/* SPDX-License-Identifier: MIT */
#include "tarn/cxx.hpp"

#include <deque>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

#include "unit/tools.h"

namespace
{

/* ------------------------------------------------------------------------------------------------
 * Containers of all shapes.
 */
struct alignas(64) line {
    int values[16];
};

struct alignas(256) sheet {
    int values[64];
};

struct large {
    char bytes[3000];
};

template <template <class> class A>
using text = std::basic_string<char, std::char_traits<char>, A<char>>;

/* Fills and empties them in turns, and returns a sum over what they held on the way. `from` is what
 * their allocators are made from. */
template <template <class> class A, class... From> size_t use_containers(int count, From &&...from)
{
    std::list<int, A<int>> list{A<int>(from...)};
    std::map<int, int, std::less<int>, A<std::pair<const int, int>>> map{
        A<std::pair<const int, int>>(from...)};
    std::unordered_map<int, text<A>, std::hash<int>, std::equal_to<int>,
                       A<std::pair<const int, text<A>>>>
        names(16, std::hash<int>(), std::equal_to<int>(),
              A<std::pair<const int, text<A>>>(from...));
    std::deque<int, A<int>> deque{A<int>(from...)};
    std::vector<line, A<line>> lines{A<line>(from...)};
    std::list<line, A<line>> line_list{A<line>(from...)};
    std::list<sheet, A<sheet>> sheets{A<sheet>(from...)};
    std::list<large, A<large>> larges{A<large>(from...)};
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        list.push_back(i);
        map[i * 7919 % 2003] = i;
        deque.push_front(i);
        names.emplace(i, text<A>(static_cast<size_t>(i % 200), 'x', A<char>(from...)));
        lines.push_back(line{{i}});
        line_list.push_back(line{{i}});
        assert_int_equal(reinterpret_cast<uintptr_t>(&lines.back()) % 64, 0);
        assert_int_equal(reinterpret_cast<uintptr_t>(&line_list.back()) % 64, 0);
        if (i % 10 == 0) {
            sheets.push_back(sheet{{i}});
            assert_int_equal(reinterpret_cast<uintptr_t>(&sheets.back()) % 256, 0);
            larges.emplace_back();
            larges.back().bytes[2999] = static_cast<char>(i % 100);
        }
        if (i % 3 == 0) {
            sum += static_cast<size_t>(list.front() + deque.back());
            list.pop_front();
            deque.pop_back();
            names.erase(i / 2);
            map.erase(i * 3 % 2003);
        }
    }
    for (const auto &name : names) {
        sum += name.second.size();
    }
    for (const auto &pair : map) {
        sum += static_cast<size_t>(pair.first ^ pair.second);
    }
    for (const line &one : lines) {
        sum += static_cast<size_t>(one.values[0]);
    }
    for (const line &one : line_list) {
        sum += static_cast<size_t>(one.values[0]);
    }
    for (const sheet &one : sheets) {
        sum += static_cast<size_t>(one.values[0]);
    }
    for (const large &one : larges) {
        sum += static_cast<size_t>(one.bytes[2999]);
    }
    return sum;
}

enum { MANY = 1500 };

size_t wanted_sum(int count = MANY)
{
    return use_containers<std::allocator>(count);
}

size_t blocks_of_process()
{
    size_t blocks = 0;
    for (size_t size = 8; size <= TARN_POOL_OF_PROCESS_MAX; size += 8) {
        tarn_pool *pool = tarn_pool_of_process(size);
        assert_non_null(pool);
        assert_true(tarn_pool_check(pool, nullptr, 0));
        blocks += static_cast<size_t>(tarn_pool_stats(pool).blocks);
    }
    return blocks;
}

/* ------------------------------------------------------------------------------------------------
 * Allocators.
 */
void containers_of_the_default_allocator_give_every_node_back(void **)
{
    assert_int_equal(use_containers<tarn::allocator>(MANY), wanted_sum());
    assert_int_equal(blocks_of_process(), 0);
}

void containers_over_any_heap_give_every_block_back(void **)
{
    tarn::twolevel twolevel;
    tarn::malloc_heap malloc_heap;
    tarn::arena arena;
    static unsigned char memory[4 << 20];
    tarn_buffer buffer;
    assert_int_equal(tarn_buffer_init(&buffer, {memory, sizeof memory}, nullptr), TARN_OK);
    tarn_heap *const heaps[] = {tarn_system_heap(), tarn_malloc_heap(), twolevel.heap(),
                                malloc_heap.heap(), &buffer.heap,       arena.heap()};
    for (tarn_heap *heap : heaps) {
        tarn_counted counted;
        tarn_counted_options options = {};
        options.upstream = heap;
        tarn_counted_init(&counted, &options);
        assert_int_equal(use_containers<tarn::allocator>(MANY, &counted.heap), wanted_sum());
        const tarn_stats stats = tarn_heap_stats(&counted.heap);
        assert_int_equal(stats.live, 0);
        assert_int_equal(stats.blocks, 0);
        assert_true(stats.allocs > MANY);
        assert_true(tarn_heap_check(heap, nullptr, 0));
    }
    assert_int_equal(tarn_twolevel_stats(twolevel.get()).blocks, 0);
    assert_int_equal(tarn_heap_stats(&buffer.heap).blocks, 0);
    tarn_buffer_deinit(&buffer);
}

void containers_over_pools_give_every_node_back(void **)
{
    tarn::pools pools;
    assert_int_equal(pools.stats().footprint, 0);
    assert_int_equal(use_containers<tarn::pool_allocator>(MANY, pools), wanted_sum());
    assert_int_equal(pools.stats().blocks, 0);
    assert_int_equal(pools.stats().live, 0);
    assert_int_equal(pools.stats().failures, 0);
    assert_true(pools.check());
    (void)pools.trim();
    assert_int_equal(use_containers<tarn::pool_allocator>(MANY, pools), wanted_sum());
    assert_true(pools.check());
}

void pools_take_everything_from_their_upstream(void **)
{
    tarn_counted counted;
    tarn_counted_options options = {};
    options.upstream = tarn_system_heap();
    tarn_counted_init(&counted, &options);
    {
        tarn::pools pools(&counted.heap);
        assert_ptr_equal(pools.heap(), &counted.heap);
        assert_int_equal(tarn_heap_stats(&counted.heap).allocs, 0);
        assert_int_equal(use_containers<tarn::pool_allocator>(MANY, pools), wanted_sum());
        (void)pools.trim();
        if (tarn_pooling()) {
            assert_int_equal(pools.stats().footprint, 0);
        }
        std::list<int, tarn::pool_allocator<int>> left({1, 2, 3}, pools);
    }
    assert_true(tarn_heap_stats(&counted.heap).allocs > 0);
    assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
}

void a_reset_of_pools_frees_what_containers_forgot(void **)
{
    using list = std::list<int, tarn::pool_allocator<int>>;
    tarn::pools pools;
    alignas(list) unsigned char room[sizeof(list)];
    list *const forgotten = ::new (room) list(pools);
    forgotten->assign(1000, 7);
    assert_int_equal(pools.stats().blocks, 1000);
    pools.reset();
    assert_int_equal(pools.stats().blocks, 0);
    assert_true(pools.check());
}

void containers_over_arenas_work(void **)
{
    tarn::arena arena;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(use_containers<tarn::arena_allocator>(MANY, arena.get()), wanted_sum());
        assert_true(tarn_arena_check(arena.get(), nullptr, 0));
        arena.reset();
    }
}

void containers_over_two_levels_give_every_block_back(void **)
{
    tarn::twolevel twolevel;
    assert_int_equal(use_containers<tarn::twolevel_allocator>(MANY, twolevel.get()), wanted_sum());
    assert_int_equal(tarn_twolevel_stats(twolevel.get()).blocks, 0);
    assert_true(tarn_twolevel_check(twolevel.get(), nullptr, 0));
    assert_int_equal(use_containers<tarn::twolevel_allocator>(MANY), wanted_sum());
    assert_int_equal(tarn_twolevel_stats(tarn_twolevel_of_thread()).blocks, 0);
}

template <class E, class F> bool throws(F &&function)
{
    try {
        function();
    } catch (const E &) {
        return true;
    }
    return false;
}

/* A std::list's node is two links and the element behind them. */
template <class T> void *node_of(T &element)
{
    struct node {
        void *links[2];
        T element;
    };
    return reinterpret_cast<unsigned char *>(&element) - offsetof(node, element);
}

void nodes_come_from_the_pool_of_their_size(void **)
{
    tarn::pools pools;
    std::list<int, tarn::pool_allocator<int>> alone(pools);
    std::list<int, tarn::allocator<int>> shared;
    std::list<line, tarn::allocator<line>> lines;
    for (int i = 0; i < 100; i++) {
        alone.push_back(i);
        shared.push_back(i);
        lines.push_back(line{{i}});
        assert_true(tarn_pool_owns(pools.pool_for(24), node_of(alone.back())));
        assert_true(tarn_pool_owns(tarn_pool_of_process(24), node_of(shared.back())));
        assert_true(tarn_pool_owns(tarn_pool_of_process(128), node_of(lines.back())));
    }
    assert_int_equal(tarn_pool_stats(pools.pool_for(24)).blocks, 100);
    assert_int_equal(tarn_pool_stats(tarn_pool_of_process(24)).blocks, 100);
    assert_int_equal(pools.stats().blocks, 100);
    assert_true(throws<std::bad_alloc>([&] { (void)pools.pool_for(0); }));
    assert_true(throws<std::bad_alloc>([&] { (void)pools.pool_for(1025); }));
}

void several_objects_at_once_come_from_no_pool(void **)
{
    tarn_counted counted;
    tarn_counted_init(&counted, nullptr);
    tarn::pools pools(&counted.heap);
    tarn::pool_allocator<int> allocator(pools);
    const size_t sizes[] = {0, 2, 3, 100};
    for (size_t count : sizes) {
        int *const block = allocator.allocate(count);
        assert_non_null(block);
        assert_int_equal(tarn_heap_stats(&counted.heap).live, count == 0 ? 1 : count * sizeof(int));
        assert_int_equal(pools.stats().footprint, 0);
        allocator.deallocate(block, count);
    }
    assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
}

template <class T> struct is_as_promised {
    using traits = std::allocator_traits<T>;
    static constexpr bool value =
        !traits::propagate_on_container_copy_assignment::value &&
        traits::propagate_on_container_move_assignment::value &&
        traits::propagate_on_container_swap::value && !traits::is_always_equal::value &&
        std::is_nothrow_copy_constructible_v<T> && std::is_nothrow_copy_assignable_v<T> &&
        sizeof(T) == sizeof(void *) &&
        std::is_nothrow_constructible_v<typename traits::template rebind_alloc<line>, const T &>;
};
static_assert(is_as_promised<tarn::allocator<int>>::value, "");
static_assert(is_as_promised<tarn::pool_allocator<int>>::value, "");
static_assert(is_as_promised<tarn::arena_allocator<int>>::value, "");
static_assert(is_as_promised<tarn::twolevel_allocator<int>>::value, "");
static_assert(std::is_nothrow_default_constructible_v<tarn::allocator<int>>, "");
static_assert(std::is_nothrow_default_constructible_v<tarn::twolevel_allocator<int>>, "");
static_assert(!std::is_default_constructible_v<tarn::pool_allocator<int>>, "");
static_assert(!std::is_default_constructible_v<tarn::arena_allocator<int>>, "");
static_assert(std::is_nothrow_move_assignable_v<std::list<int, tarn::pool_allocator<int>>>, "");
static_assert(std::is_nothrow_swappable_v<std::list<int, tarn::pool_allocator<int>>>, "");
static_assert(!std::is_convertible_v<int, tarn::allocator<int>>, "");
static_assert(!std::is_convertible_v<tarn::pools, tarn::allocator<int>>, "");

void copies_share_and_stay_and_moves_take_along(void **)
{
    using list = std::list<int, tarn::pool_allocator<int>>;
    tarn::pools one;
    tarn::pools other;
    const list first({1, 2, 3}, one);
    list second({4, 5}, other);
    const int *const element = &second.front();

    const list copy(first);
    assert_true(copy.get_allocator() == first.get_allocator());
    assert_true(copy.get_allocator() != second.get_allocator());
    assert_int_equal(one.stats().blocks, 6);

    list third(one);
    third = std::move(second);
    assert_ptr_equal(&third.front(), element);
    assert_true(third.get_allocator() == tarn::pool_allocator<char>(other));

    third = first;
    assert_true(third.get_allocator() == tarn::pool_allocator<char>(other));
    assert_int_equal(third.size(), 3);
    assert_int_equal(one.stats().blocks, 6);
    assert_int_equal(other.stats().blocks, 3);

    list fourth({9}, one);
    const int *const nine = &fourth.front();
    swap(third, fourth);
    assert_ptr_equal(&third.front(), nine);
    assert_true(third.get_allocator() == tarn::pool_allocator<char>(one));
    assert_int_equal(fourth.size(), 3);
    third.clear();
    fourth.clear();
    assert_int_equal(other.stats().blocks, 0);
    assert_int_equal(one.stats().blocks, 6);
}

void shared_pointers_take_one_block(void **)
{
    tarn::pools pools;
    std::weak_ptr<line> weak;
    {
        const std::shared_ptr<line> shared =
            std::allocate_shared<line>(tarn::pool_allocator<line>(pools), line{{5}});
        weak = shared;
        assert_int_equal(shared->values[0], 5);
        assert_int_equal(pools.stats().blocks, 1);
    }
    assert_int_equal(pools.stats().blocks, 1);
    weak.reset();
    assert_int_equal(pools.stats().blocks, 0);
}

void sizes_that_overflow_throw(void **)
{
    tarn::pools pools;
    tarn::arena arena;
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / sizeof(line) + 2,
                            PTRDIFF_MAX / sizeof(line) + 1};
    for (size_t count : sizes) {
        assert_true(throws<std::bad_array_new_length>(
            [count] { (void)tarn::allocator<line>().allocate(count); }));
        assert_true(throws<std::bad_array_new_length>(
            [&] { (void)tarn::pool_allocator<line>(pools).allocate(count); }));
        assert_true(
            throws<std::bad_array_new_length>([&] { (void)arena.make_array<line>(count); }));
    }
    assert_true(throws<std::length_error>([&] {
        std::vector<line, tarn::allocator<line>> lines;
        lines.reserve(PTRDIFF_MAX / sizeof(line) + 1);
    }));
    /* The tools would abort if malloc were asked. */
    assert_true(throws<std::bad_alloc>([] {
        tarn::allocator<line> allocator(tarn_pages_heap());
        (void)allocator.allocate(allocator.max_size());
    }));
}

/* ------------------------------------------------------------------------------------------------
 * Threads.
 */
void containers_may_change_threads(void **)
{
    std::list<int, tarn::allocator<int>> list;
    std::map<int, text<tarn::allocator>, std::less<int>,
             tarn::allocator<std::pair<const int, text<tarn::allocator>>>>
        map;
    std::thread first([&] {
        for (int i = 0; i < 5000; i++) {
            list.push_back(i);
            map.emplace(i, text<tarn::allocator>(static_cast<size_t>(i % 50), 'x'));
        }
    });
    first.join();
    std::thread second([&] {
        for (int i = 0; i < 2500; i++) {
            list.pop_front();
            map.erase(i);
        }
    });
    second.join();
    assert_int_equal(list.front(), 2500);
    list.clear();
    map.clear();
    assert_int_equal(blocks_of_process(), 0);
}

void many_threads_may_use_the_default_allocator(void **)
{
    const size_t wanted = wanted_sum(MANY / 2);
    std::vector<std::thread> threads;
    std::vector<size_t> sums(4);
    for (size_t &sum : sums) {
        threads.emplace_back([&sum] { sum = use_containers<tarn::allocator>(MANY / 2); });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (size_t sum : sums) {
        assert_int_equal(sum, wanted);
    }
    assert_int_equal(blocks_of_process(), 0);
}

/* ------------------------------------------------------------------------------------------------
 * No memory.
 */

/* Has `use` run over a heap that refuses the first request, then the second, and so on (some of the
 * later ones only), until it is through. Each time it has to throw std::bad_alloc and to give
 * everything back. */
template <class F> void assert_nothing_is_lost(F &&use)
{
    uint64_t failing_request = 1;
    for (bool is_through = false; !is_through;) {
        tarn_counted counted;
        tarn_counted_options counted_options = {};
        counted_options.upstream = tarn_system_heap();
        tarn_counted_init(&counted, &counted_options);
        tarn_failing failing;
        tarn_failing_options options = {};
        options.upstream = &counted.heap;
        options.plan.at = failing_request;
        tarn_failing_init(&failing, &options);
        is_through = !throws<std::bad_alloc>([&] { use(&failing.heap); });
        assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
        assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 0);
        if (is_through && tarn_heap_stats(&failing.heap).failures > 0) {
            is_through = false; /* it could do without */
        }
        failing_request += 1 + failing_request / 8;
    }
    assert_true(failing_request > 2);
}

void no_memory_is_bad_alloc_and_nothing_is_lost(void **)
{
    assert_nothing_is_lost(
        [](tarn_heap *heap) { (void)use_containers<tarn::allocator>(60, heap); });
    assert_nothing_is_lost([](tarn_heap *heap) {
        tarn::pools pools(heap);
        std::exception_ptr thrown;
        try {
            (void)use_containers<tarn::pool_allocator>(60, pools);
        } catch (const std::bad_alloc &) {
            thrown = std::current_exception();
        }
        assert_int_equal(pools.stats().blocks, 0);
        assert_true(pools.check());
        if (thrown) {
            std::rethrow_exception(thrown);
        }
    });
    assert_nothing_is_lost([](tarn_heap *heap) {
        const tarn::twolevel twolevel(heap);
        (void)use_containers<tarn::twolevel_allocator>(60, twolevel.get());
    });
    assert_nothing_is_lost([](tarn_heap *heap) {
        const tarn::arena arena(heap);
        (void)use_containers<tarn::arena_allocator>(60, arena.get());
    });
}

/* ------------------------------------------------------------------------------------------------
 * std::pmr.
 */
template <class T> using pmr_allocator = std::pmr::polymorphic_allocator<T>;

void any_heap_is_a_memory_resource(void **)
{
    tarn::twolevel twolevel;
    tarn::arena arena;
    tarn_heap *const heaps[] = {tarn_system_heap(), tarn_malloc_heap(), twolevel.heap(),
                                arena.heap()};
    for (tarn_heap *heap : heaps) {
        tarn_counted counted;
        tarn_counted_options options = {};
        options.upstream = heap;
        tarn_counted_init(&counted, &options);
        tarn::memory_resource resource(&counted.heap);
        assert_ptr_equal(resource.heap(), &counted.heap);
        assert_int_equal(use_containers<pmr_allocator>(MANY, &resource), wanted_sum());
        for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
            void *const block = resource.allocate(100, alignment);
            assert_int_equal(reinterpret_cast<uintptr_t>(block) % alignment, 0);
            resource.deallocate(block, 100, alignment);
        }
        void *const nothing = resource.allocate(0);
        assert_non_null(nothing);
        resource.deallocate(nothing, 0);
        assert_int_equal(tarn_heap_stats(&counted.heap).live, 0);
        volatile size_t all = SIZE_MAX; /* gcc would warn of it */
        assert_true(throws<std::bad_alloc>([&] { (void)resource.allocate(all); }));
    }
    assert_nothing_is_lost([](tarn_heap *heap) {
        tarn::memory_resource resource(heap);
        (void)use_containers<pmr_allocator>(60, &resource);
    });
}

void memory_resources_over_the_same_heap_are_equal(void **)
{
    const tarn::memory_resource one(tarn_system_heap());
    const tarn::memory_resource same(tarn_system_heap());
    const tarn::memory_resource other(tarn_malloc_heap());
    assert_true(one == same);
    assert_false(one == other);
    assert_false(one == *std::pmr::new_delete_resource());
}

/* ------------------------------------------------------------------------------------------------
 * Owners.
 */
size_t alive;
std::vector<int> ended;

/* Counts those that are there, notes in which order they end, and can refuse to be made. */
struct counted_object {
    int number;
    explicit counted_object(int it = 0) : number(it)
    {
        if (it < 0) {
            throw std::runtime_error("refused");
        }
        alive++;
    }
    counted_object(const counted_object &) = delete;
    counted_object &operator=(const counted_object &) = delete;
    ~counted_object()
    {
        alive--;
        ended.push_back(number);
    }
};

static_assert(!std::is_copy_constructible_v<tarn::pool<int>>, "");
static_assert(!std::is_copy_assignable_v<tarn::arena>, "");
static_assert(std::is_nothrow_move_constructible_v<tarn::pool<int>>, "");
static_assert(std::is_nothrow_move_assignable_v<tarn::arena>, "");
static_assert(std::is_nothrow_move_constructible_v<tarn::twolevel>, "");
static_assert(!std::is_move_constructible_v<tarn::pools>, "");

void a_pool_makes_and_destroys_objects(void **)
{
    tarn::pool<counted_object> pool;
    counted_object *const one = pool.make(1);
    assert_int_equal(one->number, 1);
    {
        const tarn::pool<counted_object>::unique_ptr two = pool.make_unique(2);
        assert_int_equal(two->number, 2);
        assert_int_equal(alive, 2);
        assert_true(tarn_pool_owns(pool.get(), two.get()));
    }
    assert_int_equal(alive, 1);
    assert_true(throws<std::runtime_error>([&] { (void)pool.make(-1); }));
    assert_int_equal(tarn_pool_stats(pool.get()).blocks, 1);
    pool.destroy(one);
    pool.destroy(nullptr);
    assert_int_equal(alive, 0);
    assert_int_equal(tarn_pool_stats(pool.get()).blocks, 0);
}

void a_pool_has_the_options_that_it_is_given(void **)
{
    tarn_pool_options options = {};
    options.max_objects = 3;
    options.name = "sheets";
    tarn::pool<sheet> pool(options);
    assert_string_equal(pool.heap()->name, "sheets");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(reinterpret_cast<uintptr_t>(pool.make()) % alignof(sheet), 0);
    }
    assert_true(throws<std::bad_alloc>([&] { (void)pool.make(); }));
    options.max_objects = 0;
    options.preallocate = true;
    assert_true(throws<std::bad_alloc>([&] { const tarn::pool<sheet> impossible(options); }));
}

void owners_move_and_end_what_they_own_once(void **)
{
    tarn_counted counted;
    tarn_counted_options options = {};
    options.upstream = tarn_system_heap();
    tarn_counted_init(&counted, &options);
    {
        tarn::pool<counted_object> one(&counted.heap);
        counted_object *const object = one.make(1);
        tarn_pool *const inside = one.get();
        tarn::pool<counted_object> two(std::move(one));
        assert_null(one.get()); /* NOLINT: what is moved from owns nothing */
        assert_false(static_cast<bool>(one));
        assert_ptr_equal(two.get(), inside);
        two.destroy(object);

        tarn::pool<counted_object> three(&counted.heap);
        three = std::move(two);
        assert_ptr_equal(three.get(), inside);
        tarn::pool<counted_object> &itself = three;
        three = std::move(itself);
        assert_ptr_equal(three.get(), inside);
        one = std::move(three);
        tarn_pool *const released = one.release();
        assert_ptr_equal(released, inside);
        assert_null(one.get());
        tarn_pool_destroy(released);

        tarn::arena arena(&counted.heap);
        (void)arena.alloc(100000);
        arena = tarn::arena(&counted.heap);
        tarn::twolevel twolevel(&counted.heap);
        twolevel = tarn::twolevel(&counted.heap);
        assert_true(tarn_heap_stats(&counted.heap).blocks > 0);
    }
    assert_int_equal(tarn_heap_stats(&counted.heap).blocks, 0);
}

/* ------------------------------------------------------------------------------------------------
 * Arenas.
 */

/* Makes another in the same arena, which its destructor needs. */
struct parent_object {
    counted_object *child;
    explicit parent_object(tarn::arena &arena) : child(arena.make<counted_object>(50))
    {
    }
    parent_object(const parent_object &) = delete;
    parent_object &operator=(const parent_object &) = delete;
    ~parent_object()
    {
        ended.push_back(child->number + 1);
    }
};

void an_arena_ends_its_objects_newest_first(void **)
{
    tarn::arena arena;
    ended.clear();
    (void)arena.make<counted_object>(1);
    (void)arena.make<counted_object>(2);
    (void)arena.make<parent_object>(arena);
    assert_int_equal(*arena.make<int>(17), 17);
    assert_int_equal(reinterpret_cast<uintptr_t>(arena.make<sheet>()) % alignof(sheet), 0);
    assert_int_equal(alive, 3);
    {
        const tarn::arena::scope scope(arena);
        (void)arena.make<counted_object>(3);
    }
    assert_int_equal(alive, 3);
    arena.reset();
    assert_int_equal(alive, 0);
    assert_true(ended == std::vector<int>({3, 51, 50, 2, 1}));
    (void)arena.make<counted_object>(4);
    arena = tarn::arena();
    assert_int_equal(alive, 0);
}

void objects_without_destructors_cost_nothing_beside_their_bytes(void **)
{
    tarn::arena arena;
    (void)arena.make<int64_t>(0);
    if (!tarn_pooling() || !IS_UNDER_NO_TOOL) {
        return; /* there are hidden bytes between blocks */
    }
    const size_t before = tarn_arena_used(arena.get());
    (void)arena.make<int64_t>(1);
    assert_int_equal(tarn_arena_used(arena.get()) - before, sizeof(int64_t));
    (void)arena.make_array<int64_t>(10);
    assert_int_equal(tarn_arena_used(arena.get()) - before, 11 * sizeof(int64_t));
}

int refuse_at; /* the object of an array that refuses; counts down */

struct array_object : counted_object {
    array_object() : counted_object(--refuse_at == 0 ? -1 : refuse_at)
    {
    }
};

void arrays_in_an_arena_are_made_whole_or_not_at_all(void **)
{
    tarn::arena arena;
    ended.clear();
    refuse_at = 100;
    array_object *const array = arena.make_array<array_object>(3);
    assert_int_equal(array[0].number, 99);
    assert_int_equal(array[2].number, 97);
    assert_non_null(arena.make_array<array_object>(0));
    refuse_at = 3;
    assert_true(throws<std::runtime_error>([&] { (void)arena.make_array<array_object>(5); }));
    assert_int_equal(alive, 3);
    assert_true(ended == std::vector<int>({1, 2}));
    refuse_at = 0;
    assert_true(throws<std::runtime_error>([&] { (void)arena.make<counted_object>(-1); }));
    arena.reset();
    assert_int_equal(alive, 0);
    assert_true(ended == std::vector<int>({1, 2, 97, 98, 99}));
    assert_int_equal(arena.make_array<int>(4)[3], 0);
}

void an_arena_without_memory_ends_what_it_could_not_register(void **)
{
    assert_nothing_is_lost([](tarn_heap *heap) {
        {
            tarn_arena_options options = {};
            options.upstream = heap;
            options.chunk_size = 512; /* so that many a request needs another chunk */
            options.chunk_size_max = 512;
            tarn::arena arena(options);
            for (int i = 0; i < 100; i++) {
                (void)arena.make<counted_object>(i);
                refuse_at = 100;
                (void)arena.make_array<array_object>(static_cast<size_t>(i % 7));
            }
        }
        assert_int_equal(alive, 0);
    });
    assert_int_equal(alive, 0);
}

void a_child_arena_can_be_owned(void **)
{
    tarn::arena parent;
    tarn_arena_options options = {};
    options.parent = parent.get();
    options.name = "child";
    {
        tarn::arena child = tarn::arena::adopt(tarn_arena_create(&options));
        assert_ptr_equal(tarn_arena_parent(child.get()), parent.get());
        (void)child.make<counted_object>(1);
    }
    assert_int_equal(alive, 0);
    tarn::arena child(options);
    (void)child.make<counted_object>(2);
    tarn_arena *const inside = child.release();
    assert_string_equal(inside->heap.name, "child");
    parent.reset();
    assert_int_equal(alive, 0);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_of_the_default_allocator_give_every_node_back),
        cmocka_unit_test(containers_over_any_heap_give_every_block_back),
        cmocka_unit_test(containers_over_pools_give_every_node_back),
        cmocka_unit_test(pools_take_everything_from_their_upstream),
        cmocka_unit_test(a_reset_of_pools_frees_what_containers_forgot),
        cmocka_unit_test(containers_over_arenas_work),
        cmocka_unit_test(containers_over_two_levels_give_every_block_back),
        cmocka_unit_test(nodes_come_from_the_pool_of_their_size),
        cmocka_unit_test(several_objects_at_once_come_from_no_pool),
        cmocka_unit_test(copies_share_and_stay_and_moves_take_along),
        cmocka_unit_test(shared_pointers_take_one_block),
        cmocka_unit_test(sizes_that_overflow_throw),
        cmocka_unit_test(containers_may_change_threads),
        cmocka_unit_test(many_threads_may_use_the_default_allocator),
        cmocka_unit_test(no_memory_is_bad_alloc_and_nothing_is_lost),
        cmocka_unit_test(any_heap_is_a_memory_resource),
        cmocka_unit_test(memory_resources_over_the_same_heap_are_equal),
        cmocka_unit_test(a_pool_makes_and_destroys_objects),
        cmocka_unit_test(a_pool_has_the_options_that_it_is_given),
        cmocka_unit_test(owners_move_and_end_what_they_own_once),
        cmocka_unit_test(an_arena_ends_its_objects_newest_first),
        cmocka_unit_test(objects_without_destructors_cost_nothing_beside_their_bytes),
        cmocka_unit_test(arrays_in_an_arena_are_made_whole_or_not_at_all),
        cmocka_unit_test(an_arena_without_memory_ends_what_it_could_not_register),
        cmocka_unit_test(a_child_arena_can_be_owned),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
