/* SPDX-License-Identifier: MIT */
#ifndef BENCH_POOLS_HPP
#define BENCH_POOLS_HPP

/*
 * What the drivers of bench/run-pools share: how they are called, and how they sum up.
 *
 *     pools-GROUP --list             the subjects that are compiled in, one a line
 *     pools-GROUP SUBJECT CELL SCALE [NAME=FILE...]
 *                                    measures one subject at one cell of the table; SCALE of the
 *                                    slices
 *
 * A run is a row of slices, each long enough for the clock, and the median slice counts: what
 * interrupts a slice leaves no mark. Everything is done once before the clock starts, so what is
 * measured is the steady state.
 *
 * Each subject is a class with inline functions, and each loop a template: all subjects of a group
 * are called from the same loop, and a subject that can be inlined is.
 */

#include "../regions/ticks.h"
#include "../workloads/work.h"

#include <algorithm>
#include <string>
#include <vector>

namespace bench
{

/* Keeps the compiler from holding any field of `subject` in a register from one call to the next, as it
 * can not do in a program where the subject is known elsewhere, too. */
template <class Subject> inline void show(Subject &subject)
{
    work_escape(&subject);
}

/* A mark of its own in the first word of each object, as whoever asked for it would write to it. */
inline void *touch(void *object, uint64_t mark)
{
    if (object == nullptr) {
        work_fail("out of memory");
    }
    *static_cast<uint64_t *>(object) = mark;
    work_escape(object);
    return object;
}

/* Frees, and keeps the compiler from making one of this call and the next. */
template <class Subject> inline void give_back(Subject &subject, void *object)
{
    subject.free(object);
    work_escape(object);
}

/* Durations, and their median. The room is there, and touched, before the first one comes. A subject that is
 * so slow that the whole row would take seconds gets a shorter one. */
class slices
{
  public:
    explicit slices(size_t most) : ticks(most, 1.0), used(0), end_ns(0)
    {
    }

    void add(double duration)
    {
        ticks[used++] = duration;
        if (used == 1) {
            end_ns = ticks_now_ns() + PATIENCE_NS;
        }
    }

    bool is_full() const
    {
        return used == ticks.size() || (used >= LEAST && ticks_now_ns() > end_ns);
    }

    size_t count() const
    {
        return used;
    }

    double median()
    {
        std::sort(ticks.begin(), ticks.begin() + static_cast<std::ptrdiff_t>(used));
        return ticks[used / 2];
    }

  private:
    static constexpr size_t LEAST = 3;
    static constexpr uint64_t PATIENCE_NS = 2000000000;

    std::vector<double> ticks;
    size_t used;
    uint64_t end_ns;
};

inline size_t scaled(size_t slices, double scale)
{
    return std::max<size_t>(3, static_cast<size_t>(static_cast<double>(slices) * scale));
}

inline void shuffle(void **objects, size_t count, work_random &random)
{
    for (size_t i = count - 1; i > 0; i--) {
        std::swap(objects[i], objects[work_below(&random, static_cast<uint32_t>(i) + 1)]);
    }
}

inline void report(const char *name, double value)
{
    printf("%s %.3f\n", name, value);
}

/* A cell whose name is a pattern, or a pattern and a number: "same", "random-1000". */
struct cell {
    std::string pattern;
    size_t count;

    explicit cell(const std::string &name) : pattern(name), count(1)
    {
        const size_t dash = name.rfind('-');
        if (dash != std::string::npos) {
            pattern = name.substr(0, dash);
            count = std::stoul(name.substr(dash + 1));
        }
    }
};

/* How the driver was called. */
struct call {
    std::string subject;
    std::string cell;
    double scale;
    std::vector<std::string> more;
};

/* A subject's name, and the function that measures it. */
struct entry {
    const char *name;
    void (*run)(const call &asked);
};

inline int main(int argc, char **argv, const std::vector<entry> &entries)
{
    if (argc == 2 && std::string(argv[1]) == "--list") {
        for (const entry &known : entries) {
            puts(known.name);
        }
        return EXIT_SUCCESS;
    }
    if (argc >= 4) {
        const call asked = {argv[1], argv[2], std::stod(argv[3]), {argv + 4, argv + argc}};
        for (const entry &known : entries) {
            if (asked.subject == known.name) {
                known.run(asked);
                return EXIT_SUCCESS;
            }
        }
    }
    fprintf(stderr, "usage: %s --list | SUBJECT CELL SCALE [NAME=FILE...]\n", argv[0]);
    return 2;
}

} // namespace bench

#endif
