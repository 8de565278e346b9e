/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <thread>
#include <vector>

#include <sys/resource.h>

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                   \
            std::fprintf(stderr, __VA_ARGS__);                                                     \
            std::fprintf(stderr, "\n");                                                            \
            std::_Exit(1);                                                                         \
        }                                                                                          \
    } while (0)

static void *opaque(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static std::size_t opaque(std::size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

static void check_block(void *block, std::size_t size, std::size_t alignment)
{
    block = opaque(block);
    CHECK(block != nullptr, "no %zu bytes", size);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % alignment == 0, "%zu bytes at %p", size, block);
    std::memset(block, 0x5a, size);
}

/* Every form of new with every form of delete that may follow it. */
static void every_form(std::size_t size)
{
    const std::size_t plain = size <= 8 ? 8 : 16;
    void *block = ::operator new(size);
    check_block(block, size, plain);
    ::operator delete(block);
    block = ::operator new(size);
    check_block(block, size, plain);
    ::operator delete(block, size);
    block = ::operator new(size, std::nothrow);
    check_block(block, size, plain);
    ::operator delete(block, std::nothrow);
    block = ::operator new(size, std::nothrow);
    check_block(block, size, plain);
    ::operator delete(block, size);
    block = ::operator new[](size);
    check_block(block, size, plain);
    ::operator delete[](block);
    block = ::operator new[](size);
    check_block(block, size, plain);
    ::operator delete[](block, size);
    block = ::operator new[](size, std::nothrow);
    check_block(block, size, plain);
    ::operator delete[](block, std::nothrow);

    for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        const std::align_val_t align{alignment};
        block = ::operator new(size, align);
        check_block(block, size, alignment);
        ::operator delete(block, align);
        block = ::operator new(size, align);
        check_block(block, size, alignment);
        ::operator delete(block, size, align);
        block = ::operator new(size, align, std::nothrow);
        check_block(block, size, alignment);
        ::operator delete(block, align, std::nothrow);
        block = ::operator new[](size, align);
        check_block(block, size, alignment);
        ::operator delete[](block, align);
        block = ::operator new[](size, align);
        check_block(block, size, alignment);
        ::operator delete[](block, size, align);
        block = ::operator new[](size, align, std::nothrow);
        check_block(block, size, alignment);
        ::operator delete[](block, align, std::nothrow);
    }
}

static void null_is_ignored()
{
    const std::align_val_t align{64};
    ::operator delete(opaque(nullptr));
    ::operator delete[](opaque(nullptr));
    ::operator delete (opaque(nullptr), std::size_t{100});
    ::operator delete[](opaque(nullptr), std::size_t{100});
    ::operator delete(opaque(nullptr), std::nothrow);
    ::operator delete[](opaque(nullptr), std::nothrow);
    ::operator delete(opaque(nullptr), align);
    ::operator delete[](opaque(nullptr), align);
    ::operator delete (opaque(nullptr), std::size_t{100}, align);
    ::operator delete[](opaque(nullptr), std::size_t{100}, align);
    ::operator delete(opaque(nullptr), align, std::nothrow);
    ::operator delete[](opaque(nullptr), align, std::nothrow);
}

template <typename Function> static bool throws_bad_alloc(Function function)
{
    try {
        opaque(function());
    } catch (const std::bad_alloc &failure) {
        return failure.what()[0] != '\0';
    }
    return false;
}

static const std::size_t too_much[] = {
    std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 2 + 1,
    std::numeric_limits<std::size_t>::max() - 4095, std::size_t{1} << 48};

static void too_much_throws_or_is_null()
{
    const std::align_val_t align{64};
    for (const std::size_t much : too_much) {
        const std::size_t size = opaque(much);
        CHECK(throws_bad_alloc([=] { return ::operator new(size); }), "new of %zu", size);
        CHECK(throws_bad_alloc([=] { return ::operator new[](size); }), "new[] of %zu", size);
        CHECK(throws_bad_alloc([=] { return ::operator new(size, align); }), "aligned new of %zu",
              size);
        CHECK(throws_bad_alloc([=] { return ::operator new[](size, align); }),
              "aligned new[] of %zu", size);
        CHECK(opaque(::operator new(size, std::nothrow)) == nullptr, "nothrow new of %zu", size);
        CHECK(opaque(::operator new[](size, std::nothrow)) == nullptr, "nothrow new[] of %zu",
              size);
        CHECK(opaque(::operator new(size, align, std::nothrow)) == nullptr, "%zu", size);
        CHECK(opaque(::operator new[](size, align, std::nothrow)) == nullptr, "%zu", size);
    }
}

/* The handler is called for as long as there is one, and may make room, give up or throw. */
static int handler_calls;
static void *reserve;

