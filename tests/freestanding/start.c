/* SPDX-License-Identifier: MIT */
#include "start.h"

#include <stddef.h>

/*
 * A Linux program's first instructions and its calls of the kernel, on each machine by itself.
 */

#if defined(__x86_64__)

enum { CALL_WRITE = 1, CALL_EXIT = 60 };

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    and $-16, %rsp\n"
        "    call main\n"
        "    mov %eax, %edi\n"
        "    call start_end\n");

static long call_kernel(long number, long one, long two, long three)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(one), "S"(two), "d"(three)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__i386__)

enum { CALL_WRITE = 4, CALL_EXIT = 1 };

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    and $-16, %esp\n"
        "    call main\n"
        "    sub $12, %esp\n"
        "    push %eax\n"
        "    call start_end\n");

static long call_kernel(long number, long one, long two, long three)
{
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(one), "c"(two), "d"(three)
                     : "memory");
    return result;
}

#elif defined(__aarch64__)

enum { CALL_WRITE = 64, CALL_EXIT = 93 };

__asm__(".globl _start\n"
        "_start:\n"
        "    bl main\n"
        "    bl start_end\n");

static long call_kernel(long number, long one, long two, long three)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = one;
    register long x1 __asm__("x1") = two;
    register long x2 __asm__("x2") = three;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}

#elif defined(__arm__)

enum { CALL_WRITE = 4, CALL_EXIT = 1 };

__asm__(".globl _start\n"
        ".type _start, %function\n"
        "_start:\n"
        "    bl main\n"
        "    bl start_end\n");

/* By hand: in Thumb code r7 is the compiler's. */
long call_kernel(long number, long one, long two, long three);
__asm__(".globl call_kernel\n"
        ".type call_kernel, %function\n"
        "call_kernel:\n"
        "    push {r7, lr}\n"
        "    mov r7, r0\n"
        "    mov r0, r1\n"
        "    mov r1, r2\n"
        "    mov r2, r3\n"
        "    svc 0\n"
        "    pop {r7, pc}\n");

#else
#error "start.c does not know this machine"
#endif

void start_say(const char *text)
{
    size_t length = 0;
    while (text[length] != '\0') {
        length++;
    }
    (void)call_kernel(CALL_WRITE, 2, (long)text, (long)length);
}

void start_say_number(unsigned long number)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    start_say(digits + at);
}

void start_end(int status)
{
    for (;;) {
        (void)call_kernel(CALL_EXIT, status, 0, 0);
    }
}

/* Compilers make calls of these of what the tests themselves do with structs. */
void *memset(void *start, int value, size_t size);
void *memcpy(void *restrict to, const void *restrict from, size_t size);

void *memset(void *start, int value, size_t size)
{
    volatile unsigned char *bytes = start;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)value;
    }
    return start;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    volatile unsigned char *bytes = to;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = ((const unsigned char *)from)[i];
    }
    return to;
}
