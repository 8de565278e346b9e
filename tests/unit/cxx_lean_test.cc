/* SPDX-License-Identifier: MIT */
/* As programs use it that are compiled without exceptions and run-time type information. */
#include "tarn/cxx.hpp"

#include <list>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <cmocka.h>
}

namespace
{

template <template <class> class A, class... From> size_t use_containers(From &&...from)
{
    std::list<int, A<int>> list{A<int>(from...)};
    std::map<int, int, std::less<int>, A<std::pair<const int, int>>> map{
        A<std::pair<const int, int>>(from...)};
    std::unordered_map<int, int, std::hash<int>, std::equal_to<int>, A<std::pair<const int, int>>>
        table(16, std::hash<int>(), std::equal_to<int>(), A<std::pair<const int, int>>(from...));
    std::vector<int, A<int>> vector{A<int>(from...)};
    std::basic_string<char, std::char_traits<char>, A<char>> string{A<char>(from...)};
    for (int i = 0; i < 1000; i++) {
        list.push_back(i);
        map.emplace(i, i);
        table.emplace(i, i);
        vector.push_back(i);
        string += 'x';
    }
    return list.size() + map.size() + table.size() + vector.size() + string.size();
}

template <class T> using pmr_allocator = std::pmr::polymorphic_allocator<T>;

void containers_work(void **)
{
    tarn::pools pools;
    tarn::arena arena;
    tarn::memory_resource resource(arena.heap());
    assert_int_equal(use_containers<tarn::allocator>(), 5000);
    assert_int_equal(use_containers<tarn::allocator>(arena.heap()), 5000);
    assert_int_equal(use_containers<tarn::pool_allocator>(pools), 5000);
    assert_int_equal(use_containers<tarn::arena_allocator>(arena.get()), 5000);
    assert_int_equal(use_containers<tarn::twolevel_allocator>(), 5000);
    assert_int_equal(use_containers<pmr_allocator>(&resource), 5000);
    assert_int_equal(pools.stats().blocks, 0);
    assert_true(resource == resource);
}

void owners_work(void **)
{
    tarn::pool<std::string> strings;
    {
        const tarn::pool<std::string>::unique_ptr string = strings.make_unique(100U, 'x');
        assert_int_equal(string->size(), 100);
    }
    assert_int_equal(tarn_pool_stats(strings.get()).blocks, 0);
    tarn::arena arena;
    assert_int_equal(arena.make<std::string>(200U, 'x')->size(), 200);
    assert_int_equal(arena.make_array<std::string>(3)[2].size(), 0);
    const tarn::twolevel twolevel;
    const tarn::malloc_heap heap;
    assert_non_null(twolevel.heap());
    assert_non_null(heap.heap());
}

/* Runs it in a child; the signal that it ends by, or 0. */
template <class F> int signal_of(F &&function)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        function();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void no_memory_aborts(void **)
{
    assert_int_equal(signal_of([] {
                         tarn_pool_options options = {};
                         options.max_objects = 1;
                         tarn::pool<int> pool(options);
                         (void)pool.make(1);
                     }),
                     0);
    assert_int_equal(signal_of([] {
                         tarn_pool_options options = {};
                         options.max_objects = 1;
                         tarn::pool<int> pool(options);
                         (void)pool.make(1);
                         (void)pool.make(2);
                     }),
                     SIGABRT);
    assert_int_equal(signal_of([] { (void)tarn::allocator<int>().allocate(SIZE_MAX); }), SIGABRT);
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_work),
        cmocka_unit_test(owners_work),
        cmocka_unit_test(no_memory_aborts),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
