/* SPDX-License-Identifier: MIT */
#include "tarn/cxx.hpp"

#include <list>
#include <map>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}

namespace
{

/* The typed functions as the allocator of containers; tarn::allocator over the instance's heap is in
 * cxx_test.cc. */
template <class T> using small_allocator = tarn::twolevel_allocator<T>;

struct alignas(64) line {
    int values[16];
};

using text = std::basic_string<char, std::char_traits<char>, small_allocator<char>>;

/* Fills and empties containers of all shapes; the sum of what they held. */
size_t use_containers(tarn_twolevel *instance)
{
    const small_allocator<int> allocator(instance);
    std::list<int, small_allocator<int>> list(allocator);
    std::map<int, int, std::less<int>, small_allocator<std::pair<const int, int>>> map(allocator);
    std::unordered_map<int, text, std::hash<int>, std::equal_to<int>,
                       small_allocator<std::pair<const int, text>>>
        names(16, std::hash<int>(), std::equal_to<int>(), allocator);
    std::vector<line, small_allocator<line>> lines(allocator);
    size_t sum = 0;
    for (int i = 0; i < 2000; i++) {
        list.push_back(i);
        map[i * 7919 % 2003] = i;
        names.emplace(i, text(static_cast<size_t>(i % 200), 'x', allocator));
        lines.push_back(line{{i}});
        assert_int_equal(reinterpret_cast<uintptr_t>(&lines.back()) % 64, 0);
        if (i % 3 == 0) {
            sum += static_cast<size_t>(list.front());
            list.pop_front();
            names.erase(i / 2);
        }
    }
    for (const auto &name : names) {
        sum += name.second.size();
    }
    for (const line &one : lines) {
        sum += static_cast<size_t>(one.values[0]);
    }
    return sum;
}

void containers_give_every_block_back(void **)
{
    for (int checks = 0; checks < 2; checks++) {
        tarn_twolevel instance;
        tarn_twolevel_options options = {};
        options.checks = checks != 0;
        tarn_twolevel_init(&instance, &options);
        const size_t first = use_containers(&instance);
        assert_int_equal(use_containers(&instance), first);
        assert_int_equal(tarn_twolevel_stats(&instance).blocks, 0);
        assert_true(tarn_twolevel_check(&instance, nullptr, 0));
        tarn_twolevel_deinit(&instance);
    }
}

void containers_may_be_freed_by_another_thread(void **)
{
    std::list<int, small_allocator<int>> list;
    std::thread other([&list] {
        for (int i = 0; i < 1000; i++) {
            list.push_back(i);
        }
        (void)use_containers(nullptr);
    });
    other.join();
    list.clear();
    assert_int_equal(tarn_twolevel_stats(tarn_twolevel_of_thread()).blocks, 0);
    assert_true(tarn_twolevel_check(tarn_twolevel_of_thread(), nullptr, 0));
}

} // namespace

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_give_every_block_back),
        cmocka_unit_test(containers_may_be_freed_by_another_thread),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
