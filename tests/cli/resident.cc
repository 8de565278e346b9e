// SPDX-License-Identifier: MIT
//
// A program that runs on for as long as its standard input does. Every line that it reads is a round of known
// requests by each of its threads; when all are done it prints the number of the round, and before the first "ready". Between rounds the threads
// wait in different ways. At the end it says whether any byte was lost.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <vector>

namespace
{

constexpr unsigned threads = 4;
constexpr unsigned blocks = 500; // of each kind, of each thread, in each round

std::mutex lock;
std::condition_variable begun;
std::condition_variable done;
unsigned rounds;
unsigned left;
std::atomic<bool> is_over{false};
std::atomic<bool> is_damaged{false};

struct alignas(64) wide {
    unsigned char bytes[192];
};

template <typename Type> void keep(Type *block)
{
    __asm__ volatile("" : : "g"(block) : "memory");
}

void fill(void *block, size_t size, unsigned char byte)
{
    memset(block, byte, size);
    keep(block);
    for (size_t i = 0; i < size; i++) {
        if (static_cast<unsigned char *>(block)[i] != byte) {
            is_damaged = true;
        }
    }
}

// 1001 bytes by malloc, resized to 3001; 77 by new[]; 192 by new, aligned; 50 times 20 by calloc. All are freed.
void play(unsigned char byte)
{
    for (unsigned i = 0; i < blocks; i++) {
        void *block = malloc(1001);
        fill(block, 1001, byte);
        block = realloc(block, 3001);
        fill(block, 3001, byte);
        auto *letters = new unsigned char[77];
        fill(letters, 77, byte);
        auto *aligned = new wide;
        fill(aligned, sizeof *aligned, byte);
        void *zeroed = calloc(50, 20);
        fill(zeroed, 1000, byte);
        free(block);
        delete[] letters;
        delete aligned;
        free(zeroed);
    }
}

void work(unsigned number)
{
    unsigned seen = 0;
    for (;;) {
        {
            std::unique_lock<std::mutex> held(lock);
            begun.wait(held, [&] { return is_over || rounds > seen; });
            if (rounds == seen) {
                return;
            }
            seen++;
        }
        play(static_cast<unsigned char>(number * 16 + seen));
        std::lock_guard<std::mutex> held(lock);
        if (--left == 0) {
            done.notify_one();
        }
    }
}

// A system call that is interrupted is taken up again, or this is seen to come back early.
void sleep_all_along()
{
    while (!is_over) {
        struct timespec before;
        struct timespec after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        usleep(20000);
        clock_gettime(CLOCK_MONOTONIC, &after);
        const int64_t slept =
            (after.tv_sec - before.tv_sec) * INT64_C(1000000000) + after.tv_nsec - before.tv_nsec;
        if (slept < 19000000) {
            is_damaged = true;
        }
    }
}

// Neither in a call of the kernel nor at rest, and the values in its registers are to stay: at the end the sum is
// what it has to be.
void compute_all_along()
{
    constexpr uint64_t cycle = 1024;
    double sum = 0;
    uint64_t count = 0;
    for (; !is_over; count++) {
        sum += static_cast<double>(count % cycle) * 0.5;
    }
    const uint64_t rest = count % cycle;
    const uint64_t twice =
        count / cycle * (cycle * (cycle - 1)) + rest * (rest - (rest > 0 ? 1 : 0));
    if (sum != static_cast<double>(twice) * 0.25) {
        is_damaged = true;
    }
}

// A call that the kernel does not take up by itself when it was interrupted.
void poll_all_along(int end)
{
    const int waits = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {};
    event.events = EPOLLIN;
    epoll_ctl(waits, EPOLL_CTL_ADD, end, &event);
    if (epoll_wait(waits, &event, 1, -1) != 1) {
        is_damaged = true;
    }
    close(waits);
}

} // namespace

int main(int argc, char **argv)
{
    std::vector<std::thread> workers;
    for (unsigned i = 0; i < threads; i++) {
        workers.emplace_back(work, i);
    }
    workers.emplace_back(sleep_all_along);
    const int end = eventfd(0, EFD_CLOEXEC);
    workers.emplace_back(poll_all_along, end);
    if (argc > 1 && strcmp(argv[1], "busy") == 0) {
        workers.emplace_back(compute_all_along);
    }
    char line[64];
    ssize_t got;
    dprintf(1, "ready\n");
    while ((got = read(0, line, sizeof line)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (line[i] != '\n') {
                continue;
            }
            std::unique_lock<std::mutex> held(lock);
            left = threads;
            rounds++;
            begun.notify_all();
            done.wait(held, [] { return left == 0; });
            dprintf(1, "%u\n", rounds);
        }
    }
    if (got < 0) {
        is_damaged = true;
    }
    {
        const std::lock_guard<std::mutex> held(lock);
        is_over = true;
        begun.notify_all();
    }
    if (eventfd_write(end, 1) != 0) {
        is_damaged = true;
    }
    for (std::thread &worker : workers) {
        worker.join();
    }
    puts(is_damaged ? "damaged" : "whole");
    return is_damaged ? 1 : 0;
}
