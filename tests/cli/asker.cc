/* SPDX-License-Identifier: MIT */
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <signal.h>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

/*
 * A program that asks for memory and keeps count: its first argument says what it does, and what it prints are the
 * numbers that a trace of it has to have. Blocks of its own have sizes that nobody else asks for, from 100001 on.
 */

static void *volatile sink; /* keeps compilers from removing pairs */

template <class T> static T *keep(T *block)
{
    sink = block;
    return block;
}

static void *volatile nothing; /* and from knowing that a realloc is a malloc */

static int every_way()
{
    free(keep(malloc(100001)));
    free(keep(calloc(2, 100002)));
    void *block = keep(malloc(100003));
    block = keep(realloc(block, 300003));
    free(block);
    free(keep(realloc(nothing, 100004)));
    free(keep(reallocarray(nothing, 5, 100005)));
    free(keep(aligned_alloc(64, 100032)));
    if (posix_memalign(&block, 4096, 100007) == 0) {
        free(keep(block));
    }
    free(keep(memalign(128, 100008)));
    free(keep(valloc(100009)));
    ::operator delete(keep(::operator new(100010)));
    ::operator delete[](keep(::operator new[](100011)));
    ::operator delete(keep(::operator new(100012, std::nothrow)), std::nothrow);
    ::operator delete[](keep(::operator new[](100013, std::nothrow)), std::nothrow);
    ::operator delete(keep(::operator new(100014)), static_cast<std::size_t>(100014));
    ::operator delete(keep(::operator new(100015, std::align_val_t(256))), std::align_val_t(256));
    ::operator delete[](keep(::operator new[](100016, std::align_val_t(512))), 100016,
                        std::align_val_t(512));
    sink = malloc(static_cast<std::size_t>(-1) / 4);
    try {
        sink = ::operator new(static_cast<std::size_t>(-1) / 4);
    } catch (const std::bad_alloc &) {
        std::puts("bad_alloc");
    }
    free(keep(malloc(100017))); /* the thread is not left busy by the exception */
    return 0;
}

/* Each thread hands its blocks to the next, which frees them; then there is what one thread alone could not
 * have done. */
static int threads(int count, int rounds)
{
    std::vector<std::atomic<char *>> slots(static_cast<std::size_t>(count));
    std::vector<std::thread> all;
    std::atomic<long> frees{0};
    for (int t = 0; t < count; t++) {
        all.emplace_back([&, t] {
            for (int i = 0; i < rounds; i++) {
                char *old = slots[static_cast<std::size_t>((t + 1) % count)].exchange(
                    new char[100001 + static_cast<std::size_t>(i % 7)]);
                if (old != nullptr) {
                    delete[] old;
                    frees++;
                }
            }
        });
    }
    for (std::thread &thread : all) {
        thread.join();
    }
    std::printf("new[] %ld delete[] %ld\n", static_cast<long>(count) * rounds, frees.load());
    return 0;
}

/* Many threads, one after the other and all at once. */
static int crowd(int count)
{
    std::vector<std::thread> all;
    for (int t = 0; t < count; t++) {
        std::thread([] { delete[] keep(new char[100001]); }).join();
    }
    std::atomic<int> there{0};
    for (int t = 0; t < count; t++) {
        all.emplace_back([&] {
            delete[] keep(new char[100001]);
            there++;
            while (there < count) {
                usleep(1000);
            }
            delete[] keep(new char[100001]);
        });
    }
    for (std::thread &thread : all) {
        thread.join();
    }
    return 0;
}

/* More threads than can have a chunk each, whose blocks move all at once. */
static int moving_crowd(int count)
{
    std::vector<std::thread> all;
    std::atomic<int> there{0};
    for (int t = 0; t < count; t++) {
        all.emplace_back([&, t] {
            delete[] keep(new char[100001]);
            there++;
            while (there < count) {
                usleep(1000);
            }
            for (int i = 0; i < 100; i++) {
                void *block = keep(std::malloc(2000));
                block =
                    keep(std::realloc(block, static_cast<std::size_t>(3000 + (i + t) % 9 * 900)));
                if (i % 10 == 0) {
                    block = keep(std::realloc(block, 0));
                }
                std::free(block);
            }
            there++;
            while (there < 2 * count) {
                usleep(1000);
            }
        });
    }
    for (std::thread &thread : all) {
        thread.join();
    }
    return 0;
}

static int fork_and_exec(char **argv)
{
    free(keep(malloc(100001)));
    char *before = static_cast<char *>(keep(malloc(100002)));
    const pid_t child = fork();
    if (child == 0) {
        free(before);
        free(keep(malloc(100003)));
        execl(argv[0], argv[0], "every-way", static_cast<char *>(nullptr));
        _exit(9);
    }
    int status;
    waitpid(child, &status, 0);
    free(keep(malloc(100004)));
    std::printf("child %ld\n", static_cast<long>(child));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 8;
}

