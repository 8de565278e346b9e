/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <cstdio>
#include <cstdlib>
#include <cstring>

/* C++ destroys thread_local objects at the thread's end, and the main thread's before its static ones. */

static std::atomic<int> destroyed{0};

static void fail(const char *what)
{
    std::fprintf(stderr, "%s\n", what);
    std::_Exit(1);
}

struct noisy {
    std::string name = std::string(100, 'n');
    std::map<int, std::string> things;
    std::unique_ptr<char[]> large{new char[300000]};

    noisy()
    {
        for (int i = 0; i < 50; i++) {
            things[i] =
                std::string(static_cast<std::size_t>(i) * 20, static_cast<char>('a' + i % 26));
        }
        std::memset(large.get(), 7, 300000);
    }

    ~noisy()
    {
        std::vector<std::string> copies;
        for (const auto &thing : things) {
            copies.push_back(thing.second + name);
        }
        for (int i = 0; i < 50; i++) {
            if (copies[static_cast<std::size_t>(i)].size() !=
                static_cast<std::size_t>(i) * 20 + 100) {
                fail("a thread_local object lost its contents");
            }
        }
        if (large[299999] != 7) {
            fail("a thread_local object lost its large block");
        }
        things.clear();
        destroyed++;
    }
};

static thread_local noisy first;
static thread_local std::vector<std::unique_ptr<noisy>> more;

static void work()
{
    first.things[1000] = first.name;
    first.things.erase(1000);
    more.push_back(std::make_unique<noisy>());
}

/* Static objects are destroyed after main's thread_local ones. */
struct last {
    std::string text = std::string(5000, 'x');
    ~last()
    {
        if (destroyed < 2 * 201 || text != std::string(5000, 'x')) {
            fail("not every thread_local object was destroyed");
        }
    }
};
static last witness;

int main()
{
    for (int i = 0; i < 50; i++) {
        std::thread threads[4];
        for (auto &thread : threads) {
            thread = std::thread(work);
        }
        for (auto &thread : threads) {
            thread.join();
        }
    }
    work();
    return 0;
}