static void give_up_at_third_call()
{
    if (++handler_calls == 3) {
        std::set_new_handler(nullptr);
    }
}

struct own_failure : std::bad_alloc {
};

static void throw_own_failure()
{
    handler_calls++;
    throw own_failure();
}

static void make_room()
{
    handler_calls++;
    CHECK(reserve != nullptr, "called again though there is room");
    std::free(reserve);
    reserve = nullptr;
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_AS, &limit);
}

static void the_handler_is_honoured()
{
    const std::align_val_t align{128};
    const std::size_t size = opaque(too_much[1]);
    for (int form = 0; form < 8; form++) {
        handler_calls = 0;
        std::set_new_handler(give_up_at_third_call);
        bool failed = false;
        switch (form) {
        case 0:
            failed = throws_bad_alloc([=] { return ::operator new(size); });
            break;
        case 1:
            failed = throws_bad_alloc([=] { return ::operator new[](size); });
            break;
        case 2:
            failed = throws_bad_alloc([=] { return ::operator new(size, align); });
            break;
        case 3:
            failed = throws_bad_alloc([=] { return ::operator new[](size, align); });
            break;
        case 4:
            failed = opaque(::operator new(size, std::nothrow)) == nullptr;
            break;
        case 5:
            failed = opaque(::operator new[](size, std::nothrow)) == nullptr;
            break;
        case 6:
            failed = opaque(::operator new(size, align, std::nothrow)) == nullptr;
            break;
        default:
            failed = opaque(::operator new[](size, align, std::nothrow)) == nullptr;
            break;
        }
        CHECK(failed, "form %d", form);
        CHECK(handler_calls == 3, "form %d called the handler %d times", form, handler_calls);
    }

    handler_calls = 0;
    std::set_new_handler(throw_own_failure);
    bool caught = false;
    try {
        opaque(::operator new(size));
    } catch (const own_failure &) {
        caught = true;
    }
    CHECK(caught && handler_calls == 1, "the handler's own exception did not come through");
    caught = false;
    try {
        opaque(::operator new[](size, align));
    } catch (const own_failure &) {
        caught = true;
    }
    CHECK(caught && handler_calls == 2, "the handler's own exception did not come through");
    /* nothrow means it, also when the handler throws. */
    CHECK(opaque(::operator new(size, std::nothrow)) == nullptr, "nothrow");
    CHECK(opaque(::operator new[](size, align, std::nothrow)) == nullptr, "nothrow");
    CHECK(handler_calls == 4, "%d calls", handler_calls);

    handler_calls = 0;
    std::set_new_handler(make_room);
    reserve = std::malloc(1000);
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_AS, &limit);
    void *block = ::operator new(64 << 20);
    CHECK(block != nullptr && handler_calls == 1, "%d calls", handler_calls);
    ::operator delete(block);
    std::set_new_handler(nullptr);
}

struct alignas(256) wide {
    char bytes[300];
};

struct with_destructor {
    std::size_t value = 7;
    ~with_destructor()
    {
        value = 0;
    }
};

static void the_language_uses_them()
{
    for (int i = 0; i < 200; i++) {
        wide *one = new wide;
        check_block(one, sizeof *one, 256);
        delete one;
        wide *many = new wide[7];
        check_block(many, sizeof *many * 7, 256);
        delete[] many;
        /* An array with destructors starts with its count, and its sized delete counts that in. */
        with_destructor *counted = new with_destructor[static_cast<std::size_t>(i)];
        delete[] counted;
        int *number = new (std::nothrow) int(5);
        CHECK(number != nullptr && *number == 5, "new int");
        delete number;
    }
    /* The constructor throws: the language frees the block itself. */
    struct thrower {
        char room[1000];
        thrower()
        {
            throw 1;
        }
    };
    for (int i = 0; i < 100000; i++) {
        try {
            opaque(new thrower);
        } catch (int) {
        }
    }
    bool caught = false;
    try {
        std::vector<char> vector(opaque(std::size_t{1} << 47));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught, "a vector too large");
}

int main()
{
    for (std::size_t size = 0; size < 2000; size += 1 + size / 16) {
        every_form(size);
    }
    for (std::size_t size = 2000; size < 6000000; size += size / 2) {
        every_form(size);
    }
    null_is_ignored();
    void *one = opaque(::operator new(opaque(std::size_t{0})));
    void *two = opaque(::operator new(opaque(std::size_t{0})));
    CHECK(one != nullptr && two != nullptr && one != two, "new of nothing");
    ::operator delete(one);
    ::operator delete (two, std::size_t{0});
    too_much_throws_or_is_null();
    the_handler_is_honoured();
    the_language_uses_them();
    std::thread(too_much_throws_or_is_null).join();
    return 0;
}