static int churn(long rounds)
{
    void *live[256] = {};
    for (long i = 0; i < rounds; i++) {
        void *&slot = live[i * 31 % 256];
        free(slot);
        slot = malloc(static_cast<std::size_t>(1 + i % 500));
    }
    std::printf("malloc %ld\n", rounds);
    std::fflush(stdout);
    return 0;
}

/* Nothing that a trace could foresee. */
static int noise(long rounds)
{
    unsigned long random = 1;
    void *live[256] = {};
    for (long i = 0; i < rounds; i++) {
        random = random * 6364136223846793005UL + 1442695040888963407UL;
        void *&slot = live[random >> 56];
        free(slot);
        slot = malloc(1 + (random >> 40) % 5000);
    }
    std::printf("malloc %ld\n", rounds);
    std::fflush(stdout);
    return 0;
}

static int die(const char *how)
{
    churn(50000);
    if (std::strcmp(how, "kill") == 0) {
        kill(getpid(), SIGKILL);
    }
    if (std::strcmp(how, "exit") == 0) {
        _exit(3);
    }
    *static_cast<volatile int *>(nullptr) = 1;
    return 0;
}

[[gnu::noinline]] static void deep(int levels)
{
    if (levels > 0) {
        deep(levels - 1);
        sink = nullptr; /* not the last call */
        return;
    }
    free(keep(malloc(100001)));
}

/* By longjmp-free but uneven frames: variable arrays move the frame's end. */
[[gnu::noinline]] static void uneven(int levels)
{
    volatile char *space =
        static_cast<char *>(__builtin_alloca(static_cast<std::size_t>(levels) * 48 + 16));
    space[0] = 1;
    if (levels > 0) {
        uneven(levels - 1);
    } else {
        free(keep(malloc(100002)));
    }
    sink = const_cast<char *>(space);
}

/* The code of a frame so large that whoever takes it for one of a small stack looks beyond its end. */
[[gnu::noinline]] static void *return_address()
{
    return __builtin_return_address(0);
}

[[gnu::noinline]] static void *place_in_large_frame()
{
    volatile char space[65536];
    space[0] = 1;
    void *place = return_address();
    sink = const_cast<char *>(space);
    return place;
}

static void *wrong_return;
static int wrong_status;

/* Asks for memory while its own return address is wrong, and looks whether errno is touched. */
[[gnu::noinline]] static void ask_with_wrong_return()
{
    void *volatile *slot = static_cast<void *volatile *>(__builtin_frame_address(0)) + 1;
    void *const right = *slot;
    *slot = wrong_return;
    errno = 77;
    void *block = keep(malloc(100001));
    wrong_status |= errno != 77 ? 1 : 0;
    errno = 78;
    free(block);
    wrong_status |= errno != 78 ? 2 : 0;
    sink = malloc(static_cast<std::size_t>(-1) / 4);
    wrong_status |= errno != ENOMEM ? 4 : 0;
    *slot = right;
}

static int ask_on_small_stack()
{
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t size = 64 * page;
    void *stack = mmap(nullptr, size + 64 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, size, PROT_READ | PROT_WRITE) != 0) {
        return 9;
    }
    wrong_return = place_in_large_frame();
    static ucontext_t here;
    static ucontext_t there;
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = size;
    there.uc_link = &here;
    makecontext(&there, ask_with_wrong_return, 0);
    swapcontext(&here, &there);
    return wrong_status;
}

int main(int argc, char **argv)
{
    const std::string what = argc > 1 ? argv[1] : "";
    const int number = argc > 2 ? std::atoi(argv[2]) : 0;
    if (what == "every-way") {
        return every_way();
    }
    if (what == "threads") {
        return threads(number, argc > 3 ? std::atoi(argv[3]) : 1000);
    }
    if (what == "crowd") {
        return crowd(number);
    }
    if (what == "moving-crowd") {
        return moving_crowd(number);
    }
    if (what == "fork") {
        return fork_and_exec(argv);
    }
    if (what == "churn") {
        return churn(number);
    }
    if (what == "wait-churn" || what == "bare-wait-churn") {
        if (what == "bare-wait-churn") {
            clearenv();
        }
        std::puts("waiting");
        std::fflush(stdout);
        while (access("go", F_OK) != 0) {
            usleep(10000);
        }
        return churn(number);
    }
    if (what == "noise") {
        return noise(number);
    }
    if (what == "small-stack") {
        return ask_on_small_stack();
    }
    if (what == "wrong-return") {
        wrong_return = reinterpret_cast<void *>(0x123456789010);
        ask_with_wrong_return();
        return wrong_status;
    }
    if (what == "die") {
        return die(argc > 2 ? argv[2] : "");
    }
    if (what == "deep") {
        deep(number);
        uneven(5);
        return 0;
    }
    return 2;
}
