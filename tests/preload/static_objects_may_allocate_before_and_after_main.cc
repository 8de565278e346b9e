/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

static void fail(const char *what)
{
    std::fprintf(stderr, "%s\n", what);
    std::_Exit(1);
}

struct registry {
    std::map<std::string, std::vector<int>> entries;
    std::string name;

    explicit registry(const char *of) : name(of)
    {
        for (int i = 0; i < 2000; i++) {
            std::ostringstream key;
            key << of << " number " << i << std::string(static_cast<std::size_t>(i) % 90, 'k');
            entries[key.str()] = std::vector<int>(static_cast<std::size_t>(i) % 300, i);
        }
    }

    void check() const
    {
        if (entries.size() != 2000) {
            fail("entries are missing");
        }
        for (const auto &entry : entries) {
            for (const int value : entry.second) {
                if (static_cast<std::size_t>(value) % 300 != entry.second.size()) {
                    fail("an entry changed");
                }
            }
        }
    }

    ~registry()
    {
        check();
        /* Allocates in the midst of the end. */
        std::map<std::string, std::vector<int>> copy(entries);
        entries.clear();
        copy.erase(copy.begin());
        std::cout << name << " is gone\n";
    }
};

__attribute__((init_priority(101))) static registry earliest("earliest");
static registry usual("usual");

static registry &first_use()
{
    static registry lazy("lazy");
    return lazy;
}

/* A thread before main, whose blocks main frees. */
static std::unique_ptr<registry> from_thread;
struct starter {
    starter()
    {
        std::thread([] { from_thread = std::make_unique<registry>("from a thread"); }).join();
    }
};
static starter start;

int main()
{
    earliest.check();
    usual.check();
    first_use().check();
    from_thread->check();
    std::thread([] { from_thread.reset(); }).join();
    std::unordered_map<int, std::string> numbers;
    for (int i = 0; i < 10000; i++) {
        numbers[i] = std::to_string(i) + std::string(30, '.');
    }
    std::exit(numbers.size() == 10000 ? 0 : 1);
}
