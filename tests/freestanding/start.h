/* SPDX-License-Identifier: MIT */
#ifndef TARN_TESTS_START_H
#define TARN_TESTS_START_H

/* What a program without a libc begins and ends with: start.c calls main() and makes the kernel's two calls. */

/* Writes a text to standard error. */
void start_say(const char *text);

/* The same for a number, in decimal. */
void start_say_number(unsigned long number);

_Noreturn void start_end(int status);

int main(void);

#endif
